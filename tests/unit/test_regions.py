"""Regions: where they are, how large they are, and what is said of the phase inside."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, wrap
from fringewatch.fringes import surface
from fringewatch.interferogram import make_interferogram
from fringewatch.models import Calibration, Card, Thresholds
from fringewatch.regions import COLUMNS, cut_at_date_line, find_regions, fringes_inside, measure
from fringewatch.scan import Scan

STRIDE = 4
CARD = Card(
    name="made-up",
    version="7",
    architecture="none",
    parameters=1,
    halo_px=0,
    calibration=Calibration(slope=0.5, offset=0.25),
    scene_calibration=Calibration(slope=2.0, offset=-1.0),
    thresholds=Thresholds(scene=0.8, region_edge=0.3),
    files={"float32": "none"},
    sha256={},
)
UTM = {"transform": Affine(90, 0, 500_000, 0, -90, 6_000_000), "crs": "EPSG:32719"}


def edge_logit():
    edge = CARD.thresholds.region_edge
    return (np.log(edge / (1 - edge)) - CARD.calibration.offset) / CARD.calibration.slope


def bumps(shape, *places, floor=-12.0):
    """Return logits that are cones: `places` are (row, column, radius at the edge level) in scene pixels."""
    i, j = np.mgrid[: shape[0] // STRIDE, : shape[1] // STRIDE]
    y, x = (i + 0.5) * STRIDE - 0.5, (j + 0.5) * STRIDE - 0.5
    logits = np.full(i.shape, floor, np.float32)
    for row, column, radius in places:
        logits = np.maximum(logits, edge_logit() + 0.3 * (radius - np.hypot(y - row, x - column)))
    return logits.astype(np.float32)


def made_scan(logits, valid=None):
    valid = np.ones(logits.shape, bool) if valid is None else valid
    return Scan(logits, valid, (logits.shape[0] * STRIDE, logits.shape[1] * STRIDE), STRIDE)


def made_interferogram(shape, **options):
    phase = np.random.default_rng(0).uniform(-3, 3, shape).astype(np.float32)
    return make_interferogram(
        phase,
        wavelength_m=SENTINEL1_WAVELENGTH_M,
        name="scene",
        product="test",
        reference_date="2020-01-01",
        secondary_date="2020-01-13",
        **options,
    )


def test_a_disc_is_found_where_it_is_and_as_large_as_it_is():
    shape = (240, 320)
    found = find_regions(made_scan(bumps(shape, (100, 200, 40))), made_interferogram(shape, **UTM), CARD)
    assert len(found) == 1
    region = found.iloc[0]
    assert region["area_px"] == pytest.approx(np.pi * 40**2, rel=0.02)
    # UTM on the central meridian: scale 0.9996, so the true area is larger by 0.08 %.
    assert region["area_km2"] == pytest.approx(np.pi * 40**2 * 0.0081 / 0.9996**2, rel=0.02)
    centre = region.geometry.centroid
    assert centre.x == pytest.approx(500_000 + 90 * 200.5, abs=45)
    assert centre.y == pytest.approx(6_000_000 - 90 * 100.5, abs=45)
    assert abs(region["row"] - 100) <= STRIDE
    assert abs(region["col"] - 200) <= STRIDE
    assert [region[key] for key in ("row0", "row1", "col0", "col1")] == pytest.approx([60, 141, 160, 241], abs=1)
    degrees = gpd.GeoSeries([centre], crs=UTM["crs"]).to_crs("EPSG:4326").iloc[0]
    assert (region["lon"], region["lat"]) == pytest.approx((degrees.x, degrees.y), abs=1e-5)
    assert found.crs == UTM["crs"]
    assert region["model"] == "made-up"
    assert region["model_version"] == "7"
    assert region["secondary_date"] == "2020-01-13"


def test_area_does_not_depend_on_the_crs():
    shape = (200, 200)
    scan = made_scan(bumps(shape, (100, 100, 50)))
    projected = find_regions(scan, made_interferogram(shape, **UTM), CARD)["area_km2"].iloc[0]
    corner = gpd.GeoSeries([shapely.Point(500_000, 6_000_000)], crs="EPSG:32719").to_crs("EPSG:4326").iloc[0]
    step = 90 / 111_319.49
    grid = Affine(step / np.cos(np.radians(corner.y)), 0, corner.x, 0, -step, corner.y)
    geographic = find_regions(scan, made_interferogram(shape, transform=grid, crs="EPSG:4326"), CARD)
    assert geographic["area_km2"].iloc[0] == pytest.approx(projected, rel=0.02)


@pytest.mark.parametrize("column", [30, 100, 170])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32660"])
def test_longitudes_do_not_jump_at_the_date_line(crs, column):
    """West of it, across it and east of it, on a grid that goes on beyond 180 and on one of metres."""
    from pyproj import Transformer

    from fringewatch.regions import describe_regions, pick_regions

    shape, plain = (200, 200), {"transform": Affine(0.001, 0, 10, 0, -0.001, 0.1), "crs": "EPSG:4326"}
    transform = Affine(0.001, 0, 179.8995, 0, -0.001, 0.1)
    if crs != "EPSG:4326":
        x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(180, 0)
        transform = Affine(110, 0, x - 100.5 * 110, 0, -110, y + 100 * 110)
    scan = made_scan(bumps(shape, (100, column, 20)))
    scene = made_interferogram(shape, transform=transform, crs=crs)
    described = describe_regions(pick_regions(scan, CARD), scan, scene, CARD)
    (row,), (outline,) = described.rows, described.degrees
    (reference,) = find_regions(scan, made_interferogram(shape, **plain), CARD)["area_km2"]
    assert row["area_km2"] == pytest.approx(reference, rel=0.03)
    assert -180 <= row["lon"] < 180
    east_of_the_line = (row["lon"] + 360) % 360 - 180
    assert east_of_the_line == pytest.approx((column - 100) * 0.001, abs=0.003)
    west, _, east, _ = outline.bounds
    assert east - west < 0.05
    if column != 100:
        assert -180 <= west < east <= 180


def test_hysteresis():
    """A hill below the threshold is no region; one above it grows down to the edge level."""
    shape = (200, 400)
    peak_gap = (CARD.scene_calibration.inverse(0.8) - edge_logit()) / 0.3  # in pixels of radius
    scan = made_scan(bumps(shape, (100, 100, peak_gap - 4), (100, 300, peak_gap + 9)))
    found = find_regions(scan, made_interferogram(shape), CARD)
    assert len(found) == 1
    assert abs(found["col"].iloc[0] - 300) <= STRIDE
    assert found["area_px"].iloc[0] == pytest.approx(np.pi * (peak_gap + 9) ** 2, rel=0.08)
    assert found["score"].iloc[0] >= 0.8
    assert 0.3 <= found["mean_probability"].iloc[0] < found["max_probability"].iloc[0]


def test_the_best_regions_score_is_the_scenes():
    shape = (200, 400)
    scan = made_scan(bumps(shape, (100, 100, 20), (100, 300, 30)))
    found = find_regions(scan, made_interferogram(shape), CARD)
    assert found["score"].is_monotonic_decreasing
    assert found["region"].tolist() == [1, 2]
    assert found["score"].iloc[0] == pytest.approx(float(CARD.scene_calibration(np.float32(scan.scene_logit))))


def test_nothing_found_is_an_empty_table_with_every_column():
    shape = (64, 64)
    for options in ({}, UTM):
        found = find_regions(made_scan(np.full((16, 16), -9, np.float32)), made_interferogram(shape, **options), CARD)
        assert isinstance(found, gpd.GeoDataFrame)
        assert list(found.columns) == [*COLUMNS, "geometry"]
        assert len(found) == 0
        assert found["score"].dtype == "float64"
    assert found.crs == UTM["crs"]


def test_without_crs_the_polygon_is_in_pixels():
    shape = (160, 160)
    found = find_regions(made_scan(bumps(shape, (40, 100, 25))), made_interferogram(shape), CARD)
    assert found.crs is None
    region = found.iloc[0]
    assert (region.geometry.centroid.x, region.geometry.centroid.y) == pytest.approx((100, 40), abs=0.6)
    assert region.geometry.area == pytest.approx(region["area_px"], rel=0.03)
    assert np.isnan(region["area_km2"])
    assert np.isnan(region["lon"])


def test_a_region_at_the_border_stays_inside_the_scene():
    logits = bumps((160, 164), (0, 0, 40), (159, 163, 30))
    scan = Scan(logits, np.ones(logits.shape, bool), (158, 162), STRIDE)
    found = find_regions(scan, made_interferogram((158, 162)), CARD)
    scene = shapely.box(-0.5, -0.5, 161.5, 157.5)
    assert len(found) == 2
    assert found.geometry.within(scene.buffer(1e-9)).all()
    assert found["row1"].max() == 158
    assert found["col1"].max() == 162
    assert found["row0"].min() == found["col0"].min() == 0
    quarter = found[found["row0"] == 0].iloc[0]
    assert quarter["area_px"] == pytest.approx(np.pi * 40**2 / 4, rel=0.06)


def test_places_without_data_are_never_part_of_a_region():
    shape = (160, 160)
    logits = bumps(shape, (80, 80, 40))
    valid = np.ones(logits.shape, bool)
    valid[:, :20] = False  # left half
    logits[~valid] = 50
    found = find_regions(made_scan(logits, valid), made_interferogram(shape), CARD)
    assert len(found) == 1
    assert found["col0"].iloc[0] == pytest.approx(80, abs=2)
    assert found["max_probability"].iloc[0] < 1


def ring(middle, half_width):
    """Return logits that are high on a ring of map pixels."""
    i, j = np.mgrid[:60, :60]
    radius = np.hypot(i - 30, j - 30)
    return (edge_logit() + 1.5 * (half_width - np.abs(radius - middle))).astype(np.float32)


def test_what_a_ring_encloses_belongs_to_it():
    """The core of a steep trough shows no fringes, and is the trough."""
    region = find_regions(made_scan(ring(16, 8)), made_interferogram((240, 240)), CARD).iloc[0]
    assert len(region.geometry.interiors) == 0
    assert region.geometry.area == pytest.approx(np.pi * 24**2 * 16, rel=0.02)
    assert region["area_px"] == pytest.approx(region.geometry.area, rel=0.02)


def test_a_ring_around_more_than_itself_has_a_hole():
    region = find_regions(made_scan(ring(22, 3)), made_interferogram((240, 240)), CARD).iloc[0]
    assert len(region.geometry.interiors) == 1
    assert region.geometry.area == pytest.approx(np.pi * (25**2 - 19**2) * 16, rel=0.02)


def test_a_gap_in_the_data_stays_a_hole_and_so_does_another_region():
    logits = ring(16, 8)
    valid = np.ones(logits.shape, bool)
    valid[29:32, 29:32] = False
    region = find_regions(made_scan(logits, valid), made_interferogram((240, 240)), CARD).iloc[0]
    assert len(region.geometry.interiors) == 1
    # The outline keeps off the gap by part of a map pixel.
    assert 0 < np.pi * 24**2 - region.geometry.area / 16 < 40
    logits = ring(16, 8)
    logits[29:32, 29:32] = 12
    found = find_regions(made_scan(logits), made_interferogram((240, 240)), CARD)
    assert len(found) == 2
    assert found.geometry.iloc[0].intersection(found.geometry.iloc[1]).area < 1e-6


def test_regions_that_touch_at_a_corner_are_two():
    logits = np.full((20, 20), -12, np.float32)
    logits[5:8, 5:8] = logits[8:11, 8:11] = 12
    found = find_regions(made_scan(logits), made_interferogram((80, 80)), CARD)
    assert len(found) == 2
    assert found.geometry.is_valid.all()
    assert not found.geometry.iloc[0].overlaps(found.geometry.iloc[1])


def test_a_scene_is_flagged_exactly_where_it_has_a_region():
    """The best mean of a neighbourhood counts, wherever in the neighbourhood its logits lie."""
    rng = np.random.default_rng(3)
    for _ in range(40):
        logits = rng.normal(0.0, 3.0, (16, 16)).astype(np.float32)
        scan = made_scan(logits, rng.random((16, 16)) < 0.8)
        score = float(CARD.scene_calibration(np.float32(scan.scene_logit)))
        for threshold in (0.5 * score, min(1.0, 1.001 * score)):
            found = find_regions(scan, made_interferogram((64, 64)), CARD, threshold=threshold)
            assert (len(found) > 0) == (score >= threshold)
            if len(found):
                assert found["score"].iloc[0] == pytest.approx(score)


def test_phase_that_follows_the_terrain_is_told_from_phase_that_does_not():
    rows, cols = np.mgrid[:80, :80].astype(np.float32)
    hill = 2000 * np.exp(-((rows - 40) ** 2 + (cols - 40) ** 2) / 600)
    inside = np.ones(hill.shape, bool)
    along = fringes_inside(wrap((-0.008 * hill).astype(np.float32)), inside, 0.0555, hill)
    assert along.phase_height_correlation == pytest.approx(-1, abs=0.02)
    across = fringes_inside(wrap((0.2 * cols).astype(np.float32)), inside, 0.0555, hill)
    assert abs(across.phase_height_correlation) < 0.1
    flat = fringes_inside(wrap((0.2 * cols).astype(np.float32)), inside, 0.0555, np.zeros_like(hill))
    assert np.isnan(flat.phase_height_correlation)


def test_a_single_map_pixel_is_a_region_too():
    logits = np.full((20, 20), -12, np.float32)
    logits[6, 9] = 120  # high enough to lift the mean of its neighbourhood over the threshold
    region = find_regions(made_scan(logits), made_interferogram((80, 80)), CARD).iloc[0]
    assert region.geometry.area > 0
    assert region["area_px"] >= 1
    assert (region["row"], region["col"]) == (26, 38)


def cone(shape=(120, 120), fringes=3.0, radius=45.0):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2)
    unwrapped = 2 * np.pi * fringes * np.clip(1 - distance / radius, 0, None)
    return np.angle(np.exp(1j * unwrapped)).astype(np.float32), distance < radius


@pytest.mark.parametrize("fringes", [0.8, 3.0, 7.0])
def test_fringes_of_a_cone(fringes):
    phase, inside = cone(fringes=fringes)
    rng = np.random.default_rng(3)
    noisy = np.angle(np.exp(1j * (phase + 0.3 * rng.standard_normal(phase.shape)))).astype(np.float32)
    estimate = fringes_inside(noisy, inside, SENTINEL1_WAVELENGTH_M)
    # The percentiles cut off a tenth of the cone's height at its tip and little at its foot.
    assert estimate.fringe_count == pytest.approx(0.9 * fringes, rel=0.1)
    assert estimate.peak_to_peak_los_cm == pytest.approx(estimate.fringe_count * 2.7733, rel=1e-3)


def test_fringes_ignore_gaps_and_what_lies_outside():
    phase, inside = cone()
    expected = fringes_inside(phase, inside, SENTINEL1_WAVELENGTH_M)
    phase[~inside] = np.random.default_rng(0).uniform(-3, 3, phase.shape)[~inside]
    phase[60:70, 20:60] = np.nan
    estimate = fringes_inside(phase, inside, SENTINEL1_WAVELENGTH_M)
    assert estimate.fringe_count == pytest.approx(expected.fringe_count, rel=0.05)


def test_noise_has_no_fringe_count_of_a_signal():
    """Where neighbours disagree there is nothing to unwrap: NaN, or a small island of chance agreement."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(-np.pi, np.pi, (60, 60)).astype(np.float32)
    phase[::2, ::2] = np.nan
    tiny = np.zeros(phase.shape, bool)
    tiny[:4, :4] = True
    assert np.isnan(fringes_inside(phase, tiny, 0.0555).fringe_count)
    phase[:] = np.nan
    assert np.isnan(fringes_inside(phase, np.ones(phase.shape, bool), 0.0555).peak_to_peak_los_cm)


def test_coherence_is_averaged_inside_the_region():
    shape = (160, 160)
    coherence = np.full(shape, 0.2, np.float32)
    coherence[50:111, 50:111] = 0.9
    coherence[80, 80] = np.nan
    scene = made_interferogram(shape, companions={"coherence": coherence})
    region = find_regions(made_scan(bumps(shape, (80, 80, 25))), scene, CARD).iloc[0]
    assert region["mean_coherence"] == pytest.approx(0.9, abs=1e-5)


def test_tiles_change_nothing(monkeypatch):
    """Of a region as large as a scene no more than a tile is held; bounds, area and fringes stay what they are."""
    shape = (240, 320)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    phase = wrap(0.4 * np.hypot(y - 100, x - 200) + 0.1 * rng.standard_normal(shape)).astype(np.float32)
    phase[90:95] = np.nan
    companions = {"coherence": rng.random(shape, np.float32), "height": rng.random(shape, np.float32) + y}
    interferogram = make_interferogram(phase, wavelength_m=SENTINEL1_WAVELENGTH_M, companions=companions, **UTM)
    scan = made_scan(bumps(shape, (100, 200, 80), (190, 60, 30)))
    for most in (100_000, 5_000, 700):
        monkeypatch.setattr(surface, "_MOST_PX", most)
        for module in (measure, surface):
            monkeypatch.setattr(module, "_TILE_PX", 2048)
        whole = find_regions(scan, interferogram, CARD)
        for module in (measure, surface):
            monkeypatch.setattr(module, "_TILE_PX", 50)
        tiled = find_regions(scan, interferogram, CARD)
        assert len(whole) == 2
        exact = [name for name in COLUMNS if name != "mean_coherence"]
        assert whole[exact].equals(tiled[exact])
        np.testing.assert_allclose(whole["mean_coherence"], tiled["mean_coherence"], rtol=1e-12)
        assert np.isfinite(whole["phase_height_correlation"]).all()


def test_a_pixel_size_that_was_told_gives_an_area():
    shape = (240, 320)
    interferogram = made_interferogram(shape)
    scan = made_scan(bumps(shape, (100, 200, 40)))
    assert np.isnan(find_regions(scan, interferogram, CARD).iloc[0]["area_km2"])
    told = find_regions(scan, interferogram.assign_attrs(pixel_size_m=20.0), CARD).iloc[0]
    assert told["area_km2"] == pytest.approx(np.pi * (40 * 0.02) ** 2, rel=0.02)


def test_a_shape_around_a_pole_is_cut_without_an_error():
    angles = np.linspace(0, 2 * np.pi, 40)
    ring = shapely.Polygon(np.column_stack([400 * np.sin(angles), 85 + 4 * np.sin(5 * angles)]))
    assert not ring.is_valid
    cut = cut_at_date_line(ring)
    assert cut.is_valid
    assert -180 <= cut.bounds[0] < cut.bounds[2] <= 180
