"""``fringewatch fetch hyp3``: finished InSAR jobs of ASF HyP3, as the zips that :mod:`fringewatch.products.hyp3` reads.

Jobs are found through hyp3-sdk, whose login is that of NASA Earthdata: ``EARTHDATA_TOKEN``, or ``EARTHDATA_USERNAME``
with ``EARTHDATA_PASSWORD``, else ``~/.netrc``. The zips themselves are public and fetched without a login.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import Field

from fringewatch.errors import ConfigError, FetchError, require
from fringewatch.fetch.batch import FetchResult, TransferConfig, fetch_all
from fringewatch.fetch.client import Item

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["API", "FetchHyp3Config", "run"]

API = "https://hyp3-api.asf.alaska.edu"

_INSAR = "INSAR_"


class FetchHyp3Config(TransferConfig):
    """Fetch the interferograms of finished ASF HyP3 jobs, as zips that detect reads; needs an Earthdata login."""

    jobs: tuple[str, ...] = Field(
        (), description="Job ids, or names of projects (all of their jobs).", json_schema_extra={"positional": True}
    )
    user: str | None = Field(None, description="Whose projects; your own if not given.")
    api_url: str = Field(API, description="Address of the HyP3 API.")


def run(config: FetchHyp3Config) -> FetchResult:
    """Fetch the products of jobs and projects; jobs that have none become notes.

    Raises
    ------
    ConfigError
        If no job is named.
    FetchError
        If a job or project does not exist, or the login is refused.
    OutputError
        If a file cannot be written.
    MissingExtraError
        If the extra ``[fetch]`` is not installed.
    """
    if not config.jobs:
        message = "no job: name job ids or projects, for example: fringewatch fetch hyp3 my-volcano --out data"
        raise ConfigError(message)
    items: dict[Path, Item] = {}
    notes = []
    for job in _find(config):
        note = _why_not(job)
        if note:
            notes.append(note)
            continue
        items |= {item.target: item for item in _items(job, config)}
    return fetch_all(list(items.values()), config.out, config, notes=notes)


def _find(config: FetchHyp3Config) -> list[Any]:
    sdk = require("hyp3_sdk", extra="fetch")
    exceptions = require("hyp3_sdk.exceptions", extra="fetch")
    requests = require("requests", extra="fetch")
    try:
        api = sdk.HyP3(
            config.api_url,
            username=os.environ.get("EARTHDATA_USERNAME"),
            password=os.environ.get("EARTHDATA_PASSWORD"),
            token=os.environ.get("EARTHDATA_TOKEN"),
        )
        jobs = []
        for name in config.jobs:
            found = [api.get_job_by_id(name)] if _is_id(name) else list(api.find_jobs(name=name, user_id=config.user))
            if not found:
                message = f"{name}: no such project at {config.api_url}; check its name, or whose it is with --user"
                raise FetchError(message)
            jobs += found
    except exceptions.AuthenticationError as error:
        message = (
            f"{config.api_url}: the Earthdata login was refused ({error}); set EARTHDATA_TOKEN, or put login and "
            "password for urs.earthdata.nasa.gov into ~/.netrc"
        )
        raise FetchError(message) from error
    except (exceptions.HyP3Error, requests.RequestException) as error:
        message = (
            f"{config.api_url}: the jobs cannot be looked up ({error}); check the names, the login and the network"
        )
        raise FetchError(message) from error
    except (KeyError, TypeError, ValueError) as error:
        message = f"{config.api_url}: does not answer as HyP3 does ({type(error).__name__}: {error}); check --api-url"
        raise FetchError(message) from error
    return jobs


def _is_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name.lower()
    except ValueError:
        return False


def _why_not(job: Any) -> str:
    """Return why a job has nothing to fetch; ``""`` where it has."""
    label = f"job {job.job_id}{f' of {job.name}' if job.name else ''}"
    if not job.job_type.startswith(_INSAR):
        return f"{label} is {job.job_type}, no interferogram: left out"
    if not job.succeeded():
        return f"{label} is {job.status_code.lower()}: left out"
    if job.expired():
        return f"{label} has expired, its files are gone from the server: left out"
    if not job.files:
        return f"{label} names no files: left out"
    return ""


def _items(job: Any, config: FetchHyp3Config) -> Iterable[Item]:
    for file in job.files:
        name, url = str(file["filename"]), str(file["url"])
        # What a server calls a file must not choose where it goes.
        if not name.strip(". ") or name != Path(name).name or "\\" in name or ":" in name:
            message = f"job {job.job_id}: names a file {name!r}, expected a plain file name; report it to ASF"
            raise FetchError(message)
        if urlsplit(url).scheme not in {"http", "https"}:
            message = f"job {job.job_id}: offers {name} at {url!r}, expected an http(s) address; report it to ASF"
            raise FetchError(message)
        size = file.get("size")
        yield Item(
            url,
            config.out / name,
            size=int(size) if size is not None else None,
            group=job.job_id,
            required=True,
            refresh=config.update,
        )
