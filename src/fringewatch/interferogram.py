"""The interferogram every stage exchanges: an :class:`xarray.Dataset` and the checks that make it one.

Variables, all on dimensions ``("y", "x")``:

=================== ======== ============ =====================================================
name                dtype    unit         meaning
=================== ======== ============ =====================================================
``phase``           float32  rad          wrapped, in (-pi, pi]; NaN = no data; grows with range
``coherence``       float32  1            optional, in [0, 1]
``height``          float32  m            optional
``los_east/north/up`` float32 1           optional unit vector from ground to satellite
=================== ======== ============ =====================================================

Attributes: ``wavelength_m``, ``reference_date`` and ``secondary_date`` (ISO ``YYYY-MM-DD`` or ``""``), ``product``
(the reader's name), ``source`` (path or URL), ``name`` (what outputs are called after), ``phase_sign`` (always
:data:`~fringewatch.conventions.PHASE_SIGN`, or ``"unknown"`` where the source cannot tell), ``assumptions`` (a list of
sentences: what the reader could not know), and ``unwrapped_range_rad`` where the source was unwrapped.
Coordinates ``y`` and ``x`` are pixel centres in the CRS (through ``.rio``), or pixel indices where there is none. In
radar geometry there may be ``lat`` and ``lon`` on ``("y", "x")``: where each pixel lies, degrees in WGS 84, NaN =
unknown.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from fringewatch.conventions import PHASE_SIGN
from fringewatch.errors import ProductError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import shapely
    from affine import Affine
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MIN_SIZE_PX",
    "OPTIONAL_VARIABLES",
    "footprint",
    "grid_of",
    "half_turn",
    "make_interferogram",
    "pixel_size_m",
    "validate",
    "with_companions",
]

MIN_SIZE_PX = 8
"""Smallest side of an interferogram that can hold a fringe; the detector pads what is smaller than its own minimum."""

_ROUNDING = 1e-3
_COMPANION_RANGES = {"coherence": (0.0, 1.0)} | dict.fromkeys(("los_east", "los_north", "los_up"), (-1.0, 1.0))

OPTIONAL_VARIABLES = ("coherence", "height", "los_east", "los_north", "los_up")


def make_interferogram(
    phase: ArrayLike,
    *,
    wavelength_m: float,
    source: str = "memory",
    product: str = "array",
    name: str = "",
    reference_date: str = "",
    secondary_date: str = "",
    phase_sign: str = PHASE_SIGN,
    unwrapped_range_rad: float | None = None,
    transform: Affine | None = None,
    crs: Any = None,
    assumptions: Sequence[str] = (),
    companions: Mapping[str, ArrayLike] | None = None,
    latitude: ArrayLike | None = None,
    longitude: ArrayLike | None = None,
    decoded: bool = False,
) -> xr.Dataset:
    """Build a valid interferogram from arrays.

    Parameters
    ----------
    phase
        (H, W) wrapped phase in (-pi, pi], radians; NaN = no data. NumPy or dask; a dask array stays lazy and its values
        are then not checked.
    wavelength_m
        Radar wavelength in metres.
    source, product, name, reference_date, secondary_date, phase_sign, unwrapped_range_rad, assumptions
        Attributes; see the module's docstring. Dates are ISO ``YYYY-MM-DD``.
    transform, crs
        Affine transform of the upper left pixel corner, and anything ``rioxarray`` accepts as CRS. Where one is missing
        coordinates are pixel indices.
    companions
        Any of :data:`OPTIONAL_VARIABLES`, each (H, W).
    latitude, longitude
        (H, W) degrees in WGS 84, for phase in radar geometry; NaN = unknown. Both or none.
    decoded
        Whether the phase is known to lie within (-pi, pi], so that this need not be looked for.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    ProductError
        If a shape, range or attribute is not what the schema asks for.
    """
    _check_words(source, companions or {}, phase_sign, reference_date=reference_date, secondary_date=secondary_date)
    variables: dict[str, Any] = {"phase": phase, **(companions or {})}
    data: dict[str, tuple[tuple[str, str], Any]] = {}
    for key, values in variables.items():
        array = values if hasattr(values, "astype") else np.asarray(values)
        if np.issubdtype(array.dtype, np.complexfloating):
            message = f"{source}: {key} holds complex numbers, expected real ones; for phase give np.angle of them"
            raise ProductError(message)
        if array.ndim != 2:
            message = f"{source}: {key} has shape {array.shape}, expected two dimensions (rows, columns)"
            raise ProductError(message)
        if data and array.shape != data["phase"][1].shape:
            message = f"{source}: {key} has shape {array.shape}, expected that of the phase, {data['phase'][1].shape}"
            raise ProductError(message)
        data[key] = (("y", "x"), array.astype(np.float32, copy=False))
    height, width = data["phase"][1].shape
    attrs: dict[str, Any] = {
        "wavelength_m": float(wavelength_m),
        "reference_date": reference_date,
        "secondary_date": secondary_date,
        "product": product,
        "source": source,
        "name": name,
        "phase_sign": phase_sign,
        "assumptions": list(assumptions),
    }
    if unwrapped_range_rad is not None:
        attrs["unwrapped_range_rad"] = float(unwrapped_range_rad)
    bare = len(data) == 1
    if crs is None or transform is None:
        dataset = xr.Dataset(data, {"y": np.arange(height, dtype=float), "x": np.arange(width, dtype=float)}, attrs)
    else:
        empty = _empty(crs if isinstance(crs, Hashable) else str(crs), transform, height, width)
        if _is_beyond_the_poles(crs if isinstance(crs, Hashable) else str(crs), transform, height):
            message = (
                f"{source}: its coordinate system is in degrees, but its latitudes run beyond 90; are they metres? "
                "Give it the system of its coordinates, for example with `gdal_edit -a_srs`"
            )
            raise ProductError(message)
        if empty is None:
            message = (
                f"{source}: corner and steps of the grid ({tuple(transform)[:6]}) give no coordinates, expected "
                "numbers in the range of its coordinate system; write the file again"
            )
            raise ProductError(message)
        if bare:
            dataset = empty.copy(data={"phase": data["phase"][1]})
            dataset.attrs = attrs
        else:
            dataset = xr.Dataset(data, empty.coords, attrs)
        for variable in data:
            dataset.variables[variable].encoding["grid_mapping"] = "spatial_ref"
    tables = {"lat": latitude, "lon": longitude}
    for key, values in tables.items():
        if values is None and any(table is not None for table in tables.values()):
            message = f"{source}: {key} is missing, expected both lat and lon or neither"
            raise ProductError(message)
        if values is not None and np.shape(values) != (height, width):
            message = f"{source}: {key} has shape {np.shape(values)}, expected that of the phase, {(height, width)}"
            raise ProductError(message)
        if values is not None:
            # No index: a scene in radar geometry is no grid in degrees.
            dataset = dataset.assign_coords({key: (("y", "x"), values)})
    return _validated(dataset, decoded=decoded)


def _check_words(source: str, companions: Iterable[str], phase_sign: str, **days: str) -> None:
    if unknown := sorted(set(companions) - {*OPTIONAL_VARIABLES}):
        message = f"{source}: companion {unknown[0]!r} is not known, expected any of {', '.join(OPTIONAL_VARIABLES)}"
        raise ProductError(message)
    if phase_sign not in {PHASE_SIGN, "unknown"}:
        message = (
            f"{source}: phase_sign = {phase_sign!r}, expected {PHASE_SIGN!r} or 'unknown'; negate phase that grows the "
            "other way"
        )
        raise ProductError(message)
    for name, day in days.items():
        try:
            # Compact ISO dates are read too, and would be compared as text with others.
            known = not day or dt.date.fromisoformat(day).isoformat() == day
        except ValueError:
            known = False
        if not known:
            message = f"{source}: {name} = {day!r}, expected a day as YYYY-MM-DD, or '' where it is not known"
            raise ProductError(message)


@functools.lru_cache(maxsize=256)
def _empty(crs: Any, transform: Affine, height: int, width: int) -> xr.Dataset | None:
    """Return an interferogram without values: pixel centres, and what rioxarray writes for a CRS and a transform.

    None where the centres overflow or coincide. Kept, for the pairs of an archive share a few grids, and to make one
    costs as much as all other checks of a scene.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        centres = {
            "y": transform.f + transform.e * (np.arange(height) + 0.5),
            "x": transform.c + transform.a * (np.arange(width) + 0.5),
        }
    for values in centres.values():
        if not np.isfinite(values).all() or np.unique(values).size < values.size:
            return None
    grid = _written(crs).rio.write_transform(transform)
    phase = np.broadcast_to(np.float32(np.nan), (height, width))
    return xr.Dataset({"phase": (("y", "x"), phase)}, {**centres, **grid.coords})


@functools.lru_cache(maxsize=256)
def _is_beyond_the_poles(crs: Any, transform: Affine, height: int) -> bool:
    """Tell whether degrees that are told are none; half a pixel and rounding beyond a pole are in order."""
    if transform.b or transform.d:
        return False
    ends = [transform.f + transform.e * row for row in (0.5, height - 0.5)]
    # Of most scenes this is known without asking what the coordinate system is.
    return max(map(abs, ends)) > 90.5 and bool(_written(crs).rio.crs.is_geographic)


@functools.lru_cache(maxsize=16)
def _written(crs: Any) -> xr.Dataset:
    """Return what rioxarray writes for a CRS, which takes it longer than all else of a grid."""
    import rioxarray  # noqa: F401  (registers the .rio accessor)

    nothing = xr.Dataset({"any": (("y", "x"), np.empty((0, 0)))})
    written: xr.Dataset = nothing.rio.write_crs(crs)
    return written


def grid_of(dataset: xr.Dataset) -> tuple[Any, Affine]:
    """Return CRS and transform, as ``.rio`` gives them; what is parsed for it is kept."""
    import rioxarray  # noqa: F401  (registers the .rio accessor)
    from affine import Affine

    # Of variables: a coordinate by itself is made anew each time, with all the others that belong to it.
    attrs = dataset.variables["spatial_ref"].attrs if "spatial_ref" in dataset.coords else {}
    if not {"crs_wkt", "GeoTransform"} <= attrs.keys():
        return dataset.rio.crs, dataset.rio.transform()
    crs, transform = _parsed_grid(attrs["crs_wkt"], attrs["GeoTransform"])
    if transform.b or transform.d:
        return crs, transform
    # A part of a scene, or one that was thinned or turned over, keeps the attribute of the whole.
    (left, across), (top, down) = (
        _start_and_step(dataset.variables[name].values, step) for name, step in (("x", transform.a), ("y", transform.e))
    )
    return crs, Affine(across, 0, left - across / 2, 0, down, top - down / 2)


def _start_and_step(centres: np.ndarray, step: float) -> tuple[float, float]:
    """Return the first of pixel centres and their step: the one that is told, unless they are another apart."""
    first = float(centres[0])
    if len(centres) < 2:
        return first, step
    apart = (float(centres[-1]) - first) / (len(centres) - 1)
    return first, step if abs(apart - step) <= 1e-3 * abs(step) else apart


@functools.lru_cache(maxsize=256)
def _parsed_grid(crs_wkt: str, geotransform: str) -> tuple[Any, Affine]:
    import rioxarray  # noqa: F401  (registers the .rio accessor)

    attrs = {"crs_wkt": crs_wkt, "GeoTransform": geotransform}
    grid = xr.Dataset(coords={"spatial_ref": ((), 0, attrs)})
    return grid.rio.crs, grid.rio.transform()


def with_companions(
    interferogram: xr.Dataset, companions: Mapping[str, NDArray[np.float32]], assumptions: Sequence[str]
) -> xr.Dataset:
    """Return an interferogram with what lies beside its phase.

    Parameters
    ----------
    interferogram
        The phase, and nothing else.
    companions
        Any of :data:`OPTIONAL_VARIABLES`, each (H, W).
    assumptions
        What is to be said besides.
    """
    attrs = {**interferogram.attrs, "assumptions": [*interferogram.attrs["assumptions"], *assumptions]}
    data = {"phase": interferogram.variables["phase"]}
    for name, values in companions.items():
        data[name] = xr.Variable(("y", "x"), values, encoding=data["phase"].encoding)
    return xr.Dataset(data, interferogram.coords, attrs)


def validate(dataset: xr.Dataset) -> xr.Dataset:
    """Check a dataset against the schema and return it.

    Raises
    ------
    ProductError
        Naming the source, what was found, what was expected.
    """
    return _validated(dataset, decoded=False)


def _validated(dataset: xr.Dataset, *, decoded: bool) -> xr.Dataset:
    source = dataset.attrs.get("source", "interferogram")
    if "phase" not in dataset:
        message = f"{source}: has no variable 'phase' (variables: {', '.join(map(str, dataset.data_vars)) or 'none'})"
        raise ProductError(message)
    phase = dataset.variables["phase"]
    if phase.dims != ("y", "x"):
        message = f"{source}: phase has dimensions {phase.dims}, expected ('y', 'x')"
        raise ProductError(message)
    if min(phase.shape) < MIN_SIZE_PX:
        message = (
            f"{source}: is {phase.shape[0]} x {phase.shape[1]} pixels, expected at least "
            f"{MIN_SIZE_PX} x {MIN_SIZE_PX}; a fringe cannot be told from noise in fewer"
        )
        raise ProductError(message)
    wavelength = dataset.attrs.get("wavelength_m")
    if not isinstance(wavelength, float) or not 0.005 < wavelength < 2.0:
        message = f"{source}: wavelength_m = {wavelength!r}, expected metres between 0.005 and 2 (C band: 0.0555)"
        raise ProductError(message)
    if isinstance(phase.data, np.ndarray) and not (decoded and _varies(phase.data)):
        _check_values(phase.data, source)
    if not decoded:
        _check_companions(dataset, source)
    return dataset


def _check_companions(dataset: xr.Dataset, source: str) -> None:
    for name, (low, high) in _COMPANION_RANGES.items():
        values = dataset.variables[name].data if name in dataset else None
        # Those that are read later are the readers' to check.
        if not isinstance(values, np.ndarray):
            continue
        least, most = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
        # Of nothing but NaN both are NaN, which is in order.
        if least < low - _ROUNDING or most > high + _ROUNDING:
            message = f"{source}: {name} runs from {least:g} to {most:g}, expected {low:g} to {high:g}; scale it"
            raise ProductError(message)


def _varies(phase: np.ndarray) -> bool:
    """Tell whether the middle of a scene has two different values, as nearly all have."""
    middle = phase[phase.shape[0] // 2]
    return float(np.fmin.reduce(middle)) < float(np.fmax.reduce(middle))


def _check_values(phase: np.ndarray, source: str) -> None:
    # These pass over NaN, and give it only where there is nothing else: half the time of looking for it first.
    low, high = float(np.fmin.reduce(phase, axis=None)), float(np.fmax.reduce(phase, axis=None))
    if not (np.isfinite([low, high]).all() or np.isfinite(phase).any()):
        message = f"{source}: every pixel is no data (NaN or the nodata value); nothing to look at"
        raise ProductError(message)
    limit = np.pi + 1e-3
    if low < -limit or high > limit:
        message = (
            f"{source}: phase runs from {low:.2f} to {high:.2f}, expected wrapped radians in (-pi, pi]; "
            "if it is unwrapped, let the reader wrap it; if it is in cycles or scaled integers, convert it"
        )
        raise ProductError(message)
    if low == high:
        message = f"{source}: phase is {low:g} everywhere; this is no interferogram (is it a mask or an empty band?)"
        raise ProductError(message)


def pixel_size_m(dataset: xr.Dataset) -> tuple[float, float] | None:
    """Return the pixel size (along y, along x) in metres, or None where the grid has no CRS and no lookup table.

    Where it has neither, ``attrs["pixel_size_m"]`` counts, which a user who knows it has given; it is never guessed.

    It is the distance of neighbouring pixels in the scene's middle on the ellipsoid of the CRS, since units of a map
    are metres on the ground in few projections; where that cannot be told, those units count. In radar geometry with
    ``lat`` and ``lon`` it is that distance by them.
    """
    crs, transform = grid_of(dataset)
    if crs is None:
        given = dataset.attrs.get("pixel_size_m")
        told = None if given is None else (float(given), float(given))
        return _looked_up_size_m(dataset) if "lat" in dataset.coords else told
    rows, columns = (dataset.variables[name].size for name in ("y", "x"))
    return _ground_size_m(crs.wkt, transform, rows, columns)


@functools.lru_cache(maxsize=256)
def _ground_size_m(crs: str, transform: Affine, rows: int, columns: int) -> tuple[float, float] | None:
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    source = CRS.from_wkt(crs)
    geodetic, ellipsoid = source.geodetic_crs, source.get_geod()
    if geodetic is not None and geodetic.is_geographic and ellipsoid is not None:
        # Above and below the middle, then left and right of it.
        right = columns / 2 + np.array([0, 0, -0.5, 0.5])
        down = rows / 2 + np.array([-0.5, 0.5, 0, 0])
        x = transform.a * right + transform.b * down + transform.c
        y = transform.d * right + transform.e * down + transform.f
        with contextlib.suppress(ProjError):
            places = Transformer.from_crs(source, geodetic, always_xy=True).transform(x, y)
            # Some national systems count in grads.
            east, north = np.multiply(places, geodetic.axis_info[0].unit_conversion_factor)
            _, _, metres = ellipsoid.inv(east[::2], north[::2], east[1::2], north[1::2], radians=True)
            if np.isfinite(metres).all() and min(metres) > 0:
                return float(metres[0]), float(metres[1])
    if source.is_geographic:
        return None
    # Outside the projection's own area, or on the plan of a town.
    factor = source.axis_info[0].unit_conversion_factor if source.axis_info else 1.0
    return (
        float(np.hypot(transform.b, transform.e)) * factor,
        float(np.hypot(transform.a, transform.d)) * factor,
    )


def _looked_up_size_m(dataset: xr.Dataset) -> tuple[float, float] | None:
    middle = {name: slice(max(size // 2 - 8, 0), size // 2 + 8) for name, size in dataset["phase"].sizes.items()}
    latitude, longitude = (np.asarray(dataset[name].isel(middle).values, float) for name in ("lat", "lon"))
    if not np.isfinite(latitude).any():
        return None
    from pyproj import Geod

    ellipsoid = Geod(ellps="WGS84")
    sizes = []
    for near, far in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        first, second = ((longitude[part].ravel(), latitude[part].ravel()) for part in (near, far))
        _, _, metres = ellipsoid.inv(*first, *second)
        if not np.isfinite(metres).any():
            return None
        sizes.append(float(np.nanmedian(metres)))
    return sizes[0], sizes[1]


def footprint(dataset: xr.Dataset) -> shapely.Polygon | None:
    """Return the outline of a scene's grid on the ground, with or without data inside.

    Parameters
    ----------
    dataset
        An interferogram; only its grid is looked at.

    Returns
    -------
    shapely.Polygon or None
        Longitude and latitude in degrees (EPSG:4326); sides of a grid in another CRS have points between the corners,
        for they are curved there. A scene across the date line goes on beyond 180. In radar geometry with ``lat`` and
        ``lon`` it runs through the corners of the lookup table. None where neither is known.
    """
    rows, columns = dataset.variables["phase"].shape
    crs, transform = grid_of(dataset)
    if crs is not None:
        return _grid_outline(crs.wkt, transform, rows, columns)
    if "lat" not in dataset.coords:
        return None
    corners = {"y": xr.DataArray([0, 0, -1, -1], dims="corner"), "x": xr.DataArray([0, -1, -1, 0], dims="corner")}
    places = [np.asarray(dataset[name].isel(corners).values, float) for name in ("lon", "lat")]
    return _outline(*places) if np.isfinite(places).all() else None


@functools.lru_cache(maxsize=256)
def _grid_outline(crs: str, transform: Affine, rows: int, columns: int) -> shapely.Polygon | None:
    from pyproj import CRS, Transformer

    source = CRS.from_wkt(crs)
    steps = np.linspace(0, 1, 2 if source.is_geographic else 9)[:-1]
    # Around the grid: along the top, down the right, back along the bottom, up the left.
    right = np.concatenate([steps, np.ones(len(steps)), 1 - steps, np.zeros(len(steps))]) * columns
    down = np.concatenate([np.zeros(len(steps)), steps, np.ones(len(steps)), 1 - steps]) * rows
    x = transform.a * right + transform.b * down + transform.c
    y = transform.d * right + transform.e * down + transform.f
    longitude, latitude = Transformer.from_crs(source, "EPSG:4326", always_xy=True).transform(x, y)
    return _outline(np.asarray(longitude), np.asarray(latitude)) if np.isfinite([longitude, latitude]).all() else None


def half_turn(longitude: float) -> float:
    """Return a longitude in degrees within [-180, 180)."""
    # Not by the remainder: one that lies there stays as it is, to the last bit.
    return float(longitude - 360 * np.floor((longitude + 180) / 360))


def _outline(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> shapely.Polygon:
    """Return a polygon whose longitudes do not jump at the date line, with its first corner in [-180, 180)."""
    import shapely

    first = half_turn(longitude[0])
    unbroken = first + (longitude - longitude[0] + 180) % 360 - 180
    return shapely.Polygon(np.column_stack([unbroken, latitude]))
