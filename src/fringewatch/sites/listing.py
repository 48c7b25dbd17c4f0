"""The list of sites: the volcanoes that come with fringewatch, and the user's own from CSV or GeoJSON."""

from __future__ import annotations

import csv
import dataclasses
import functools
import re
import unicodedata
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fringewatch.errors import ConfigError
from fringewatch.progress import say
from fringewatch.sites.nearest import NEAR_KM, tie

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import geopandas as gpd
    import numpy as np
    import shapely
    from numpy.typing import NDArray

__all__ = ["Sites"]

_LATITUDE = ("latitude", "lat", "y")
_LONGITUDE = ("longitude", "lon", "long", "lng", "x")
_NAME = ("name", "volcano name", "volcano_name", "site", "mine", "mine name", "title")
_NUMBER = ("number", "volcano number", "volcano_number", "vnum", "id", "code")
_KIND = ("kind",)
_OF_VOLCANOES = ({"volcano name", "volcano_name"}, {"volcano number", "volcano_number"})
_TABLES = (".csv", ".tsv", ".txt")
_KEY = ["kind", "name", "number"]
"""What tells sites apart, here as in a catalogue."""
_MOST_NAMED = 5


# Compared and hashed by identity: what is derived from a list is kept for as long as the list itself.
@dataclasses.dataclass(frozen=True, eq=False)
class Sites:
    """A list of sites.

    Attributes
    ----------
    table
        One row per site: ``name``, ``number`` (text, ``""`` if it has none), ``kind`` (such as ``"volcano"``) and
        ``geometry``, a point or an outline in longitude and latitude (EPSG:4326). The index runs from 0.
    """

    table: gpd.GeoDataFrame

    def __len__(self) -> int:
        """Return the number of sites."""
        return len(self.table)

    @classmethod
    @functools.cache
    def volcanoes(cls) -> Self:
        """Return the volcanoes of the Holocene; ``sites/README.md`` tells their source and licence."""
        with resources.as_file(resources.files("fringewatch.sites") / "volcanoes.csv") as path:
            return cls.read(path, kind="volcano")

    @classmethod
    def load(cls, paths: Iterable[str | Path] = (), *, volcanoes: bool = True) -> Self:
        """Return the user's sites, before the volcanoes unless those are not wanted.

        A volcano of the user's takes the place of the built-in one of the same number, whatever its name is now. What
        several files say of one site is taken together, as within one file.

        Parameters
        ----------
        paths
            Files for :meth:`read`.
        volcanoes
            Whether the built-in list is added.

        Raises
        ------
        ConfigError
            If a file cannot be read as a list of sites, or places far apart are given as one site.
        """
        import geopandas as gpd
        import pandas as pd

        paths = list(paths)
        own = [cls.read(path).table for path in paths]
        if len(own) > 1:
            own = [_as_one(pd.concat(own, ignore_index=True), ", ".join(map(str, paths)))]
        parts = own + ([_outdone(cls.volcanoes().table, own)] if volcanoes or not own else [])
        # A user's own entry of a site is the better one.
        table = pd.concat(parts, ignore_index=True)
        table = table.drop_duplicates(_KEY).reset_index(drop=True)
        return cls(gpd.GeoDataFrame(table, geometry="geometry", crs="EPSG:4326"))

    @classmethod
    def read(cls, path: str | Path, *, kind: str | None = None) -> Self:
        """Read sites from CSV (name, latitude, longitude and perhaps number, kind) or from any vector file.

        Names of columns may be written as the Global Volcanism Program does (``Volcano Name``). Of a vector file
        (GeoJSON, GeoPackage, Shapefile ...) points and outlines are kept as they are.

        Rows of one kind, name and number are parts of one site, such as the panels of a mine; which these are is said.

        Parameters
        ----------
        path
            The file.
        kind
            For rows that say none; if not given, ``"volcano"`` for a list of the Global Volcanism Program, which has
            columns ``Volcano Name`` and ``Volcano Number``, and else ``"site"``.

        Raises
        ------
        ConfigError
            If the file cannot be read, lacks a name or a place, a place is not on Earth, or parts of one site lie
            farther apart than :data:`~fringewatch.sites.NEAR_KM`.
        """
        path = Path(path)
        table = _read_csv(path) if path.suffix.lower() in _TABLES else _read_vector(path)
        columns = {str(column).strip().lower(): column for column in table.columns}
        name, number, own_kind = (_pick(columns, names) for names in (_NAME, _NUMBER, _KIND))
        if name is None:
            message = f"{path}: has no column of names; expected name among {_list(columns)}"
            raise ConfigError(message)
        kind = kind or ("volcano" if all(columns.keys() & names for names in _OF_VOLCANOES) else "site")
        made = _frame(
            name=[_text(value) for value in table[name]],
            number=[""] * len(table) if number is None else [_text(value) for value in table[number]],
            kind=[kind] * len(table) if own_kind is None else [_text(value) or kind for value in table[own_kind]],
            geometry=table.geometry,
        )
        _check(path, made)
        return cls(_as_one(made, str(path)))

    def find(self, wanted: str) -> NDArray[np.intp]:
        """Return the rows of the site with a name or number; upper case, accents and the order of words do not count.

        ``"piton de la fournaise"`` finds ``Fournaise, Piton de la``.

        Raises
        ------
        ConfigError
            If there is none, with the nearest names, or if the name is that of several sites.
        """
        import difflib

        import numpy as np

        keys = [_key(name) for name in self.table["name"]]
        found = np.flatnonzero([wanted.strip() == number for number in self.table["number"]])
        if not len(found):
            found = np.flatnonzero([key == _key(wanted) for key in keys])
        if len(found) > 1:
            message = f"site {wanted!r}: {_several(self.table.iloc[found])}"
            raise ConfigError(message)
        if not len(found):
            names = dict(zip(keys, self.table["name"], strict=True))
            near = [names[key] for key in difflib.get_close_matches(_key(wanted), keys, n=3)]
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "--sites FILE adds sites of your own"
            message = f"site {wanted!r}: is not in the list of {len(self)} sites; {hint}"
            raise ConfigError(message)
        return found


def _read_csv(path: Path) -> gpd.GeoDataFrame:
    import geopandas as gpd
    import pandas as pd

    try:
        table = pd.read_csv(path, sep=None, engine="python", dtype=str, encoding="utf-8-sig", keep_default_na=False)
    except (OSError, ValueError, csv.Error) as error:
        message = f"{path}: cannot be read as a table of sites ({_reason(error)}); expected name,latitude,longitude"
        raise ConfigError(message) from error
    columns = {str(column).strip().lower(): column for column in table.columns}
    latitude, longitude = _pick(columns, _LATITUDE), _pick(columns, _LONGITUDE)
    if latitude is None or longitude is None:
        message = f"{path}: has no columns latitude and longitude among {_list(columns)}"
        raise ConfigError(message)
    if not isinstance(table.index, pd.RangeIndex):
        # What is too much at the end of every row, pandas takes for names of rows at its beginning.
        message = (
            f"{path}: rows have more fields than the header; put numbers with a decimal comma in quotes, or write them "
            "with a point"
        )
        raise ConfigError(message)
    # Of degrees, a comma can only be the decimal one.
    texts = (table[column].str.replace(",", ".", regex=False) for column in (longitude, latitude))
    places = [pd.to_numeric(text, errors="coerce") for text in texts]
    return gpd.GeoDataFrame(table, geometry=gpd.points_from_xy(*places), crs="EPSG:4326")


def _read_vector(path: Path) -> gpd.GeoDataFrame:
    import geopandas as gpd
    from pyogrio.errors import DataSourceError

    try:
        table = gpd.read_file(path)
    except (OSError, ValueError, DataSourceError) as error:
        message = f"{path}: cannot be read as sites ({_reason(error)}); expected CSV, GeoJSON or another vector file"
        raise ConfigError(message) from error
    if not isinstance(table, gpd.GeoDataFrame):
        message = f"{path}: has no geometry; expected points or outlines with a name"
        raise ConfigError(message)
    return table if table.crs is None else table.to_crs("EPSG:4326")


def _frame(**columns: Any) -> gpd.GeoDataFrame:
    import geopandas as gpd

    geometry = columns.pop("geometry")
    return gpd.GeoDataFrame(columns, geometry=list(geometry), crs="EPSG:4326")


def _check(path: Path, table: gpd.GeoDataFrame) -> None:
    import numpy as np
    import shapely

    if not len(table):
        message = f"{path}: holds no sites; expected a row for each, with name, latitude and longitude"
        raise ConfigError(message)
    low_x, low_y, high_x, high_y = shapely.bounds(table.geometry.to_numpy()).T
    with np.errstate(invalid="ignore"):
        wrong = ~((low_y >= -90) & (high_y <= 90) & (low_x >= -180) & (high_x <= 360))
    wrong |= table["name"].to_numpy() == ""
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        message = (
            f"{path}: site {row + 1} ({table['name'].iloc[row] or 'without a name'}) has no name or no place on Earth; "
            "expected latitude between -90 and 90 and longitude between -180 and 360, in degrees"
        )
        raise ConfigError(message)


def _as_one(table: gpd.GeoDataFrame, where: str) -> gpd.GeoDataFrame:
    """Return a table with one row for each site, where rows that are alike but for their places were its parts."""
    import shapely

    repeated = table[table.duplicated(_KEY, keep=False)]
    if not len(repeated):
        return table
    joined, names = table.geometry.to_list(), []
    for _, rows in repeated.groupby(_KEY, sort=False):
        # What is said twice counts once, so that a list and a longer one give the same as the longer one.
        parts = list(dict.fromkeys(shapely.get_parts(rows.geometry.to_numpy()).tolist()))
        name = rows["name"].iloc[0]
        if _are_apart(parts):
            message = (
                f"{where}: site {name!r} has places more than {NEAR_KM:g} km apart; give each a number of its own, in "
                "a column number, or another name"
            )
            raise ConfigError(message)
        joined[rows.index[0]] = _collect(parts)
        if len(parts) > 1:
            names.append(name)
    if names:
        more = f" and {len(names) - _MOST_NAMED} others" if len(names) > _MOST_NAMED else ""
        say(
            f"{where}: rows of one name are taken for parts of one site: {', '.join(names[:_MOST_NAMED])}{more}; "
            "numbers tell them apart"
        )
    return table.set_geometry(joined, crs=table.crs).drop_duplicates(_KEY).reset_index(drop=True)


def _are_apart(parts: Sequence[shapely.Geometry]) -> bool:
    """Tell whether the parts of a site fall into groups that are not near each other."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ties = tie(parts, Sites(_frame(name=[""] * len(parts), geometry=parts)))
    links = coo_array((np.ones(len(ties.site)), (ties.outline, ties.site)), shape=(len(parts), len(parts)))
    return bool(connected_components(links, directed=False)[0] > 1)


def _collect(parts: Sequence[shapely.Geometry]) -> shapely.Geometry:
    import shapely

    if len(parts) == 1:
        return parts[0]
    makers = {"Point": shapely.MultiPoint, "LineString": shapely.MultiLineString, "Polygon": shapely.MultiPolygon}
    kinds = {part.geom_type for part in parts}
    make = makers.get(kinds.pop(), shapely.GeometryCollection) if len(kinds) == 1 else shapely.GeometryCollection
    return make(parts)


def _outdone(volcanoes: gpd.GeoDataFrame, own: Iterable[gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    """Return the volcanoes without those of which the user's lists have the number."""
    renewed = {number for table in own for number in table["number"][table["kind"] == "volcano"]}
    return volcanoes[~volcanoes["number"].isin(renewed)]


def _several(found: gpd.GeoDataFrame) -> str:
    """Return what to do about sites that one name or number stands for."""
    numbers = list(found["number"])
    if all(numbers) and len(set(numbers)) == len(numbers):
        return f"{len(numbers)} sites have this name; give the number of one: {', '.join(numbers)}"
    rows = zip(found["name"], numbers, found["kind"], strict=True)
    listed = ", ".join(" ".join(filter(None, (name, number, f"({kind})"))) for name, number, kind in rows)
    return f"is that of {len(numbers)} sites: {listed}; only sites with a name or number of their own can be told apart"


# Letters of their own, which nothing takes apart.
_NO_ACCENTS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})


def _key(name: str) -> str:
    """Return a name without case, accents, punctuation and the order of its words."""
    plain = unicodedata.normalize("NFKD", name.casefold().translate(_NO_ACCENTS))
    return " ".join(sorted(re.findall(r"\w+", "".join(mark for mark in plain if not unicodedata.combining(mark)))))


def _pick(columns: dict[str, Any], names: Iterable[str]) -> Any:
    return next((columns[name] for name in names if name in columns), None)


def _list(columns: Iterable[str]) -> str:
    return ", ".join(columns) or "no columns"


def _text(value: Any) -> str:
    """Return a cell as text; numbers that a reader took for floats are whole again."""
    if value is None or value != value:  # noqa: PLR0124  (NaN of any type)
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
