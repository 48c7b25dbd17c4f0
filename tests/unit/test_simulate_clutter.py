"""What is mistaken for small troughs, and the hard end of the mining preset."""

import numpy as np
import pytest
from scipy import ndimage

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, phase_to_los
from fringewatch.errors import ConfigError
from fringewatch.patches import write_patch
from fringewatch.physics.coherence import local_coherence
from fringewatch.physics.geometry import look_vector
from fringewatch.simulate import RealNoise, SceneSpec, preset, simulate
from fringewatch.simulate.clutter import draw_clutter
from fringewatch.simulate.deformation.mining import draw_mine, draw_roof, draw_size
from fringewatch.simulate.ranges import ClutterRanges, LongwallRanges
from fringewatch.simulate.visible import visible_mask

SHAPE, PIXEL_M = (160, 200), 20.0


def clutter(seed=0, pixel_m=PIXEL_M, **ranges):
    return draw_clutter(
        np.random.default_rng(seed), ClutterRanges.build(ranges), SHAPE, pixel_m, SENTINEL1_WAVELENGTH_M
    )


def test_no_share_means_no_clutter_and_nothing_drawn():
    rng = np.random.default_rng(0)
    assert draw_clutter(rng, ClutterRanges(), SHAPE, PIXEL_M, SENTINEL1_WAVELENGTH_M) is None
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("width_m", [400.0, 1000.0])
def test_a_cell_is_as_wide_as_drawn_and_as_deep_as_its_width_allows(width_m):
    widths, peaks = [], []
    for seed in range(300):
        one = clutter(seed, cells_share=1, cells=(1, 1), cell_m=(width_m, width_m), cell_std_m=0.006)
        assert one.parameters == {"cells": 1}
        assert (one.kept == 1).all()
        depth = np.abs(phase_to_los(one.phase_rad, SENTINEL1_WAVELENGTH_M))
        peaks.append(float(depth.max()))
        row, col = np.unravel_index(depth.argmax(), SHAPE)
        if min(row, col, SHAPE[0] - row, SHAPE[1] - col) > 60:
            area = np.count_nonzero(depth > 0.5 * depth.max()) * PIXEL_M**2
            widths.append(2 * np.sqrt(area / np.pi))
    assert widths == pytest.approx([width_m] * len(widths), rel=0.05)
    largest = 2 * 0.006 * (width_m / 2000) ** (5 / 6)
    assert max(peaks) == pytest.approx(largest, rel=0.01)
    # Of a normal variable cut at two: half lie below 0.674 standard deviations, less what hides beyond the edge.
    assert np.median(peaks) / (largest / 2) == pytest.approx(0.66, abs=0.08)


def test_fields_are_flat_inside_and_differ_from_each_other():
    one = clutter(3, fields_share=1, field_m=(300, 300), field_std_rad=(0.6, 0.6), field_loss=(0.5, 0.5))
    steps = np.abs(np.diff(one.phase_rad, axis=1))
    # An outline in a few of a hundred pixels, and nothing between them.
    assert 0.01 < np.mean(steps > 0) < 0.2
    _, phases = np.unique(one.phase_rad, return_inverse=True)
    losses = [np.ptp(one.kept[phases.reshape(SHAPE) == value]) for value in range(1, phases.max() + 1)]
    tilled = [loss for loss in losses if loss == 0]
    # A phase belongs to one field, and so does a loss; only what is not tilled shares the phase of none.
    assert len(tilled) >= len(losses) - 1
    assert 0.5 <= one.kept.min() < 0.75
    values = np.unique(one.phase_rad)
    assert values[values != 0].std() == pytest.approx(0.6, rel=0.3)


def test_fields_are_as_wide_in_metres_whatever_the_pixel():
    edges = [
        np.mean(np.diff(clutter(seed, pixel_m, fields_share=1, field_m=(400, 400)).phase_rad, axis=1) != 0)
        for seed, pixel_m in [(1, 10.0), (1, 40.0)]
    ]
    assert edges[1] / edges[0] == pytest.approx(4, rel=0.35)


def test_spots_are_ragged_islands_of_their_size():
    areas = []
    for seed in range(60):
        one = clutter(seed, spots_share=1, spots=(1, 1), spot_m=(600, 600), spot_kept=(0.2, 0.2))
        inside = one.kept < 1
        assert np.unique(one.kept[inside]) == pytest.approx(0.2)
        assert np.ptp(one.phase_rad[inside]) == 0
        assert not one.phase_rad[~inside].any()
        _, count = ndimage.label(inside)
        assert count == 1
        edge = inside[0].any() or inside[-1].any() or inside[:, 0].any() or inside[:, -1].any()
        if not edge:
            areas.append(inside.sum() * PIXEL_M**2)
    assert np.mean(areas) == pytest.approx(np.pi / 4 * 600**2, rel=0.1)
    assert np.std(areas) > 0


def quiet(**settings):
    base = {
        "kinds": {"quiet": 1.0},
        "height_px": 96,
        "width_px": 96,
        "quiet_mining_share": 1.0,
        "mining_pixel_size_m": (20, 20),
        "styles": {"raw": 1.0},
        "coherence": (0.9, 0.9),
        "water_share": 0,
        "sea_share": 0,
        "nodata_share": 0,
    }
    return SceneSpec.build(base | settings)


SPOTS = {"spots_share": 1.0, "spots": (1, 1), "spot_m": (800, 800), "spot_kept": (0.02, 0.02)}


def test_spots_decorrelate_simulated_and_real_phase(tmp_path):
    plain = simulate(quiet(), seed=2, index=0)
    spotted = simulate(quiet(clutter=SPOTS), seed=2, index=0)
    assert spotted.parameters["spots"] == 1
    assert plain.coherence.min() > 0.5
    hole = spotted.coherence < 0.1
    assert 300 < hole.sum() < 2500
    assert not spotted.is_deformation
    core = ndimage.binary_erosion(hole, iterations=4)
    assert local_coherence(spotted.phase)[core].mean() < 0.5 < 0.8 < local_coherence(plain.phase).mean()
    write_patch(tmp_path / "a__1.png", np.zeros((96, 96), np.float32))
    noise = RealNoise(tmp_path, holdout_share=0.0)
    real = simulate(quiet(clutter=SPOTS, real_noise_share=1.0, seam_share=0.0), seed=4, index=0, noise=noise)
    assert real.parameters["spots"] == 1
    torn = local_coherence(real.phase)
    assert torn.max() > 0.99
    assert 0.03 < np.mean(torn < 0.5) < 0.5


@pytest.fixture(scope="module")
def samples():
    return [simulate(preset("mining"), seed=12, index=index) for index in range(140)]


def test_clutter_is_in_deforming_scenes_as_in_quiet_ones(samples):
    for name in ("cells", "fields", "spots"):
        shares = [
            np.mean([name in sample.parameters for sample in samples if sample.is_deformation == moved])
            for moved in (False, True)
        ]
        assert all(0.15 < share < 0.65 for share in shares), (name, shares)


# ---- weak, small and hard scenes ----


def test_roofs_come_in_their_shares_with_their_factors():
    rng = np.random.default_rng(0)
    ranges = LongwallRanges(partial_share=0.3)
    drawn = [draw_roof(rng, ranges) for _ in range(2000)]
    shares = {name: sum(roof == name for roof, _ in drawn) / 2000 for name in ("backfill", "partial", "caving")}
    assert shares == pytest.approx({"backfill": 0.25, "partial": 0.3, "caving": 0.45}, abs=0.04)
    assert dict(drawn)["partial"] == ranges.partial_factor
    assert {draw_roof(rng, LongwallRanges())[0] for _ in range(200)} == {"backfill", "caving"}


def test_small_mines_have_ranges_of_their_own():
    rng = np.random.default_rng(0)
    ranges = LongwallRanges(small_share=0.4)
    drawn = [draw_size(rng, ranges) for _ in range(1000)]
    small = [one for one in drawn if one.width_m == ranges.small_width_m]
    assert len(small) / 1000 == pytest.approx(0.4, abs=0.05)
    assert small[0].depth_m == ranges.small_depth_m
    assert small[0].length_m == ranges.small_length_m
    assert draw_size(rng, LongwallRanges()) == LongwallRanges()


def test_small_mines_that_would_reach_the_surface_are_refused():
    with pytest.raises(ConfigError, match="small_depth_m starts at 20"):
        LongwallRanges.build({"small_depth_m": (20, 50)})


def test_more_roofs_than_mines_are_refused():
    with pytest.raises(ConfigError, match=r"backfill_share and partial_share add up to 1\.2"):
        LongwallRanges.build({"backfill_share": 0.5, "partial_share": 0.7})


def test_panels_after_mining_still_sink_and_by_less():
    look = look_vector(347.0, 39.0)
    spec = SceneSpec.build({"panels": (1, 1), "height_px": 96, "width_px": 96})
    after = spec.model_copy(update={"longwall": LongwallRanges(after_share=1.0, at_once_share=0.0)})
    found = []
    for seed in range(12):
        p = draw_mine(np.random.default_rng(seed), after, 30.0, look).parameters
        mined = p["length_m_1"] / p["advance_m_per_day_1"]
        assert mined <= p["start_day_1"] <= mined + 1.4 / p["time_factor_per_day_1"]
        found.append(p["peak_to_peak_fringes"])
    assert min(found) > 0


def test_weak_scenes_show_the_fringes_that_were_asked_for():
    look = look_vector(347.0, 39.0)
    spec = SceneSpec.build({"weak_share": 1.0, "weak_fringes": (0.5, 1.0), "height_px": 128, "width_px": 128})
    fringes = [
        draw_mine(np.random.default_rng(seed), spec, 40.0, look).parameters["peak_to_peak_fringes"]
        for seed in range(12)
    ]
    # The nodes of a trough are drawn for; its mean in a pixel is a little less.
    assert max(fringes) < 1.02
    assert np.median(fringes) > 0.5


def test_low_ratios_are_sought_and_quiet_scenes_stay_as_many():
    base = preset("mining").model_dump() | {"height_px": 128, "width_px": 128}
    shares, counts = [], []
    for share in (0.0, 1.0):
        spec = SceneSpec.build(base | {"low_snr_share": share})
        samples = [simulate(spec, seed=8, index=index) for index in range(60)]
        moved = [sample.parameters["snr"] for sample in samples if sample.is_deformation]
        counts.append(len(moved))
        shares.append(np.mean([1 <= ratio <= 8 for ratio in moved]))
    assert shares[0] < 0.35 < 0.7 < shares[1]
    assert counts[1] > 0.7 * counts[0]


def test_the_preset_holds_the_hard_end(samples):
    moved = [sample for sample in samples if sample.is_deformation]
    assert 45 < len(moved) < 95
    fringes = np.array([sample.parameters["peak_to_peak_fringes"] for sample in moved])
    ratio = np.array([sample.parameters["snr"] for sample in moved])
    assert np.mean(fringes < 1.5) > 0.25
    assert np.mean(fringes > 4) > 0.1
    assert np.mean(ratio < 8) > 0.2
    assert np.mean([sample.mask.sum() < 100 for sample in moved]) > 0.15
    assert min(sample.mask.sum() for sample in moved) >= 16


def test_a_weak_trough_beside_a_strong_one_is_visible():
    row, col = np.mgrid[:200, :200]
    strong = 20 * 2 * np.pi * np.exp(-((row - 60) ** 2 + (col - 60) ** 2) / 800)
    weak = 1.2 * 2 * np.pi * np.exp(-((row - 150) ** 2 + (col - 150) ** 2) / 200)
    both = (strong + weak).astype(np.float32)
    alone = visible_mask(weak.astype(np.float32), np.angle(np.exp(1j * weak)).astype(np.float32))
    found = visible_mask(both, np.angle(np.exp(1j * both)).astype(np.float32))
    np.testing.assert_array_equal(found[120:, 120:], alone[120:, 120:])
    assert found[150, 150]
    # The strong one ends at 8 % of its own peak, as before.
    assert np.abs(both[found & (row + col < 200)]).min() > 0.08 * 20 * 2 * np.pi
