"""The files of a whole run: the table, the detections of all scenes, the report, and what made them."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import platform
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from fringewatch._version import __version__
from fringewatch.detect.outputs import read_detections, write_all_detections
from fringewatch.errors import ConfigError, OutputError
from fringewatch.files import write_text
from fringewatch.report import RunFacts, embed_picture, render_report, report_order, write_summary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from fringewatch.detect.detector import Detector
    from fringewatch.detect.settings import DetectConfig, DetectResult

__all__ = ["check_owner", "write_run", "write_settings"]


def check_owner(folder: Path, catalog: str | None) -> None:
    """Check that the files of scenes in a folder are not those of another catalogue: names are one catalogue's own.

    Parameters
    ----------
    folder
        For results.
    catalog
        That this run enters scenes in, without password; None of a run without one.

    Raises
    ------
    ConfigError
        If an earlier run kept files of scenes there that another catalogue knows, which is still there.
    """
    try:
        before = yaml.safe_load((folder / "run.yaml").read_text(encoding="utf-8"))
        theirs, kept = str(before.get("catalog") or ""), str(before.get("keep") or "none")
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        return
    if not theirs or kept == "none" or theirs == catalog:
        return
    is_address = "://" in theirs
    # A path may have been told from another folder, or the catalogue moved with its results.
    if is_address or (Path(theirs).is_file() and not (catalog and _is_same(theirs, catalog))):
        message = (
            f"{folder}: holds {kept.replace(',', ', ')} of scenes that the catalogue {theirs} knows, and scenes of "
            f"equal names would replace them; choose another --out, or go on with --catalog {theirs}"
        )
        raise ConfigError(message)


def _is_same(one: str, other: str) -> bool:
    return Path(other).exists() and Path(one).samefile(other)


def write_run(config: DetectConfig, result: DetectResult, detector: Detector, *, workers: int) -> dict[str, str]:
    """Write ``summary.csv``, ``detections.gpkg``, ``report.html`` and ``run.yaml``.

    Parameters
    ----------
    config, result, detector
        Of the run.
    workers
        Pictures prepared at once for the report.

    Returns
    -------
    dict
        By name, the scenes with a file that was damaged since an earlier run wrote it, and what is wrong with it. Such
        a file is left out of the run's.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    damaged: dict[str, str] = {}
    finished = dt.datetime.now(dt.UTC).replace(microsecond=0)
    write_summary(result.summary, result.rows)
    write_all_detections(result.out / "detections.gpkg", list(_detections(result, damaged)))
    facts = RunFacts(
        threshold=detector.threshold,
        precision=detector.bundle.precision,
        version=__version__,
        finished=finished.strftime("%Y-%m-%d %H:%M UTC"),
        seconds=result.seconds,
        kept=result.kept,
        interrupted=result.interrupted,
        has_pictures=config.keeps("pictures"),
        has_maps=config.keeps("maps"),
    )
    pictures = dict(_pictures(config, result, damaged, workers))
    write_text(result.report, render_report(result.rows, detector.card, facts, pictures))
    write_settings(config, detector, result.out, finished, result.seconds)
    return damaged


def write_settings(
    config: DetectConfig, detector: Detector, folder: Path, finished: dt.datetime, seconds: float
) -> None:
    """Write ``run.yaml``: the settings of a run, and as comments what made its results.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    provenance = {
        "finished": finished.isoformat(),
        "seconds": round(seconds, 1),
        "threshold": detector.threshold,
        "model": {
            "name": detector.card.name,
            "version": detector.card.version,
            "folder": str(detector.bundle.folder),
            "sha256": detector.card.sha256[detector.card.files[detector.bundle.precision]],
        },
        "versions": {"fringewatch": __version__, "python": platform.python_version(), "numpy": np.__version__},
    }
    # As comments, so that the file is a settings file: `fringewatch detect --config run.yaml` repeats the run.
    said = yaml.safe_dump(provenance, sort_keys=False, allow_unicode=True)
    comments = "".join(f"# {line}\n" for line in said.splitlines())
    write_text(folder / "run.yaml", f"{config.to_yaml()}\n# What made these results:\n{comments}")


def _detections(result: DetectResult, damaged: dict[str, str]) -> Iterator[dict[str, Any]]:
    for row in result.rows:
        if row.detections:
            try:
                yield read_detections(result.out / f"{row.name}.detections.geojson")
            except OutputError as error:
                damaged[row.name] = str(error)


def _pictures(
    config: DetectConfig, result: DetectResult, damaged: dict[str, str], workers: int
) -> Iterator[tuple[str, str]]:
    if not config.keeps("pictures"):
        return
    best = [row for row in report_order(result.rows) if row.status == "ok"][: config.report_pictures]
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        found = pool.map(_embed, (result.out / f"{row.name}.png" for row in best))
        for row, (uri, problem) in zip(best, found, strict=True):
            if problem:
                damaged[row.name] = problem
            else:
                yield row.name, uri


def _embed(path: Path) -> tuple[str, str]:
    """Return a picture as a data URI, or what is wrong with it."""
    try:
        return embed_picture(path), ""
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        # Pillow has no error of its own for a damaged picture: each of these occurs.
        return "", f"{path}: is damaged ({' '.join(str(error).split())})"
