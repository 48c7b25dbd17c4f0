"""``fringewatch fetch licsar``: pairs of a frame from the public folders of the COMET LiCSAR portal.

The portal serves plain files below listings of folders::

    <base>/<track>/<frame>/interferograms/<YYYYMMDD_YYYYMMDD>/<pair>.geo.{diff_pha,cc,unw}.tif
    <base>/<track>/<frame>/metadata/{<frame>.geo.{E,N,U,hgt}.tif,metadata.txt,baselines}

with the track without leading zeros. They are kept in the same layout below ``<out>/<frame>``, which
:mod:`fringewatch.products.licsar` and LiCSBAS read.
"""

from __future__ import annotations

import datetime as dt
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator

from fringewatch.errors import ConfigError, FetchError
from fringewatch.fetch.batch import FetchResult, TransferConfig, fetch_all
from fringewatch.fetch.client import Client, Item
from fringewatch.products.licsar import FRAME
from fringewatch.products.names import dates
from fringewatch.progress import say

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PORTAL", "FetchLicsarConfig", "LicsarFile", "run"]

PORTAL = "https://gws-access.jasmin.ac.uk/public/nceo_geohazards/LiCSAR_products/"

LicsarFile = Literal["diff_pha", "diff_unfiltered_pha", "unw", "cc"]

_GEOMETRY = ("E", "N", "U", "hgt")
_GROWING = ("metadata.txt", "baselines")
"""They change with every new acquisition of the frame."""
_PAIR = re.compile(r"\d{8}_\d{8}")


class FetchLicsarConfig(TransferConfig):
    """Fetch the interferograms of a LiCSAR frame: phase, coherence, look vector and height, ready for detect."""

    frame: str = Field(
        description="Frame, such as 128D_09016_110500, as the portal's map names it.",
        json_schema_extra={"positional": True},
    )
    start: str = Field(
        "",
        description="Only pairs whose first acquisition is on this day (YYYY-MM-DD) or later.",
        json_schema_extra={"flag": "--from"},
    )
    end: str = Field(
        "",
        description="Only pairs whose second acquisition is on this day (YYYY-MM-DD) or earlier.",
        json_schema_extra={"flag": "--to"},
    )
    files: tuple[LicsarFile, ...] = Field(
        ("diff_pha", "cc"),
        min_length=1,
        description="What to fetch of each pair: wrapped phase, coherence; unwrapped or unfiltered phase.",
    )
    metadata: bool = Field(True, description="Fetch the frame's look vector, height and baselines, too.")
    base_url: str = Field(PORTAL, description="Address of the folder with the tracks, for mirrors.")

    @field_validator("frame")
    @classmethod
    def _is_frame(cls, value: str) -> str:
        if FRAME.fullmatch(value) is None:
            message = "expected track, A or D, position and bursts, such as 128D_09016_110500"
            raise ValueError(message)
        return value

    @field_validator("start", "end", mode="before")
    @classmethod
    def _is_day(cls, value: object) -> str:
        # YAML has dates of its own; fromisoformat takes YYYYMMDD as well, which is how the portal writes days.
        return dt.date.fromisoformat(str(value)).isoformat() if value else ""

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            message = "expected an http:// or https:// address"
            raise ValueError(message)
        return value.rstrip("/")


def run(config: FetchLicsarConfig) -> FetchResult:
    """Fetch what the portal lists of a frame.

    Raises
    ------
    ConfigError
        If the days are the wrong way round.
    FetchError
        If the portal does not know the frame, cannot be reached, or has no pair between the days.
    OutputError
        If a file cannot be written.
    MissingExtraError
        If the extra ``[fetch]`` is not installed.
    """
    if config.start and config.end and config.end < config.start:
        message = f"from = {config.start}, to = {config.end}: expected the first day before the last"
        raise ConfigError(message)
    client = Client(retries=config.retries, connections=1)
    place = f"{config.base_url}/{int(config.frame[:3])}/{config.frame}"
    listed = _list_pairs(client, f"{place}/interferograms/", config.frame)
    pairs = [pair for pair in listed if _is_between(pair, config.start, config.end)]
    if not pairs:
        span = f"{listed[0][:8]} to {listed[-1][9:]}" if listed else "no day at all"
        message = (
            f"{config.frame}: none of its {len(listed)} pairs lies between {config.start or 'the first day'} and "
            f"{config.end or 'the last'}; the portal has {span}"
        )
        raise FetchError(message)
    say(f"{config.frame}: {len(pairs)} of {len(listed)} pairs, {pairs[0][:8]} to {max(pair[9:] for pair in pairs)}")
    return fetch_all(_items(config, place, pairs), config.out / config.frame, config)


def _list_pairs(client: Client, url: str, frame: str) -> list[str]:
    try:
        page = client.text(url)
    except FetchError as error:
        message = f"{frame}: its pairs cannot be listed ({error}); check the frame on the portal's map"
        raise FetchError(message) from error
    links = _Links()
    links.feed(page)
    # Names are taken only as what they must be: a listing cannot make us write anywhere else.
    names = {unquote(urlsplit(link).path).rstrip("/").rpartition("/")[2] for link in links.found}
    return sorted(name for name in names if _PAIR.fullmatch(name) and dates(name) != ("", ""))


def _is_between(pair: str, start: str, end: str) -> bool:
    first, second = dates(pair)
    return (not start or first >= start) and (not end or second <= end)


def _items(config: FetchLicsarConfig, place: str, pairs: Sequence[str]) -> list[Item]:
    folder = config.out / config.frame
    items = []
    if config.metadata:
        names = [*(f"{config.frame}.geo.{part}.tif" for part in _GEOMETRY), *_GROWING]
        items += [
            Item(f"{place}/metadata/{name}", folder / "metadata" / name, refresh=config.update or name in _GROWING)
            for name in names
        ]
    for pair in pairs:
        for file in dict.fromkeys(config.files):
            name = f"{pair}.geo.{file}.tif"
            items.append(
                Item(
                    f"{place}/interferograms/{pair}/{name}",
                    folder / "interferograms" / pair / name,
                    group=pair,
                    required=file != "cc",
                    refresh=config.update,
                )
            )
    return items


class _Links(HTMLParser):
    """Collects the targets of links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the ``href`` of an anchor."""
        self.found += [value for key, value in attrs if tag == "a" and key == "href" and value]
