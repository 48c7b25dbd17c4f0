"""``fringewatch query``: what a catalogue holds, as a table on the terminal, CSV or GeoJSON."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import io
import re
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from fringewatch.catalog.engine import without_password
from fringewatch.catalog.store import Catalog
from fringewatch.config import Config
from fringewatch.errors import ConfigError
from fringewatch.files import atomic_path, write_text
from fringewatch.progress import say

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

__all__ = ["QueryConfig", "QueryResult", "run"]

_DRIVERS = {".geojson": "GeoJSON", ".json": "GeoJSON", ".gpkg": "GPKG"}
_INTERNAL = ("scene_id", "detection_id", "site_id", "run_id", "state", "settings", "content_hash", "duplicate_of")
_SHOWN = {
    "scenes": ("score", "level_score", "name", "dates", "site", "km", "detections", "model"),
    "detections": ("score", "scene", "dates", "site", "km", "area_km2", "fringe_count", "lon", "lat"),
}
_HEADERS = {"level_score": "w/o trend", "detections": "found", "area_km2": "km²", "fringe_count": "fringes"}
_NUMERIC = {"score", "level_score", "km", "detections", "area_km2", "fringe_count", "lon", "lat"}
_FLEXIBLE = {"name", "scene", "site", "model"}
_LEAST_WIDTH = 6
_ENDING = re.compile(r"\.geo\.(?:diff_pha|diff_unfiltered_pha|unw)$|_(?:wrapped|unw)_phase$")
_DATES = re.compile(r"(?:^|[_-])\d{8}[_-]\d{8}(?=$|[_-])")
_NUMBERS = {
    "score": "{:.3f}",
    "level_score": "{:.3f}",
    "km": "{:.1f}",
    "area_km2": "{:.2f}",
    "fringe_count": "{:.1f}",
    "lon": "{:.3f}",
}


class QueryConfig(Config):
    """Ask a catalogue for scenes or detections, by site, date, score and kind of site."""

    catalog: str = Field(
        description="GeoPackage, or postgresql://user@host/database.", json_schema_extra={"positional": True}
    )
    table: Literal["scenes", "detections"] = Field("scenes", description="What is looked for.")
    site: str | None = Field(None, description="Name or number of a site: what shows it or lies within 25 km of it.")
    start: dt.date | None = Field(
        None,
        description="Only scenes whose second acquisition is on this day (YYYY-MM-DD) or later.",
        json_schema_extra={"flag": "--from"},
    )
    end: dt.date | None = Field(
        None,
        description="Only scenes whose second acquisition is on this day (YYYY-MM-DD) or earlier.",
        json_schema_extra={"flag": "--to"},
    )
    min_score: float | None = Field(None, ge=0, le=1, description="Only scores that reach this.")
    kind: str | None = Field(None, description="Only near a site of this kind, such as volcano.")
    flagged: bool = Field(False, description="Only scenes that were flagged.")
    duplicates: bool = Field(False, description="Also further files of the same content.")
    out: str | None = Field(
        None,
        description="File to write, .csv, .geojson or .gpkg; - writes CSV to standard output. A table if not given.",
    )
    limit: int = Field(30, ge=1, description="Most rows of the table on the terminal, highest scores first.")


@dataclasses.dataclass(frozen=True)
class QueryResult:
    """What a query found.

    Attributes
    ----------
    found
        The rows, highest score first.
    """

    found: gpd.GeoDataFrame


def run(config: QueryConfig) -> QueryResult:
    """Answer a query and write or print the answer.

    Raises
    ------
    CatalogError
        If the catalogue is missing or cannot be read.
    ConfigError
        If the site or kind is unknown, the dates are in the wrong order, or the file is of no known kind or is a
        catalogue.
    OutputError
        If the file cannot be written.
    """
    _check(config)
    with Catalog.open(config.catalog, create=False, writable=False) as catalog:
        found = catalog.query(
            config.table,
            site=config.site,
            start=config.start,
            end=config.end,
            min_score=config.min_score,
            kind=config.kind,
            flagged=config.flagged or None,
            duplicates=config.duplicates,
        )
        if config.kind is not None and config.kind not in set(kinds := catalog.sites.table["kind"]):
            message = (
                f"kind {config.kind!r}: is no kind of site in {without_password(config.catalog)}; "
                f"it has {', '.join(sorted(set(kinds)))}"
            )
            raise ConfigError(message)
    found = found.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    shared = found.drop(columns=[name for name in _INTERNAL if name in found])
    for name in ("reference_date", "secondary_date"):
        # Days, not midnights.
        shared[name] = shared[name].dt.strftime("%Y-%m-%d")
    if config.out is None:
        _print_table(config, found)
    elif config.out == "-":
        sys.stdout.write(_to_csv(shared))
    else:
        _write(Path(config.out), shared)
        say(f"{_count(config.table, len(found))} written to {config.out}")
    return QueryResult(found)


def _check(config: QueryConfig) -> None:
    if config.start is not None and config.end is not None and config.start > config.end:
        message = f"--from {config.start} is later than --to {config.end}; exchange them"
        raise ConfigError(message)
    if config.out not in {None, "-"} and Path(str(config.out)).suffix.lower() not in {".csv", *_DRIVERS}:
        message = f"--out {config.out}: expected a name that ends in .csv, {', '.join(_DRIVERS)}, or - for CSV"
        raise ConfigError(message)
    if config.out not in {None, "-"} and _is_catalog(Path(str(config.out)), config.catalog):
        message = f"--out {config.out}: is a catalogue, which the answer would replace; name another file"
        raise ConfigError(message)


def _is_catalog(path: Path, asked: str) -> bool:
    """Tell whether a file is the catalogue that is asked, by whatever link, or any other."""
    if not path.is_file():
        return False
    if Path(asked).exists() and path.samefile(asked):
        return True
    query = "SELECT count(*) FROM sqlite_master WHERE name IN ('scenes', 'runs')"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return int(connection.execute(query).fetchone()[0]) == 2
    except sqlite3.OperationalError:
        # A database that cannot be looked into now, because another program writes to it, is not to be replaced.
        return True
    except sqlite3.Error:
        return False


def _write(path: Path, found: gpd.GeoDataFrame) -> None:
    if path.suffix.lower() == ".csv":
        write_text(path, _to_csv(found))
        return
    driver = _DRIVERS[path.suffix.lower()]
    # RFC 7946 cuts outlines at the date line. Through memory: a full disk is then an error of Python.
    options: dict[str, Any] = {"RFC7946": "YES"} if driver == "GeoJSON" else {}
    buffer = io.BytesIO()
    found.to_file(buffer, driver=driver, layer="found", **options)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _to_csv(found: gpd.GeoDataFrame) -> str:
    import pandas as pd
    import shapely

    table = pd.DataFrame(found.drop(columns="geometry"))
    if "lon" not in table:
        table["lon"], table["lat"] = shapely.get_coordinates(shapely.centroid(_placed(found))).T.round(6)
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text


def _placed(found: gpd.GeoDataFrame) -> Any:
    """Return the outlines, with one at no place where there is none, so that rows and places stay together."""
    import numpy as np
    import shapely

    outlines = found.geometry.to_numpy()
    return np.where(shapely.is_missing(outlines), shapely.Point(np.nan, np.nan), outlines)


def _print_table(config: QueryConfig, found: gpd.GeoDataFrame) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not len(found):
        say(f"no {config.table} in {without_password(config.catalog)} meet all of this")
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    head = found.head(config.limit)
    shown = [name for name in _SHOWN[config.table] if _is_worth_a_column(head, name)]
    # One line a row: names and sites are cut where the line is too short for them, and `--out` has it all.
    widths = _fit({name: _widest(head, name) for name in shown}, console.width - len(shown))
    for name, width in widths.items():
        justify: Literal["left", "right"] = "right" if name in _NUMERIC else "left"
        table.add_column(_header(name), justify=justify, no_wrap=True, overflow="ellipsis", width=width)
    for _, row in head.iterrows():
        # Not plain strings: rich would take brackets in names for its markup.
        cells = (Text(_cell(row, name)) for name in shown)
        table.add_row(*cells, style="bold" if row.get("flagged") is True else None)
    console.print(table)
    rest = len(found) - min(len(found), config.limit)
    more = f", of which the {config.limit} with the highest scores are shown" if rest else ""
    say(f"{_count(config.table, len(found))}{more}")


def _is_worth_a_column(rows: gpd.GeoDataFrame, name: str) -> bool:
    if name == "model":
        return len(set(rows["model"])) > 1
    # Few scenes follow the terrain.
    return name != "level_score" or bool(rows["level_score"].notna().any())


def _header(name: str) -> str:
    return _HEADERS.get(name, name.replace("_", " "))


def _widest(rows: gpd.GeoDataFrame, name: str) -> int:
    return max(len(cell) for cell in (_header(name), *(_cell(row, name) for _, row in rows.iterrows())))


def _fit(widths: dict[str, int], room: int) -> dict[str, int]:
    """Shorten the longest of the columns that may be cut until all fit, or nothing is left to cut."""
    widths = dict(widths)
    flexible = [name for name in widths if name in _FLEXIBLE]
    while sum(widths.values()) > room:
        longest = max(flexible, key=lambda name: widths[name])
        if widths[longest] <= _LEAST_WIDTH:
            break
        widths[longest] -= 1
    return widths


def _cell(row: pd.Series[Any], name: str) -> str:
    import pandas as pd

    if name == "score" and row.get("status") == "failed":
        return "failed"
    if name in {"name", "scene"}:
        # The dates have a column of their own, and the ending is that of every file of its kind.
        plain = _DATES.sub("", _ENDING.sub("", str(row[name]))).strip("_-. ")
        return plain or str(row[name])
    if name == "dates":
        days = [row[key] for key in ("reference_date", "secondary_date")]
        return " ".join("" if pd.isna(day) else day.strftime("%Y-%m-%d") for day in days).strip()
    value = row["site_distance_km" if name == "km" else name]
    if pd.isna(value):
        return ""
    return _NUMBERS.get("lon" if name == "lat" else name, "{}").format(value)


def _count(table: str, number: int) -> str:
    return f"{number:,} {table if number != 1 else table.removesuffix('s')}"
