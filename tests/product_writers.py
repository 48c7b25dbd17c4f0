"""One simulated scene, written in the form of every provider, after the public descriptions of the formats.

The writers use nothing of the readers they test: raw files come from NumPy, headers are typed out.
"""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAYS = ("20180601", "20180613")
PAIR = "_".join(DAYS)
DEGREES = Affine(0.001, 0, 14.1, 0, -0.001, 41.2)
UTM = Affine(80, 0, 500_000, 0, -80, 4_560_000)
L_BAND_M = 0.2424525
HYP3 = "S1AA_20180601T135156_20180613T135157_VVP012_INT80_G_ueF_F8BF"
BURST = "S1_136231_IW2_20180601_20180613_VV_INT80_663F"
BURSTS = "S1_064_000000s1n00-136231s2n02-000000s3n00_IW_20180601_20180613_VV_INT80_77F1"


@dataclasses.dataclass(frozen=True)
class Scene:
    """8 cm of motion towards the satellite in the middle of a descending scene; slanted corners without data."""

    shape: tuple[int, int] = (44, 61)
    wavelength_m: float = SENTINEL1_WAVELENGTH_M

    def _grid(self) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.mgrid[: self.shape[0], : self.shape[1]].astype(float)
        return rows, columns

    @property
    def valid(self) -> np.ndarray:
        rows, columns = self._grid()
        return (rows + columns >= 18) & (rows + columns <= sum(self.shape) - 15)

    @property
    def unwrapped(self) -> np.ndarray:
        """Phase that grows with range: motion towards the satellite is negative. NaN = no data."""
        rows, columns = self._grid()
        squared = (rows - self.shape[0] / 2) ** 2 + (columns - self.shape[1] / 2) ** 2
        los_m = 0.08 * np.exp(-squared / 200) + 0.003 * columns / self.shape[1] + 1e-5
        phase = -4 * np.pi / self.wavelength_m * los_m
        return np.where(self.valid, phase, np.nan).astype(np.float32)

    @property
    def wrapped(self) -> np.ndarray:
        return np.angle(np.exp(1j * self.unwrapped.astype(float))).astype(np.float32)

    @property
    def complex(self) -> np.ndarray:
        """Interferogram with an amplitude; 0 = no data."""
        rows, _ = self._grid()
        return np.where(self.valid, (50 + rows) * np.exp(1j * np.nan_to_num(self.unwrapped)), 0).astype(np.complex64)

    @property
    def coherence(self) -> np.ndarray:
        rows, columns = self._grid()
        return np.where(self.valid, 0.2 + 0.75 * rows / self.shape[0] * columns / self.shape[1], 0).astype(np.float32)

    @property
    def height(self) -> np.ndarray:
        rows, columns = self._grid()
        return (120 + 9 * rows + 4 * columns).astype(np.float32)

    @property
    def incidence_deg(self) -> np.ndarray:
        return (36 + 0.05 * self._grid()[1]).astype(np.float32)

    heading_deg = 193.0
    incidence_centre_deg = 37.5

    @property
    def azimuth_deg(self) -> np.ndarray:
        """From the ground to the satellite, clockwise from north: a descending satellite stands in the east."""
        return np.full(self.shape, self.heading_deg - 90, np.float32)

    @property
    def los(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """East, north and up of the unit vector from the ground to the satellite."""
        return look(self.incidence_deg, self.azimuth_deg)

    @property
    def los_centre(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return look(np.full(self.shape, self.incidence_centre_deg), self.azimuth_deg)

    @property
    def latitude(self) -> np.ndarray:
        """Where the pixels lie that are in radar geometry: a slanted grid."""
        rows, columns = self._grid()
        return (41.2 - 0.001 * rows + 0.0002 * columns).astype(np.float32)

    @property
    def longitude(self) -> np.ndarray:
        rows, columns = self._grid()
        return (14.1 + 0.001 * columns + 0.0002 * rows).astype(np.float32)


def look(incidence_deg: np.ndarray, azimuth_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    incidence, azimuth = np.radians(incidence_deg), np.radians(azimuth_deg)
    return np.sin(incidence) * np.sin(azimuth), np.sin(incidence) * np.cos(azimuth), np.cos(incidence)


@dataclasses.dataclass(frozen=True)
class Written:
    """A product on disk, and what can be known of the scene from it."""

    path: Path
    product: str
    grid: Affine | None = None
    epsg: int | None = None
    coherence_step: float | None = 1e-6  # None: the product has none
    height: bool = True
    los: str = "pixels"  # or "centre", or ""
    lookup: bool = False
    wavelength: bool = True  # declared; else Sentinel-1's is assumed
    dates: bool = True
    sign: str = "range increase"
    unwrapped: bool = False
    says: tuple[str, ...] = ()  # parts of sentences in attrs["assumptions"]


# --- helpers ----------------------------------------------------------------------------------------------------------


def put(path: Path, values: np.ndarray, dtype: str) -> Path:
    """Write raw values in the type and byte order named as NumPy does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values.astype(dtype).tofile(path)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def tif(path: Path, values: np.ndarray, crs: str = "EPSG:4326", transform: Affine = DEGREES, **profile: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 1, "dtype": values.dtype.name, **profile}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", height=values.shape[0], width=values.shape[1], crs=crs, transform=transform, **profile
        ) as sink:
            sink.write(values, 1)
    return path


def zeros(values: np.ndarray) -> np.ndarray:
    """Return values with 0 for NaN."""
    return np.nan_to_num(values).astype(np.float32)


# --- LiCSAR, HyP3, GeoTIFF --------------------------------------------------------------------------------------------


def write_licsar(folder: Path, scene: Scene, *, unwrapped: bool = False, float_coherence: bool = False) -> Written:
    frame = "022D_04826_121209"
    pair, metadata = folder / frame / "interferograms" / PAIR, folder / frame / "metadata"
    phase = scene.unwrapped if unwrapped else scene.wrapped
    path = tif(pair / f"{PAIR}.geo.{'unw' if unwrapped else 'diff_pha'}.tif", zeros(phase))
    coherence = scene.coherence if float_coherence else np.rint(scene.coherence * 255).astype(np.uint8)
    tif(pair / f"{PAIR}.geo.cc.tif", coherence)
    for letter, values in zip("ENU", scene.los, strict=True):
        tif(metadata / f"{frame}.geo.{letter}.tif", values.astype(np.float32))
    tif(metadata / f"{frame}.geo.hgt.tif", scene.height)
    step = 1e-6 if float_coherence else 0.5 / 255 + 1e-6
    return Written(path, "licsar", DEGREES, 4326, coherence_step=step, unwrapped=unwrapped)


def write_hyp3(folder: Path, scene: Scene, *, base: str = HYP3, wrapped: bool = True, zipped: bool = False) -> Written:
    place = folder / base
    ending, phase = ("wrapped_phase", scene.wrapped) if wrapped else ("unw_phase", scene.unwrapped)
    utm: dict[str, Any] = {"crs": "EPSG:32633", "transform": UTM}
    path = tif(place / f"{base}_{ending}.tif", zeros(phase), **utm, nodata=0)
    tif(place / f"{base}_corr.tif", scene.coherence, **utm)
    tif(place / f"{base}_dem.tif", scene.height, **utm)
    theta = np.radians(90 - scene.incidence_deg)
    phi = np.radians(90 - scene.azimuth_deg)
    tif(place / f"{base}_lv_theta.tif", theta.astype(np.float32), **utm)
    tif(place / f"{base}_lv_phi.tif", phi.astype(np.float32), **utm)
    text(place / f"{base}.txt", "Reference Granule: S1A_IW_SLC__1SDV_20180601T135156\nHeading: -167.0\n")
    if zipped:
        path = folder / f"{base}.zip"
        shutil.make_archive(str(folder / base), "zip", folder, base)
        shutil.rmtree(place)
    return Written(path, "hyp3", UTM, 32633, unwrapped=not wrapped)


def write_geotiff(folder: Path, scene: Scene, *, form: str = "wrapped") -> Written:
    values = {"wrapped": scene.wrapped, "unwrapped": scene.unwrapped, "complex": scene.complex}[form]
    path = tif(folder / f"crater_{PAIR}.tif", values)
    return Written(
        path,
        "geotiff",
        DEGREES,
        4326,
        coherence_step=None,
        height=False,
        los="",
        wavelength=False,
        sign="unknown",
        unwrapped=form == "unwrapped",
        says=("sign of the phase is unknown",),
    )


# --- ISCE2 and dolphin ------------------------------------------------------------------------------------------------

ISCE_TYPES = {"f4": "FLOAT", "f8": "DOUBLE", "c8": "CFLOAT", "u1": "BYTE"}


def isce_image(path: Path, bands: list[np.ndarray], dtype: str, grid: Affine | None, *, order: str = "<") -> Path:
    """Write an image as ISCE2 does: lines interleaved by band, .xml and .vrt beside it."""
    height, width = bands[0].shape
    put(path, np.stack(bands, axis=1), order + dtype)

    def number(name: str, value: object) -> str:
        return f'<property name="{name}"><value>{value}</value></property>'

    first = (0.0, 0.0) if grid is None else (grid.c, grid.f)
    step = (1.0, 1.0) if grid is None else (grid.a, grid.e)
    coordinates = "".join(
        f'<component name="coordinate{n + 1}"><factorymodule>isceobj.Image</factorymodule>'
        f"<factoryname>createCoordinate</factoryname>{number('delta', step[n])}{number('startingvalue', first[n])}"
        f"{number('size', (width, height)[n])}</component>"
        for n in (0, 1)
    )
    properties = {
        "access_mode": "READ",
        "byte_order": "l" if order == "<" else "b",
        "data_type": ISCE_TYPES[dtype],
        "file_name": path.name,
        "length": height,
        "number_bands": len(bands),
        "scheme": "BIL",
        "width": width,
    }
    body = "".join(number(name, value) for name, value in properties.items())
    text(path.with_name(f"{path.name}.xml"), f"<imageFile>{coordinates}{body}</imageFile>")
    size = np.dtype(dtype).itemsize
    gdal_type = {"f4": "Float32", "f8": "Float64", "c8": "CFloat32", "u1": "Byte"}[dtype]
    place = (
        "" if grid is None else f"<SRS>EPSG:4326</SRS><GeoTransform>{grid.to_gdal()}</GeoTransform>".replace("(", "")
    )
    raw = "".join(
        f'<VRTRasterBand band="{n + 1}" dataType="{gdal_type}" subClass="VRTRawRasterBand">'
        f'<SourceFilename relativeToVRT="1">{path.name}</SourceFilename>'
        f"<ByteOrder>{'LSB' if order == '<' else 'MSB'}</ByteOrder><ImageOffset>{n * width * size}</ImageOffset>"
        f"<PixelOffset>{size}</PixelOffset><LineOffset>{len(bands) * width * size}</LineOffset></VRTRasterBand>"
        for n in range(len(bands))
    )
    vrt = f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{place.replace(")", "")}{raw}</VRTDataset>'
    text(path.with_name(f"{path.name}.vrt"), vrt)
    return path


def isce_annotation(path: Path, scene: Scene, day: str) -> None:
    start = f"{day[:4]}-{day[4:6]}-{day[6:]} 17:02:11.512"
    text(
        path,
        '<productmanager_name><component name="instance"><component name="bursts"><component name="burst1">'
        f'<property name="radarwavelength"><value>{scene.wavelength_m!r}</value></property>'
        f'<property name="sensingstart"><value>{start}</value></property>'
        "</component></component></component></productmanager_name>",
    )


def write_isce(
    folder: Path,
    scene: Scene,
    *,
    geocoded: bool = False,
    form: str = "flat",
    layout: str = "topsApp",
    header: str = "xml",
) -> Written:
    """Write a run of topsApp, of topsStack, or of an old stripmapApp whose annotation is pickled."""
    grid = DEGREES if geocoded else None
    geo = ".geo" if geocoded else ""
    merged = folder / "merged"
    place = {
        "topsApp": merged,
        "topsStack": merged / "interferograms" / PAIR,
        "stripmapStack": folder / "Igrams" / PAIR,
    }[layout]
    name = {"topsApp": "filt_topophase", "topsStack": "filt_fine", "stripmapStack": f"filt_{PAIR}"}[layout]
    if form == "unw":
        bands, dtype = [np.abs(scene.complex), zeros(scene.unwrapped)], "f4"
    else:
        bands, dtype = [scene.complex], "c8"
    path = isce_image(place / f"{name}.{form}{geo}", bands, dtype, grid)
    coherence = "phsig" if layout == "topsApp" else name
    isce_image(place / f"{coherence}.cor{geo}", [scene.coherence], "f4", grid)
    geometry = merged if layout == "topsApp" else merged / "geom_reference"
    if layout != "stripmapStack":
        # Counter-clockwise from north, from the ground to the satellite.
        azimuth = (-scene.azimuth_deg + 540) % 360 - 180
        isce_image(geometry / f"los.rdr{geo}", [scene.incidence_deg, azimuth], "f4", grid)
        isce_image(geometry / f"{'z' if layout == 'topsApp' else 'hgt'}.rdr{geo}", [scene.height], "f8", grid)
        if not geocoded:
            isce_image(geometry / "lat.rdr", [scene.latitude], "f8", None)
            isce_image(geometry / "lon.rdr", [scene.longitude], "f8", None)
        isce_annotation(folder / "reference" / "IW2.xml", scene, DAYS[0])
        isce_annotation(folder / "secondary" / "IW2.xml", scene, DAYS[1])
    if header == "vrt":
        for left in folder.rglob("*.xml"):
            if left.parent.name not in {"reference", "secondary"}:
                left.unlink()
        path = path.with_name(f"{path.name}.vrt")
    rich = layout != "stripmapStack"
    return Written(
        path,
        "isce",
        grid,
        4326 if geocoded else None,
        height=rich,
        los="pixels" if rich else "",
        lookup=rich and not geocoded,
        wavelength=rich,
        unwrapped=form == "unw",
    )


def write_isce_by_gdal(folder: Path, scene: Scene) -> Written:
    """Let GDAL's own ISCE driver write the interferogram."""
    path = tif(folder / PAIR / "filt_fine.int", scene.complex, driver="ISCE")
    return Written(path, "isce", DEGREES, 4326, coherence_step=None, height=False, los="", wavelength=False)


def write_dolphin(folder: Path, scene: Scene, *, unwrapped: bool = False) -> Written:
    utm: dict[str, Any] = {"crs": "EPSG:32633", "transform": UTM}
    ifgs, geometry = folder / "interferograms", folder / "geometry"
    path = tif(ifgs / f"{PAIR}.int.tif", scene.complex, **utm)
    if unwrapped:
        path = tif(folder / "unwrapped" / f"{PAIR}.unw.tif", zeros(scene.unwrapped), **utm, nodata=0)
    tif(ifgs / f"{PAIR}.int.cor.tif", scene.coherence, **utm)
    east, north, _ = scene.los
    tif(geometry / "los_east.tif", east.astype(np.float32), **utm)
    tif(geometry / "los_north.tif", north.astype(np.float32), **utm)
    tif(geometry / "height.tif", scene.height, **utm)
    return Written(path, "dolphin", UTM, 32633, wavelength=False, unwrapped=unwrapped)


# --- GAMMA and LiCSBAS ------------------------------------------------------------------------------------------------


def dem_par(path: Path, scene: Scene, grid: Affine = DEGREES, *, zone: int | None = None, south: bool = False) -> Path:
    """Write a map's parameter file; its corner is the centre of the first pixel."""
    keys = ("lat", "lon", "decimal degrees") if zone is None else ("north", "east", "m")
    lines = [
        "Gamma DIFF&GEO DEM/MAP parameter file",
        "title: DEM",
        f"DEM_projection:     {'EQA' if zone is None else 'UTM'}",
        "data_format:        REAL*4",
        f"width:                {scene.shape[1]}",
        f"nlines:               {scene.shape[0]}",
        f"corner_{keys[0]}:  {grid.f + grid.e / 2!r}  {keys[2]}",
        f"corner_{keys[1]}:  {grid.c + grid.a / 2!r}  {keys[2]}",
        f"post_{keys[0]}:    {grid.e!r}  {keys[2]}",
        f"post_{keys[1]}:    {grid.a!r}  {keys[2]}",
        "",
        "ellipsoid_name: WGS 84",
        "datum_name: WGS 1984",
    ]
    if zone is not None:
        lines += [f"projection_zone:  {zone}", f"false_northing:   {10_000_000 if south else 0}.000   m"]
    return text(path, "\n".join(lines) + "\n")


def image_par(path: Path, scene: Scene, day: str, shape: tuple[int, int] | None = None) -> Path:
    """Write the parameter file of an image."""
    rows, columns = shape or scene.shape
    frequency = 299_792_458 / scene.wavelength_m
    return text(
        path,
        "Gamma Interferometric SAR Processor (ISP) - Image Parameter File\n\n"
        f"title:     {day}\nsensor:    S1A IW IW1 VV\ndate:      {day[:4]} {day[4:6]} {day[6:]}\n"
        f"range_samples:                  {columns}\nazimuth_lines:                  {rows}\n"
        f"image_format:               FLOAT\nheading:             {scene.heading_deg - 360:.6f}   degrees\n"
        f"incidence_angle:          {scene.incidence_centre_deg:.4f}   degrees\n"
        "azimuth_angle:          90.0000   degrees\n"
        f"radar_frequency:        {frequency!r}   Hz\n",
    )


def write_gamma(
    folder: Path,
    scene: Scene,
    *,
    form: str = "diff",
    where: str = "radar",
    order: str = ">",
    look_vectors: bool = False,
) -> Written:
    """Write a pair in radar geometry (.off), or on a map in degrees or UTM, with the parameter files beside it."""
    place = folder / PAIR
    on_map = where != "radar"
    geo = ".geo" if on_map else ""
    values, dtype = (scene.unwrapped, "f4") if form == "unw" else (scene.complex, "c8")
    path = put(place / f"{PAIR}.{form}{geo}", np.nan_to_num(values), order + dtype)
    put(place / f"{PAIR}.cc{geo}", scene.coherence, order + "f4")
    put(place / f"hgt{geo}", scene.height, order + "f4")
    image_par(place / f"{DAYS[0]}.mli.par", scene, DAYS[0], (900, 1700) if on_map else None)
    image_par(place / f"{DAYS[1]}.mli.par", scene, DAYS[1], (900, 1700) if on_map else None)
    grid, epsg = None, None
    if where == "radar":
        text(
            place / f"{PAIR}.off",
            f"interferogram_width:   {scene.shape[1]}\ninterferogram_azimuth_lines:   {scene.shape[0]}\n",
        )
    elif where == "degrees":
        grid, epsg = DEGREES, 4326
        dem_par(place / "EQA.dem_par", scene)
    else:
        grid, epsg = UTM, 32733 if where == "utm south" else 32633
        dem_par(place / "dem_seg.par", scene, UTM, zone=33, south=where == "utm south")
    if look_vectors:
        put(place / f"{PAIR}.lv_theta", np.radians(90 - scene.incidence_deg), order + "f4")
        put(place / f"{PAIR}.lv_phi", np.radians(90 - scene.azimuth_deg), order + "f4")
    return Written(
        path,
        "gamma",
        grid,
        epsg,
        los="pixels" if look_vectors else "centre",
        unwrapped=form == "unw",
        says=(() if look_vectors else ("scene's centre",)) + (("little-endian",) if order == "<" else ()),
    )


def write_licsbas(folder: Path, scene: Scene, *, old: bool = False, order: str = "<") -> Written:
    place = folder / "GEOCml1"
    path = put(place / PAIR / f"{PAIR}.unw", scene.unwrapped, order + "f4")
    if old:
        put(place / PAIR / f"{PAIR}.cc", scene.coherence, order + "f4")
    else:
        put(place / PAIR / f"{PAIR}.cc", np.rint(scene.coherence * 255), "u1")
    for letter, values in zip("ENU", scene.los, strict=True):
        put(place / f"{letter}.geo", values, order + "f4")
    put(place / "hgt", scene.height, order + "f4")
    dem_par(place / "EQA.dem_par", scene)
    frequency = 299_792_458 / scene.wavelength_m
    rows, columns = scene.shape
    text(
        place / "slc.mli.par",
        f"range_samples:   {columns}\nazimuth_lines:   {rows}\nradar_frequency: {frequency!r} Hz\n",
    )
    step = 1e-6 if old else 0.5 / 255 + 1e-6
    says = ("big-endian",) if order == ">" else ()
    return Written(path, "licsbas", DEGREES, 4326, coherence_step=step, unwrapped=True, says=says)


def write_licsbas_series(folder: Path, scene: Scene) -> Written:
    """Write cum.h5 of three dates: the scene's motion lies between the last two, in mm towards the satellite."""
    h5py = pytest.importorskip("h5py")
    write_licsbas(folder, scene)
    path = folder / "TS_GEOCml1" / "cum.h5"
    path.parent.mkdir()
    before_mm = np.full(scene.shape, 7.5, np.float32)
    motion_mm = -scene.unwrapped.astype(float) * scene.wavelength_m / (4 * np.pi) * 1000
    with h5py.File(path, "w") as file:
        file["imdates"] = np.array([20180520, *map(int, DAYS)], np.int32)
        file["cum"] = np.stack([0 * before_mm, before_mm, before_mm + motion_mm]).astype(np.float32)
        file["vel"] = before_mm
        file["corner_lat"], file["post_lat"] = DEGREES.f + DEGREES.e / 2, DEGREES.e
        file["corner_lon"], file["post_lon"] = DEGREES.c + DEGREES.a / 2, DEGREES.a
        file["hgt"] = scene.height
        for letter, values in zip("ENU", scene.los, strict=True):
            file[f"{letter}.geo"] = values.astype(np.float32)
    shutil.rmtree(folder / "GEOCml1" / PAIR)
    return Written(path.with_name(f"cum.h5#{PAIR}"), "licsbas", DEGREES, 4326, coherence_step=None, unwrapped=True)


# --- ROI_PAC ----------------------------------------------------------------------------------------------------------


def write_roipac(folder: Path, scene: Scene, *, form: str = "int", geocoded: bool = False) -> Written:
    place = folder / "int_180601_180613"
    name = f"{'geo_' if geocoded else 'filt_'}180601-180613-sim_HDR_4rlks"
    rows, columns = scene.shape
    header = {
        "WIDTH": columns,
        "FILE_LENGTH": rows,
        "XMIN": 0,
        "XMAX": columns - 1,
        "YMIN": 0,
        "YMAX": rows - 1,
        "WAVELENGTH": repr(scene.wavelength_m),
        "HEADING_DEG": scene.heading_deg - 360,
        "DATE12": "180601-180613",
    }
    if geocoded:
        header |= {"X_FIRST": DEGREES.c, "Y_FIRST": DEGREES.f, "X_STEP": DEGREES.a, "Y_STEP": DEGREES.e}
        header |= {"X_UNIT": "degres", "Y_UNIT": "degres"}
    lines = "".join(f"{key:<40} {value}\n" for key, value in header.items())
    if form == "unw":
        path = put(place / f"{name}.unw", np.stack([np.abs(scene.complex), zeros(scene.unwrapped)], axis=1), "<f4")
    else:
        path = put(place / f"{name}.int", scene.complex, "<c8")
    put(place / f"{name}.cor", np.stack([np.abs(scene.complex), scene.coherence], axis=1), "<f4")
    text(path.with_name(f"{path.name}.rsc"), lines)
    text(place / f"{name}.cor.rsc", lines)
    return Written(
        path,
        "roipac",
        DEGREES if geocoded else None,
        4326 if geocoded else None,
        height=False,
        los="",
        unwrapped=form == "unw",
        says=("EPSG:4326 was assumed",) if geocoded else (),
    )


# --- SNAP -------------------------------------------------------------------------------------------------------------

SNAP_WKT = (
    'GEOGCS["WGS84(DD)", DATUM["WGS84", SPHEROID["WGS84", 6378137.0, 298.257223563]], PRIMEM["Greenwich", 0.0], '
    'UNIT["degree", 0.017453292519943295], AXIS["Geodetic longitude", EAST], AXIS["Geodetic latitude", NORTH]]'
)


def beam_dimap(
    path: Path, bands: dict[str, np.ndarray], scene: Scene, *, grid: Affine | None, computed: tuple[str, ...] = ()
) -> Path:
    """Write a product as SNAP does: .dim, and big-endian .img with .hdr in .data."""
    rows, columns = scene.shape
    data = path.with_suffix(".data")
    files, infos = [], []
    for index, (name, values) in enumerate(bands.items()):
        put(data / f"{name}.img", values, ">f4")
        text(
            data / f"{name}.hdr",
            f"ENVI\ndescription = {{{name}}}\nsamples = {columns}\nlines = {rows}\nbands = 1\nheader offset = 0\n"
            "file type = ENVI Standard\ndata type = 4\ninterleave = bsq\nbyte order = 1\n",
        )
        files.append(
            f'<Data_File><DATA_FILE_PATH href="{data.name}/{name}.hdr"/><BAND_INDEX>{index}</BAND_INDEX></Data_File>'
        )
    for index, name in enumerate((*bands, *computed)):
        virtual = "<VIRTUAL_BAND>true</VIRTUAL_BAND><EXPRESSION>0</EXPRESSION>" if name in computed else ""
        infos.append(
            f"<Spectral_Band_Info><BAND_INDEX>{index}</BAND_INDEX><BAND_NAME>{name}</BAND_NAME>"
            f"<DATA_TYPE>float32</DATA_TYPE><SCALING_FACTOR>1.0</SCALING_FACTOR><SCALING_OFFSET>0.0</SCALING_OFFSET>"
            "<LOG10_SCALED>false</LOG10_SCALED><NO_DATA_VALUE_USED>true</NO_DATA_VALUE_USED>"
            f"<NO_DATA_VALUE>0.0</NO_DATA_VALUE>{virtual}</Spectral_Band_Info>"
        )
    place = ""
    if grid is not None:
        numbers = ",".join(repr(float(number)) for number in (grid.a, grid.d, grid.b, grid.e, grid.c, grid.f))
        place = (
            f"<Coordinate_Reference_System><WKT>{SNAP_WKT}</WKT></Coordinate_Reference_System>"
            f"<Geoposition><IMAGE_TO_MODEL_TRANSFORM>{numbers}</IMAGE_TO_MODEL_TRANSFORM></Geoposition>"
        )
    metadata = {
        "PRODUCT": "S1A",
        "radar_frequency": repr(299_792_458 / scene.wavelength_m / 1e6),
        "antenna_pointing": "right",
        "centre_heading": scene.heading_deg,
        "incidence_near": scene.incidence_centre_deg - 1,
        "incidence_far": scene.incidence_centre_deg + 1,
    }
    attributes = "".join(f'<MDATTR name="{name}" type="ascii">{value}</MDATTR>' for name, value in metadata.items())
    return text(
        path,
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<Dimap_Document name="x">'
        '<Metadata_Id><METADATA_FORMAT version="2.12.1">DIMAP</METADATA_FORMAT></Metadata_Id>'
        f"<Raster_Dimensions><NCOLS>{columns}</NCOLS><NROWS>{rows}</NROWS><NBANDS>{len(bands)}</NBANDS></Raster_Dimensions>"
        f"{place}<Data_Access><DATA_FILE_FORMAT>ENVI</DATA_FILE_FORMAT>"
        f"<DATA_FILE_ORGANISATION>BAND_SEPARATE</DATA_FILE_ORGANISATION>{''.join(files)}</Data_Access>"
        f"<Image_Interpretation>{''.join(infos)}</Image_Interpretation>"
        '<Dataset_Sources><MDElem name="metadata"><MDElem name="Abstracted_Metadata">'
        f"{attributes}</MDElem></MDElem></Dataset_Sources></Dimap_Document>\n",
    )


def write_snap(folder: Path, scene: Scene, *, form: str = "iq", geocoded: bool = True, angles: bool = True) -> Written:
    tag = "VV_01Jun2018_13Jun2018" if geocoded else "IW2_VV_01Jun2018_13Jun2018"
    bands: dict[str, np.ndarray]
    if form == "iq":
        bands = {f"i_ifg_{tag}": scene.complex.real, f"q_ifg_{tag}": scene.complex.imag}
    elif form == "phase":
        bands = {f"Phase_ifg_{tag}": zeros(scene.wrapped)}
    else:
        bands = {f"Unw_Phase_ifg_{tag}": zeros(scene.unwrapped)}
    bands |= {f"coh_{tag}": scene.coherence, "elevation": scene.height}
    if angles:
        bands["incidenceAngleFromEllipsoid"] = scene.incidence_deg
    if not geocoded:
        bands |= {"orthorectifiedLat": scene.latitude, "orthorectifiedLon": scene.longitude}
    computed = (f"Phase_ifg_{tag}",) if form == "iq" else ()
    grid = DEGREES if geocoded else None
    path = beam_dimap(folder / f"S1A_{PAIR}_ifg.dim", bands, scene, grid=grid, computed=computed)
    return Written(
        path,
        "snap",
        grid,
        4326 if geocoded else None,
        los="pixels" if angles else "centre",
        lookup=not geocoded,
        unwrapped=form == "unw",
        says=() if angles else ("scene's centre",),
    )


WRITERS: dict[str, Callable[[Path, Scene], Written]] = {
    "licsar": write_licsar,
    "licsar, unwrapped": lambda folder, scene: write_licsar(folder, scene, unwrapped=True),
    "licsar, coherence of floats": lambda folder, scene: write_licsar(folder, scene, float_coherence=True),
    "hyp3": write_hyp3,
    "hyp3, unwrapped": lambda folder, scene: write_hyp3(folder, scene, wrapped=False),
    "hyp3, zip": lambda folder, scene: write_hyp3(folder, scene, zipped=True),
    "hyp3, ISCE burst": lambda folder, scene: write_hyp3(folder, scene, base=BURST),
    "hyp3, ISCE bursts, zip": lambda folder, scene: write_hyp3(folder, scene, base=BURSTS, zipped=True),
    "geotiff, wrapped": write_geotiff,
    "geotiff, unwrapped": lambda folder, scene: write_geotiff(folder, scene, form="unwrapped"),
    "geotiff, complex": lambda folder, scene: write_geotiff(folder, scene, form="complex"),
    "isce, radar": write_isce,
    "isce, radar, unwrapped": lambda folder, scene: write_isce(folder, scene, form="unw"),
    "isce, geocoded": lambda folder, scene: write_isce(folder, scene, geocoded=True),
    "isce, geocoded, unwrapped": lambda folder, scene: write_isce(folder, scene, geocoded=True, form="unw"),
    "isce, topsStack": lambda folder, scene: write_isce(folder, scene, layout="topsStack", form="int"),
    "isce, stripmapStack": lambda folder, scene: write_isce(folder, scene, layout="stripmapStack", form="int"),
    "isce, .vrt alone": lambda folder, scene: write_isce(folder, scene, geocoded=True, header="vrt"),
    "isce, written by GDAL": write_isce_by_gdal,
    "dolphin": write_dolphin,
    "dolphin, unwrapped": lambda folder, scene: write_dolphin(folder, scene, unwrapped=True),
    "gamma, radar": write_gamma,
    "gamma, filtered": lambda folder, scene: write_gamma(folder, scene, form="diff_filt"),
    "gamma, unwrapped": lambda folder, scene: write_gamma(folder, scene, form="unw"),
    "gamma, degrees": lambda folder, scene: write_gamma(folder, scene, where="degrees", look_vectors=True),
    "gamma, UTM north": lambda folder, scene: write_gamma(folder, scene, form="unw", where="utm north"),
    "gamma, UTM south": lambda folder, scene: write_gamma(folder, scene, where="utm south"),
    "gamma, little-endian": lambda folder, scene: write_gamma(folder, scene, order="<"),
    "licsbas": write_licsbas,
    "licsbas, coherence of floats": lambda folder, scene: write_licsbas(folder, scene, old=True),
    "licsbas, big-endian": lambda folder, scene: write_licsbas(folder, scene, order=">"),
    "licsbas, time series, unwrapped": write_licsbas_series,
    "roipac, radar": write_roipac,
    "roipac, radar, unwrapped": lambda folder, scene: write_roipac(folder, scene, form="unw"),
    "roipac, geocoded": lambda folder, scene: write_roipac(folder, scene, geocoded=True),
    "roipac, geocoded, unwrapped": lambda folder, scene: write_roipac(folder, scene, form="unw", geocoded=True),
    "snap, real and imaginary": write_snap,
    "snap, phase": lambda folder, scene: write_snap(folder, scene, form="phase"),
    "snap, unwrapped": lambda folder, scene: write_snap(folder, scene, form="unw"),
    "snap, radar": lambda folder, scene: write_snap(folder, scene, geocoded=False),
    "snap, centre angles": lambda folder, scene: write_snap(folder, scene, angles=False),
}
"""Every form of every product, by name."""
