"""Detections in radar geometry: pixels, and where they lie by the lookup table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from affine import Affine

from fringewatch.detect import Detector
from fringewatch.detect.outputs import write_detections
from fringewatch.errors import ProductError
from fringewatch.interferogram import make_interferogram, pixel_size_m

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (160, 200)
GRID = Affine(0.001, 0, 14.0, 0, -0.001, 41.0)


def cone(row: float, column: float) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    height = np.clip(1 - np.hypot(rows - row, columns - column) / 30, 0, None)
    noise = 0.2 * np.random.default_rng(0).standard_normal(SHAPE)
    return np.angle(np.exp(1j * (8 * np.pi * height + noise))).astype(np.float32)


def table(grid: Affine = GRID) -> dict[str, Any]:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    return {
        "longitude": grid.a * columns + grid.b * rows + grid.c,
        "latitude": grid.d * columns + grid.e * rows + grid.f,
    }


def scene(**place: Any) -> Any:
    return make_interferogram(cone(70, 120), wavelength_m=0.0555, name="scene", **place)


@pytest.fixture(scope="module")
def detector(tiny_bundle_folder: Path) -> Detector:
    return Detector(tiny_bundle_folder)


@pytest.fixture(scope="module")
def geocoded(detector: Detector) -> Any:
    return detector.detect(scene(transform=GRID, crs="EPSG:4326"))


def test_a_table_gives_the_places_of_a_geocoded_scene(detector: Detector, geocoded: Any) -> None:
    interferogram = scene(**table())
    found = detector.detect(interferogram)
    assert len(found) == len(geocoded) == 1
    assert found.crs is None
    for column in ("lon", "lat"):
        np.testing.assert_allclose(found[column], geocoded[column], atol=1e-6)
    np.testing.assert_allclose(found["area_km2"], geocoded["area_km2"], rtol=1e-5)
    # The outline stays in pixels: the same as of the geocoded one, but for the grid.
    outline, mapped = found.geometry[0], geocoded.geometry[0]
    assert outline.area * 1e-6 == pytest.approx(mapped.area, rel=1e-9)


def test_a_slanted_table_is_followed(detector: Detector, geocoded: Any) -> None:
    slanted = Affine(0.001, 0.0004, 14.0, 0.0003, -0.001, 41.0)
    found = detector.detect(scene(**table(slanted)))
    # The cone's tip.
    lon, lat = 14.0 + 0.001 * 120.5 + 0.0004 * 70.5, 41.0 + 0.0003 * 120.5 - 0.001 * 70.5
    np.testing.assert_allclose([found["lon"][0], found["lat"][0]], [lon, lat], atol=0.003)
    shear = abs(slanted.determinant) / abs(GRID.determinant)
    assert found["area_km2"][0] == pytest.approx(geocoded["area_km2"][0] * shear, rel=0.01)


def test_the_date_line_is_crossed(detector: Detector, geocoded: Any) -> None:
    places = table()
    places["longitude"] = (places["longitude"] + (180 - 14.1205) + 180) % 360 - 180
    assert np.ptp(places["longitude"]) > 300
    found = detector.detect(scene(**places))
    assert abs(abs(found["lon"][0]) - 180) < 0.003
    assert found["area_km2"][0] == pytest.approx(geocoded["area_km2"][0], rel=1e-4)


def test_gaps_of_the_table_are_no_numbers(detector: Detector) -> None:
    places = table()
    for values in places.values():
        values[30:, :] = np.nan
    found = detector.detect(scene(**places))
    assert found[["lon", "lat", "area_km2"]].isna().all(axis=None)
    assert found["area_px"][0] > 0
    assert [row["geom"] for row in detector.examine(scene(**places)).detections.located()] == [None]


def test_a_catalogue_gets_outlines_in_degrees(detector: Detector, geocoded: Any) -> None:
    """Without them no detection is tied to a site, and no alert is raised."""
    (row,) = detector.examine(scene(**table())).detections.located()
    mapped = geocoded.geometry[0]
    assert row["geom"].symmetric_difference(mapped).area < 1e-4 * mapped.area
    across = table()
    across["longitude"] = (across["longitude"] + (180 - 14.1205) + 180) % 360 - 180
    (row,) = detector.examine(scene(**across)).detections.located()
    west, _, east, _ = row["geom"].bounds
    assert east - west < 1
    assert row["geom"].area == pytest.approx(mapped.area, rel=1e-3)


def test_the_file_says_both(detector: Detector, tmp_path: Path) -> None:
    found = detector.detect(scene(**table()))
    write_detections(tmp_path / "d.geojson", found)
    collection = json.loads((tmp_path / "d.geojson").read_text())
    properties = collection["features"][0]["properties"]
    assert "pixels" in collection["pixel_grid"]
    assert (properties["lon"], properties["lat"]) == pytest.approx((14.1205, 40.9295), abs=0.003)


def test_the_size_of_a_pixel_is_that_on_the_ground() -> None:
    on_map = pixel_size_m(scene(transform=GRID, crs="EPSG:4326"))
    assert pixel_size_m(scene(**table())) == pytest.approx(on_map, rel=1e-5)
    # One minute of latitude is a nautical mile, and the table may have gaps.
    minute = table(Affine(1 / 60, 0, 14, 0, -1 / 60, 46))
    minute["latitude"][80] = np.nan
    measured = pixel_size_m(scene(**minute))
    assert measured is not None
    assert measured[0] == pytest.approx(1852, rel=1e-3)
    assert pixel_size_m(scene()) is None
    nowhere = {name: np.full(SHAPE, np.nan) for name in ("latitude", "longitude")}
    assert pixel_size_m(scene(**nowhere)) is None


def test_the_table_has_the_shape_of_the_phase() -> None:
    with pytest.raises(ProductError, match=r"lat has shape \(3, 4\), expected that of the phase, \(160, 200\)"):
        scene(latitude=np.zeros((3, 4)), longitude=np.zeros((3, 4)))
    with pytest.raises(ProductError, match="lon is missing, expected both lat and lon or neither"):
        scene(latitude=np.zeros(SHAPE))
