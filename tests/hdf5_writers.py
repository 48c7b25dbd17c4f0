"""The scene of ``product_writers`` as MintPy, OPERA, NISAR and GMTSAR would write it, with h5py and SciPy alone.

Names of datasets and attributes are those of the writers' own public source: MintPy's ``docs/api/data_structure.md``,
``product.py`` and ``product_info.py`` of disp-s1, ``GUNW_writer.py`` of isce3, and GMT's netCDF grids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from rasterio.crs import CRS
from scipy.io import netcdf_file

from fringewatch.conventions import SPEED_OF_LIGHT_M_S
from product_writers import DAYS, DEGREES, PAIR, UTM, Scene, Written, look, text, tif, zeros

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from affine import Affine

LATER = "20180625"


def _los_m(scene: Scene) -> np.ndarray:
    """Displacement towards the satellite, metres; 0 = no data."""
    return zeros(scene.unwrapped.astype(float) * -scene.wavelength_m / (4 * np.pi))


def centres(grid: Affine, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return grid.c + grid.a * (np.arange(shape[1]) + 0.5), grid.f + grid.e * (np.arange(shape[0]) + 0.5)


# --- MintPy -----------------------------------------------------------------------------------------------------------


def _mintpy(path: Path, scene: Scene, grid: Affine | None, kind: str, data: Mapping[str, Any], **more: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs.update(FILE_TYPE=kind, LENGTH=str(scene.shape[0]), WIDTH=str(scene.shape[1]))
        file.attrs.update(WAVELENGTH=repr(scene.wavelength_m), **more)
        if grid is not None:
            places = {"X_FIRST": grid.c, "X_STEP": grid.a, "Y_FIRST": grid.f, "Y_STEP": grid.e}
            file.attrs.update({key: repr(value) for key, value in places.items()})
            if "EPSG" not in more and "UTM_ZONE" not in more:
                file.attrs.update(X_UNIT="degrees", Y_UNIT="degrees")
        for name, values in data.items():
            file.create_dataset(name, data=values, chunks=True)
    return path


def write_mintpy(folder: Path, scene: Scene, *, kind: str = "ifgramStack", where: str = "degrees") -> Written:
    """Write a stack of two pairs, the second of them dropped, or a time series of three dates."""
    grid = {"degrees": DEGREES, "utm": UTM, "radar": None}[where]
    more = {"utm": {"EPSG": "32633"}}.get(where, {})
    place = folder / "mintpy"
    if kind.startswith("ifgramStack"):
        phases = {"unwrapPhase": scene.unwrapped, "wrapPhase": scene.wrapped}
        if kind.endswith("unwrapped"):
            del phases["wrapPhase"]
        data: dict[str, Any] = {
            "date": np.array([DAYS[::-1], DAYS], "S8"),
            "bperp": np.zeros(2, np.float32),
            "dropIfgram": np.array([False, True]),
            "coherence": np.stack([0 * scene.coherence, scene.coherence]),
            **{name: np.stack([-zeros(values), zeros(values)]) for name, values in phases.items()},
        }
        path = _mintpy(place / "inputs" / "ifgramStack.h5", scene, grid, "ifgramStack", data, UNIT="radian", **more)
    else:
        los = _los_m(scene)
        first = np.where(scene.valid, np.float32(0.02), 0)
        data = {
            "date": np.array([*DAYS, LATER], "S8"),
            "bperp": np.zeros(3, np.float32),
            "timeseries": np.stack([first, first + los, first + los / 2]),
        }
        path = _mintpy(place / "timeseries_ERA5_demErr.h5", scene, grid, "timeseries", data, UNIT="m", **more)
        path = path.with_name(f"{path.name}#{PAIR}")
    azimuth = (-scene.azimuth_deg + 540) % 360 - 180
    geometry = {"height": scene.height, "incidenceAngle": scene.incidence_deg, "azimuthAngle": azimuth}
    if grid is None:
        geometry |= {"latitude": scene.latitude, "longitude": scene.longitude}
    name = "geometryRadar.h5" if grid is None else "geometryGeo.h5"
    _mintpy(place / "inputs" / name, scene, grid, "geometry", geometry, **more)
    return Written(
        path,
        "mintpy",
        grid,
        {"degrees": 4326, "utm": 32633}.get(where),
        coherence_step=1e-6 if "coherence" in data else None,
        lookup=grid is None,
        unwrapped=kind != "ifgramStack",
    )


def write_mintpy_velocity(folder: Path, scene: Scene, *, days: float) -> Path:
    """Write what moves as in the scene within so many days, a year having 365.25."""
    velocity = _los_m(scene) / days * 365.25
    return _mintpy(folder / "velocity.h5", scene, DEGREES, "velocity", {"velocity": velocity}, UNIT="m/year")


# --- OPERA DISP-S1 ----------------------------------------------------------------------------------------------------

OPERA = "OPERA_L3_DISP-S1_IW_F11116_VV_20180601T014858Z_20180613T014859Z_v1.0_20250318T222753Z"


def write_opera(folder: Path, scene: Scene, *, old: bool = False, member: str = "") -> Written:
    """Write a displacement file and its frame's static layers."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{OPERA}.nc"
    x, y = centres(UTM, scene.shape)
    los = _los_m(scene).astype(np.float32)
    junk = np.random.default_rng(0).normal(0, 0.05, scene.shape).astype(np.float32)
    layers = {
        "displacement": np.where(scene.valid, los if not member else -los, junk),
        "short_wavelength_displacement": np.where(scene.valid, los if member else -los, np.nan),
        "temporal_coherence": scene.coherence,
        "connected_component_labels": scene.valid.astype(np.uint16) * 3,
        "recommended_mask": scene.valid.astype(np.uint8),
    }
    if old:
        del layers["recommended_mask"]
    with h5py.File(path, "w") as file:
        file.attrs["title"] = "OPERA_L3_DISP-S1 Product"
        grid = file.create_dataset("spatial_ref", data=0)
        grid.attrs["crs_wkt"] = CRS.from_epsg(32633).to_wkt()
        grid.attrs["GeoTransform"] = " ".join(map(str, UTM.to_gdal()))
        grid.attrs["grid_mapping_name"] = "transverse_mercator"
        for name, values in (("y", y), ("x", x)):
            file[name] = values
            file[name].make_scale(name)
            file[name].attrs["standard_name"] = f"projection_{name}_coordinate"
            file[name].attrs["units"] = "m"
        for name, values in layers.items():
            data = file.create_dataset(name, data=values, chunks=(16, 16), compression="gzip", shuffle=True)
            data.attrs["_FillValue"] = values.dtype.type(np.nan if values.dtype.kind == "f" else 255)
            data.attrs["grid_mapping"] = "spatial_ref"
            for axis, coordinate in enumerate(("y", "x")):
                data.dims[axis].attach_scale(file[coordinate])
        about = file.create_group("identification")
        about["radar_wavelength"] = scene.wavelength_m
        for role, day in zip(("reference", "secondary"), DAYS, strict=True):
            about[f"{role}_datetime"] = np.bytes_(f"{day[:4]}-{day[4:6]}-{day[6:]} 01:48:58.000000")
    static = "OPERA_L3_DISP-S1-STATIC_F11116_20140403_S1A_v1.0"
    utm: dict[str, Any] = {"crs": "EPSG:32633", "transform": UTM}
    tif(folder / f"{static}_dem.tif", scene.height, **utm)
    enu = np.stack(scene.los).astype(np.float32)
    _bands(folder / f"{static}_line_of_sight_enu.tif", enu)
    what = path.with_name(f"{path.name}#{member}") if member else path
    mask = "connected_component_labels" if old else "recommended_mask"
    return Written(what, "opera", UTM, 32633, unwrapped=True, says=(f"where {mask} is 0",))


def _bands(path: Path, values: np.ndarray) -> None:
    import rasterio

    profile = {"driver": "GTiff", "count": len(values), "dtype": "float32", "crs": "EPSG:32633", "transform": UTM}
    with rasterio.open(path, "w", height=values.shape[1], width=values.shape[2], **profile) as sink:
        sink.write(values)


# --- NISAR GUNW -------------------------------------------------------------------------------------------------------

NISAR = "NISAR_L2_PR_GUNW_006_172_A_023_008_2000_SH_20180601T001122_20180601T001156_20180613T001122_20180613T001157"
_MASK = "Combination of water mask and a mask of subswaths of valid samples"


def write_nisar(
    folder: Path, scene: Scene, *, polarisations: tuple[str, ...] = ("HH",), unwrapped_only: bool = False
) -> Written:
    """Write a file whose first polarisation is the scene; any other holds its conjugate."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{NISAR}_D00340_N_F_J_001.h5"
    x, y = centres(UTM, scene.shape)
    with h5py.File(path, "w") as file:
        root = file.create_group("science/LSAR")
        for role, day in zip(("reference", "secondary"), DAYS, strict=True):
            time = f"{day[:4]}-{day[4:6]}-{day[6:]}T00:11:22.000000000"
            root[f"identification/{role}ZeroDopplerStartTime"] = np.bytes_(time)
        grids = root.create_group("GUNW/grids/frequencyA")
        grids["listOfPolarizations"] = np.array(polarisations, "S2")
        grids["centerFrequency"] = SPEED_OF_LIGHT_M_S / scene.wavelength_m
        kinds = {"wrappedInterferogram": ("wrappedInterferogram", scene.complex)} if not unwrapped_only else {}
        kinds["unwrappedInterferogram"] = ("unwrappedPhase", zeros(scene.unwrapped))
        for group, (name, values) in kinds.items():
            # Outside the mask there are values, too, which are noise; the last rows are water.
            mask = np.where(scene.valid, 11, 10).astype(np.uint8)
            grids[f"{group}/mask"] = mask
            grids[f"{group}/mask"].attrs.update(description=np.bytes_(_MASK), _FillValue=np.uint8(255))
            for polarisation in polarisations:
                place = grids.create_group(f"{group}/{polarisation}")
                first = polarisation == polarisations[0]
                filled = np.where(scene.valid, values if first else np.conj(values), values.dtype.type(1.5))
                place.create_dataset(name, data=filled, chunks=(16, 32), compression="gzip")
                place["coherenceMagnitude"] = scene.coherence
                place["xCoordinates"], place["yCoordinates"] = x, y
                place["projection"] = np.uint32(32633)
                place["projection"].attrs["epsg_code"] = np.uint32(32633)
        _radar_grid(root.create_group("GUNW/metadata/radarGrid"), scene)
    return Written(path, "nisar", UTM, 32633, height=False, unwrapped=unwrapped_only)


def _radar_grid(group: Any, scene: Scene) -> None:
    """Write the look vector at every other pixel and three heights, of which that at 0 is right."""
    columns, rows = np.arange(-3, scene.shape[1] + 4, 2), np.arange(-3, scene.shape[0] + 4, 2)
    incidence = np.broadcast_to(36 + 0.05 * columns, (rows.size, columns.size))
    east, north, _ = look(incidence, np.full(incidence.shape, scene.heading_deg - 90))
    group["heightAboveEllipsoid"] = np.array([-500.0, 0.0, 1000.0])
    group["xCoordinates"] = UTM.c + UTM.a * (columns + 0.5)
    group["yCoordinates"] = UTM.f + UTM.e * (rows + 0.5)
    group["losUnitVectorX"] = np.stack([east - 0.1, east, east + 0.1])
    group["losUnitVectorY"] = np.stack([north - 0.1, north, north + 0.1])


# --- ARIA -------------------------------------------------------------------------------------------------------------


def write_aria(folder: Path, scene: Scene) -> Written:
    """Write a pair as ARIA does: the later date first, and positive towards the sensor."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"S1-GUNW-D-R-022-tops-{DAYS[1]}_{DAYS[0]}-051122-00014E_00038N-PP-c92e-v3_0_1.nc"
    x, y = centres(DEGREES, scene.shape)
    columns, rows = np.arange(-3, scene.shape[1] + 4, 2), np.arange(-3, scene.shape[0] + 4, 2)
    incidence = np.broadcast_to(36 + 0.05 * columns, (rows.size, columns.size))
    # Counter-clockwise from east; the scene's heading is clockwise from north, and its radar looks to the right.
    azimuth = np.full(incidence.shape, 90 - (scene.heading_deg - 90))
    with h5py.File(path, "w") as file:
        data = file.create_group("science/grids/data")
        data["longitude"], data["latitude"] = x, y
        layers = {"unwrappedPhase": -zeros(scene.unwrapped), "coherence": scene.coherence}
        for name, values in layers.items():
            made = data.create_dataset(name, data=values.astype(np.float32), chunks=(16, 16), compression="gzip")
            made.attrs["_FillValue"] = np.float32(0)
        geometry = file.create_group("science/grids/imagingGeometry")
        geometry["heightsMeta"] = np.array([-1500.0, 0.0, 3000.0])
        geometry["longitudeMeta"] = DEGREES.c + DEGREES.a * (columns + 0.5)
        geometry["latitudeMeta"] = DEGREES.f + DEGREES.e * (rows + 0.5)
        geometry["incidenceAngle"] = np.stack([incidence - 1, incidence, incidence + 1])
        geometry["azimuthAngle"] = np.stack([azimuth] * 3)
        file["science/radarMetaData/wavelength"] = scene.wavelength_m
    return Written(
        path, "aria", DEGREES, 4326, height=False, unwrapped=True, says=("phase and dates were turned round",)
    )


# --- GMTSAR -----------------------------------------------------------------------------------------------------------


def gmt_grid(
    path: Path, values: np.ndarray, grid: Affine | None, *, netcdf4: bool = False, pixel: bool = True, east: float = 0
) -> Path:
    """Write a grid as GMT does: rows from the south, NaN = no data, coordinates of the nodes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    # Radar grids are decimated: range by 8, azimuth by 2.
    x, y = (
        (np.arange(width) * 8 + 4.0, np.arange(height)[::-1] * 2 + 1.0) if grid is None else centres(grid, values.shape)
    )
    names = ("x", "y") if grid is None else ("lon", "lat")
    axes = dict(zip(names, (x + east, y[::-1]), strict=True))
    attributes = {"lon": ("longitude", "degrees_east"), "lat": ("latitude", "degrees_north")}
    half = 0.5 if pixel else 0.0
    data = np.where(values == 0, np.nan, values)[::-1].astype(np.float32)
    file: Any
    if netcdf4:
        file = h5py.File(path, "w")
        for name, centre in axes.items():
            file[name] = centre
            file[name].make_scale(name)
        file["z"] = data
        file["z"].attrs["_FillValue"] = np.float32(np.nan)
        file["z"].dims[0].attach_scale(file[names[1]])
        file["z"].dims[1].attach_scale(file[names[0]])
        variables: Any = file
        global_attributes = file.attrs
    else:
        file = netcdf_file(path, "w", version=2)
        for name, centre in axes.items():
            file.createDimension(name, centre.size)
            file.createVariable(name, "d", (name,))[:] = centre
        file.createVariable("z", "f", names[::-1])[:] = data
        file.variables["z"]._FillValue = np.float32(np.nan)
        variables = file.variables
        global_attributes = None
    for name, centre in axes.items():
        step = centre[1] - centre[0]
        known = {"actual_range": np.array([centre[0] - half * step, centre[-1] + half * step])}
        if name in attributes:
            known |= {"long_name": attributes[name][0], "units": attributes[name][1]}
        for key, value in known.items():
            if netcdf4:
                variables[name].attrs[key] = value
            else:
                setattr(variables[name], key, value)
    more = {"Conventions": "CF-1.7", **({"node_offset": np.int32(1)} if pixel else {})}
    if netcdf4:
        global_attributes.update(more)
    else:
        for key, value in more.items():
            setattr(file, key, value)
    file.close()
    return path


def write_gmtsar(
    folder: Path, scene: Scene, *, form: str = "phasefilt", geocoded: bool = True, names: bool = True, **grid_form: Any
) -> Written:
    """Write the folder of a pair, whose days count from 0."""
    place = folder / "intf_all" / "2018151_2018163"
    grid, ll = (DEGREES, "_ll") if geocoded else (None, "")
    values = scene.unwrapped if form.startswith("unwrap") else scene.wrapped
    path = gmt_grid(place / f"{form}{ll}.grd", zeros(values), grid, **grid_form)
    gmt_grid(place / f"corr{ll}.grd", scene.coherence, grid, **grid_form)
    if geocoded:
        for name, component in zip(("east", "north", "up"), scene.los, strict=True):
            gmt_grid(place / f"{name}_look.grd", component, grid, **grid_form)
    for day, doy in zip(DAYS, (151, 163), strict=True):
        name = f"S1_{day}_ALL_F2" if names else f"IMG-HH-{doy}"
        start = f"SC_clock_start\t\t= 2018{doy}.{doy}6543210"
        text(place / f"{name}.PRM", f"num_rng_bins = 21000\n{start}\nradar_wavelength = {scene.wavelength_m!r}\n")
    return Written(
        path,
        "gmtsar",
        grid,
        4326 if geocoded else None,
        height=False,
        los="pixels" if geocoded else "",
        unwrapped=form.startswith("unwrap"),
        says=() if names else ("counted from 0",),
    )


WRITERS: dict[str, Callable[[Path, Scene], Written]] = {
    "mintpy, stack": write_mintpy,
    "mintpy, stack, unwrapped": lambda folder, scene: write_mintpy(folder, scene, kind="ifgramStack, unwrapped"),
    "mintpy, stack, UTM": lambda folder, scene: write_mintpy(folder, scene, where="utm"),
    "mintpy, stack, radar": lambda folder, scene: write_mintpy(folder, scene, where="radar"),
    "mintpy, time series, unwrapped": lambda folder, scene: write_mintpy(folder, scene, kind="timeseries"),
    "opera, unwrapped": write_opera,
    "opera, before recommended_mask, unwrapped": lambda folder, scene: write_opera(folder, scene, old=True),
    "opera, short wavelengths, unwrapped": lambda folder, scene: write_opera(
        folder, scene, member="short_wavelength_displacement"
    ),
    "nisar": write_nisar,
    "nisar, unwrapped": lambda folder, scene: write_nisar(folder, scene, unwrapped_only=True),
    "aria, unwrapped": write_aria,
    "gmtsar": write_gmtsar,
    "gmtsar, netCDF-4": lambda folder, scene: write_gmtsar(folder, scene, netcdf4=True),
    "gmtsar, gridline": lambda folder, scene: write_gmtsar(folder, scene, pixel=False),
    "gmtsar, east of 180": lambda folder, scene: write_gmtsar(folder, scene, east=360),
    "gmtsar, mask": lambda folder, scene: write_gmtsar(folder, scene, form="phase_mask", names=False),
    "gmtsar, unwrapped": lambda folder, scene: write_gmtsar(folder, scene, form="unwrap_mask"),
    "gmtsar, radar": lambda folder, scene: write_gmtsar(folder, scene, geocoded=False),
    "gmtsar, radar, netCDF-4": lambda folder, scene: write_gmtsar(folder, scene, geocoded=False, netcdf4=True),
}
"""Every form of these products, by name."""
