"""Depth, width and number of troughs against closed forms and simulated mines of known depth."""

import numpy as np
import pytest
from affine import Affine

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, los_to_phase, wrap
from fringewatch.fringes import LEAST_DIP, measure_troughs
from fringewatch.fringes.heights import integrate_steps
from fringewatch.interferogram import make_interferogram, pixel_size_m
from fringewatch.physics.geometry import look_vector, project_to_los
from fringewatch.physics.mining import Panel, knothe_displacement
from fringewatch.regions.subsidence import ASSUMED_LOS_UP, SUBSIDENCE_COLUMNS, subsidence, upward_part

SHAPE = (120, 150)


def bowl(row=60, col=70, sigma_px=12.0, depth_rad=12.0, shape=SHAPE):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return depth_rad * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * sigma_px**2))


def measured(surface, inside=None, *, noise_rad=0.3, **options):
    noisy = surface + noise_rad * np.random.default_rng(0).standard_normal(surface.shape)
    inside = np.abs(surface) > 1.5 if inside is None else inside
    return measure_troughs(wrap(noisy.astype(np.float32)), inside, **options)


def test_steps_of_a_surface_give_it_back():
    surface = bowl() + 0.1 * np.arange(SHAPE[1])
    steps = [np.diff(surface, axis=axis).astype(np.float32) for axis in (0, 1)]
    found = integrate_steps(*steps, np.ones(SHAPE, np.float32))
    np.testing.assert_allclose(found, surface - surface.mean(), atol=1e-4)


def test_integration_bridges_what_is_not_known():
    """Across a gap whose steps are wrong, a plane goes on as a plane."""
    rows, cols = np.mgrid[:60, :80]
    plane = 0.3 * rows - 0.2 * cols
    steps = [np.diff(plane, axis=axis).astype(np.float32) for axis in (0, 1)]
    weight = np.ones(plane.shape, np.float32)
    weight[20:40, 30:50] = 0
    for step in steps:
        step[20:40, 30:50] = 3.0
    found = integrate_steps(*steps, weight, iterations=200, tolerance=1e-8)
    known = weight > 0
    np.testing.assert_allclose(found - found[known].mean(), plane - plane[known].mean(), atol=0.1)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("sigma_px", "depth_rad"), [(8.0, 6.0), (12.0, 12.0), (14.0, 25.0)])
def test_depth_and_width_of_a_bowl(sigma_px, depth_rad, sign):
    found = measured(
        sign * bowl(sigma_px=sigma_px, depth_rad=depth_rad) + 0.05 * np.arange(SHAPE[1]),
        bowl(sigma_px=sigma_px, depth_rad=depth_rad) > 1.5,
    )
    (trough,) = found.troughs
    assert trough.depth_rad == pytest.approx(sign * depth_rad, rel=0.12)
    assert (trough.row, trough.col) == pytest.approx((60, 70), abs=2)
    # A tenth of a Gaussian is left at sigma sqrt(2 log 10).
    assert trough.diameter_px == pytest.approx(2 * sigma_px * np.sqrt(2 * np.log(10)), rel=0.15)
    assert found.resolved > 0.9
    assert np.isnan(found.separation)


def test_a_bowl_on_tall_pixels():
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    surface = 10 * np.exp(-((2 * (rows - 60)) ** 2 + (cols - 70) ** 2) / (2 * 20.0**2))
    (trough,) = measured(surface, pixel_ratio=2.0).troughs
    assert trough.diameter_px == pytest.approx(2 * 20 * np.sqrt(2 * np.log(10)), rel=0.15)


def test_the_profile_runs_along_the_long_axis_through_the_deepest_point():
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    along, across = (cols - 70 + rows - 60) / np.sqrt(2), (cols - 70 - rows + 60) / np.sqrt(2)
    surface = 12 * np.exp(-(along**2) / (2 * 22.0**2) - across**2 / (2 * 8.0**2))
    distance, depth = measured(surface).profile_px.T
    assert distance[0] == 0
    np.testing.assert_allclose(np.diff(distance), distance[1])
    centre = distance[np.nanargmax(depth)]
    expected = 12 * np.exp(-((distance - centre) ** 2) / (2 * 22.0**2))
    # The surroundings lie so near its ends that they take some of its depth.
    assert np.nanmax(np.abs(depth - expected)) < 0.15 * 12


@pytest.mark.parametrize("col", [70, 45])
def test_the_profile_of_a_whole_bowl_has_no_gaps(col):
    distance, depth = measured(bowl(col=col, sigma_px=9.0)).profile_px.T
    assert np.isfinite(depth).all()
    assert depth.argmax() not in {0, len(depth) - 1}
    np.testing.assert_allclose(np.diff(distance), distance[1])


def test_a_coast_adds_nothing_to_a_trough_and_a_gap_takes_nothing_away():
    surface = bowl(sigma_px=10.0)
    (whole,) = measured(surface).troughs
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = surface > 1.5
    for start, share in ((78, 0.86), (70, 0.5)):
        cut = np.where(cols >= start, np.nan, surface)
        (left,) = measured(cut, inside & (cols < start)).troughs
        assert left.diameter_px < whole.diameter_px
        assert left.diameter_px >= np.sqrt(share) * whole.diameter_px * 0.9
    gap = (rows - 60) ** 2 + (cols - 78) ** 2 < 9
    (holed,) = measured(np.where(gap, np.nan, surface), inside & ~gap).troughs
    assert holed.diameter_px == pytest.approx(whole.diameter_px, rel=0.03)


def test_troughs_are_told_apart_by_how_far_they_are_apart():
    separations = []
    for distance in (40, 34, 30):
        surface = bowl(60, 70 - distance / 2, 9.0, 15.0) + bowl(60, 70 + distance / 2, 9.0, 10.0)
        found = measured(surface)
        assert [trough.depth_rad for trough in found.troughs] == pytest.approx([15, 10], rel=0.2)
        middle = surface[60, 60:80].min()
        assert found.separation == pytest.approx(1 - middle / 10, abs=0.12)
        separations.append(found.separation)
    assert separations == sorted(separations, reverse=True)
    assert separations[-1] >= LEAST_DIP
    merged = measured(bowl(60, 63, 9.0, 15.0) + bowl(60, 77, 9.0, 12.0))
    assert len(merged.troughs) == 1
    assert np.isnan(merged.separation)


def test_an_incoherent_core_makes_the_depth_a_lower_bound():
    surface = bowl(sigma_px=16.0, depth_rad=12.0)
    inside, core = surface > 1.5, surface > 8.0
    surface[core] = np.random.default_rng(1).uniform(-np.pi, np.pi, core.sum())
    found = measured(surface, inside)
    assert 6.0 < found.troughs[0].depth_rad < 12.0
    assert found.resolved == pytest.approx(1 - core.sum() / inside.sum(), abs=0.1)


def test_nothing_is_said_of_what_cannot_be_told():
    phase = wrap(bowl().astype(np.float32))
    empty = np.zeros(SHAPE, bool)
    speck = empty.copy()
    speck[5, 5:9] = True
    gone = np.full(SHAPE, np.nan, np.float32)
    for values, inside in ((phase, empty), (phase, speck), (gone, bowl() > 1), (phase, ~empty)):
        found = measure_troughs(values, inside)
        assert found.troughs == []
        assert found.profile_px.shape == (0, 2)
        assert np.isnan(found.separation)


def mine(*, depth_of_seam_m=500.0, pixel_m=20.0, incidence_deg=34.0, subsidence_m=0.12):
    """A critical panel by Knothe: its LOS motion, phase and region on a UTM grid."""
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    panel = Panel(
        east_m=70 * pixel_m,
        north_m=-60 * pixel_m,
        length_m=900.0,
        width_m=600.0,
        azimuth_deg=90.0,
        depth_m=depth_of_seam_m,
        seam_thickness_m=1.0,
        subsidence_factor=subsidence_m,
        tan_beta=2.0,
    )
    moved = knothe_displacement(cols * pixel_m, -rows * pixel_m, panel)
    look = look_vector(347.0, incidence_deg)
    phase = los_to_phase(project_to_los(moved, look).astype(np.float32))
    noisy = wrap((phase + 0.3 * np.random.default_rng(2).standard_normal(SHAPE)).astype(np.float32))
    up = np.full(SHAPE, np.cos(np.radians(incidence_deg)), np.float32)
    return -moved.up_m, noisy, np.abs(phase) > np.pi / 2, up


def scene(phase, *, pixel_m=20.0, located=True, up=None, **options):
    grid = {"transform": Affine(pixel_m, 0, 400_000, 0, -pixel_m, 5_500_000), "crs": "EPSG:32634"} if located else {}
    companions = {} if up is None else {"los_up": up}
    return make_interferogram(phase, wavelength_m=SENTINEL1_WAVELENGTH_M, companions=companions, **grid, **options)


def told(interferogram, inside):
    size_m = pixel_size_m(interferogram)
    ratio = 1.0 if size_m is None else size_m[0] / size_m[1]
    troughs = measure_troughs(interferogram["phase"].values, inside, pixel_ratio=ratio)
    up = upward_part(interferogram["los_up"].values[inside] if "los_up" in interferogram else None)
    return subsidence(troughs, interferogram, upward=up, size_m=size_m)


def test_subsidence_over_a_mine_of_known_depth():
    lowered_m, phase, inside, up = mine()
    found = told(scene(phase, up=up), inside)
    assert set(found) == set(SUBSIDENCE_COLUMNS)
    assert found["subsidence_cm"] == pytest.approx(100 * lowered_m.max(), rel=0.15)
    area_m2 = (lowered_m > 0.1 * lowered_m.max()).sum() * 20.0**2
    assert found["trough_diameter_m"] == pytest.approx(2 * np.sqrt(area_m2 / np.pi), rel=0.15)
    assert found["troughs"] == 1
    assert found["phase_resolved"] > 0.9
    depths = [float(text) for text in found["depth_profile_cm"].split()]
    assert len(depths) == 21
    assert max(depths) == pytest.approx(found["subsidence_cm"], rel=0.05)
    assert found["profile_length_m"] > found["trough_diameter_m"]


def test_uplift_is_negative_and_unknown_signs_are_taken_for_subsidence():
    _, phase, inside, up = mine()
    down = told(scene(phase, up=up), inside)
    risen = told(scene(-phase, up=up), inside)
    assert risen["subsidence_cm"] == pytest.approx(-down["subsidence_cm"], rel=0.05)
    assert min(float(text) for text in risen["depth_profile_cm"].split()) < -3
    unknown = told(scene(-phase, up=up, phase_sign="unknown"), inside)
    assert unknown["subsidence_cm"] == pytest.approx(-risen["subsidence_cm"])


def test_without_a_line_of_sight_39_degrees_are_assumed():
    _, phase, inside, up = mine()
    given, assumed = told(scene(phase, up=up), inside), told(scene(phase), inside)
    assert assumed["subsidence_cm"] / given["subsidence_cm"] == pytest.approx(up[0, 0] / ASSUMED_LOS_UP)
    assert pytest.approx(np.cos(np.radians(39.0))) == ASSUMED_LOS_UP


def test_without_a_pixel_size_lengths_are_not_guessed():
    _, phase, inside, _ = mine()
    placed, lost = told(scene(phase), inside), told(scene(phase, located=False), inside)
    assert np.isnan(lost["trough_diameter_m"])
    assert np.isnan(lost["profile_length_m"])
    assert lost["subsidence_cm"] == pytest.approx(placed["subsidence_cm"])


@pytest.mark.parametrize("around", ["noise", "quiet"])
def test_nothing_is_told_of_noise(around):
    """Nor of an incoherent patch in quiet ground: sums of noisy rates are centimetres by themselves."""
    rng = np.random.default_rng(4)
    inside = np.zeros((160, 160), bool)
    inside[60:100, 60:100] = True
    spread = np.pi if around == "noise" else 0.3
    phase = rng.uniform(-spread, spread, inside.shape)
    phase[inside] = rng.uniform(-np.pi, np.pi, np.count_nonzero(inside))
    found = measure_troughs(phase.astype(np.float32), inside)
    assert found.troughs == []
    assert found.resolved == 0
