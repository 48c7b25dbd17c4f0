"""Crops lie about patterns of fringes, and not about ramps, atmosphere or noise."""

import numpy as np
import pytest
from scipy import ndimage

from fringewatch.conventions import wrap
from fringewatch.fringes import MIN_SCORE, find_crops
from fringewatch.fringes.activity import measure_activity, rate_weight
from fringewatch.fringes.candidates import LEVELS, find_candidates
from fringewatch.fringes.rates import fringe_rates, residues
from fringewatch.physics.coherence import multilook_phase_noise

SHAPE = (140, 160)


def noise(std_rad=0.4, *, seed=0, shape=SHAPE):
    return std_rad * np.random.default_rng(seed).standard_normal(shape)


def bowl(row=70, col=60, radius_px=14.0, fringes=2.0, shape=SHAPE):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return 2 * np.pi * fringes * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / radius_px**2)


def plane(by_row, by_col, shape=SHAPE):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return by_row * rows + by_col * cols


def phase_of(surface):
    return wrap(surface.astype(np.float32))


def test_rates_of_a_plane_are_its_slopes_wherever_it_wraps():
    rates = fringe_rates(phase_of(plane(0.8, -1.3)))
    np.testing.assert_allclose(rates.row_rad, 0.8, atol=2e-4)
    np.testing.assert_allclose(rates.col_rad, -1.3, atol=2e-4)
    np.testing.assert_allclose(rates.coherence, 1, atol=1e-3)


def test_rates_leave_out_what_has_no_data():
    surface = plane(0.3, 0.2)
    phase = phase_of(surface)
    phase[40:80, 50:90] = np.nan
    rates = fringe_rates(phase)
    assert not rates.coherence[40:80, 50:90].any()
    beside = rates.coherence > 0.5
    np.testing.assert_allclose(rates.row_rad[beside], 0.3, atol=2e-4)


def test_random_phase_has_the_coherence_that_counts_for_nothing():
    phase = np.random.default_rng(1).uniform(-np.pi, np.pi, (300, 300)).astype(np.float32)
    coherence = fringe_rates(phase).coherence
    assert coherence.mean() == pytest.approx(0.15, abs=0.02)
    assert rate_weight(coherence).mean() < 0.002
    assert (residues(phase) != 0).mean() == pytest.approx(1 / 3, abs=0.01)


def test_a_vortex_is_one_residue_of_its_sign():
    rows, cols = np.mgrid[:20, :20]
    turn = np.arctan2(rows - 9.5, cols - 7.5).astype(np.float32)
    for sign in (1, -1):
        found = residues(wrap(np.float32(sign) * turn))
        # Rows grow downwards: the angle grows clockwise, as the loop of four pixels runs.
        assert np.argwhere(found).tolist() == [[9, 7]]
        assert found[9, 7] == sign
    assert not residues(phase_of(bowl())).any()


def test_a_ramp_is_background_and_its_slope_is_known():
    activity = measure_activity(phase_of(plane(0.4, -0.7) + noise(0.3)))
    assert activity.trend_rad == pytest.approx((0.4, -0.7), abs=0.01)
    assert (activity.slope > 1.5).mean() < 0.002
    assert (activity.spot > 1.5).mean() < 0.002


def test_activity_does_not_depend_on_where_phase_wraps():
    surface = bowl() + plane(0.02, 0.03) + noise()
    one, other = (measure_activity(phase_of(surface + offset)) for offset in (0.0, 1.9))
    np.testing.assert_allclose(one.slope, other.slope, atol=0.02)
    np.testing.assert_allclose(one.spot, other.spot, atol=0.02)


def test_thresholds_adapt_to_the_scene():
    """The same bowl stands out of calm surroundings more than out of rough ones, each in units of its own scene."""
    hills = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal(SHAPE), 6)
    hills *= 1.5 / hills.std()
    calm, rough = (measure_activity(phase_of(bowl() + noise(0.2) + scale * hills)).slope for scale in (0.05, 1.0))
    assert calm.max() > 1.5 * rough.max() > 1.5


def test_candidates_are_listed_once_for_all_levels_that_leave_them_alike():
    activity = np.zeros((60, 80), np.float32)
    activity[10:30, 10:30] = 1.0
    activity[12:20, 12:20] = 5.0
    activity[40:50, 40:70] = 5.0
    activity[1, 1] = 9.0
    found = find_candidates(activity, np.ones(activity.shape, bool))
    # The square at the first level and its core at the first that leaves out the rest; the bar once; not the speck.
    assert [(candidate.row0, candidate.col0, candidate.level) for candidate in found] == [
        (10, 10, LEVELS[0]),
        (40, 40, LEVELS[0]),
        (12, 12, next(level for level in LEVELS if level >= 1)),
    ]
    assert found[0].region.shape == (20, 20)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("radius_px", "fringes"), [(6.0, 1.0), (9.0, 2.0), (25.0, 1.5), (30.0, 6.0)])
def test_a_bowl_is_one_crop_about_it(radius_px, fringes, sign):
    surface = sign * bowl(radius_px=radius_px, fringes=fringes)
    crops = find_crops(phase_of(surface + plane(0.03, -0.02) + noise(0.5))).crops
    assert len(crops) == 1
    rows, cols = crops[0].candidate.box
    assert rows.start <= 70 < rows.stop
    assert cols.start <= 60 < cols.stop
    deep = np.abs(surface) > 0.3 * np.abs(surface).max()
    assert deep[rows, cols].sum() >= 0.8 * deep.sum()
    assert max(rows.stop - rows.start, cols.stop - cols.start) <= 6 * radius_px


def test_an_incoherent_core_belongs_to_its_bowl():
    surface = bowl(radius_px=22.0, fringes=2.0)
    core = surface > 7.0
    surface[core] = np.random.default_rng(4).uniform(-np.pi, np.pi, core.sum())
    crops = find_crops(phase_of(surface + noise(0.3))).crops
    assert len(crops) == 1
    candidate = crops[0].candidate
    covered = np.zeros(SHAPE, bool)
    covered[candidate.box] = candidate.region
    assert covered[core].mean() > 0.9


@pytest.mark.parametrize(
    "surface",
    [
        noise(0.5),
        noise(1.2, seed=1),
        np.random.default_rng(5).uniform(-np.pi, np.pi, SHAPE),
        plane(0.3, 0.9) + noise(0.4),
        np.zeros(SHAPE),
    ],
    ids=["calm", "noisy", "random", "ramp", "flat"],
)
def test_noise_and_ramps_have_no_crops(surface):
    assert find_crops(phase_of(surface)).crops == []


def test_patches_of_noise_score_less_than_bowls():
    """What looks like fringes to an edge detector: an incoherent field of the size of a trough."""
    coherence = np.full(SHAPE, 0.9, np.float32)
    coherence[30:60, 90:130] = 0.0
    field = multilook_phase_noise(coherence, 8.0, np.random.default_rng(6))
    found = find_crops(phase_of(bowl(row=90, col=45, radius_px=12.0) + field), min_score=0.0).crops
    rows, cols = found[0].candidate.box
    assert rows.start <= 90 < rows.stop
    assert cols.start <= 45 < cols.stop
    noisy = max(crop.score for crop in found if crop.candidate.box[1].start > 75)
    assert 1 - found[0].score < 0.1 * (1 - noisy)


def test_two_bowls_are_two_crops_and_the_lower_score_finds_no_less():
    surface = bowl(40, 40, 10.0) + bowl(100, 120, 10.0) + noise(0.4)
    strict, loose = (find_crops(phase_of(surface), min_score=score).crops for score in (MIN_SCORE, 0.02))
    assert len(strict) == 2
    assert [crop.candidate.box for crop in loose[:2]] == [crop.candidate.box for crop in strict]
    assert [crop.score for crop in loose] == sorted((crop.score for crop in loose), reverse=True)


def test_crops_turn_with_the_scene():
    phase = phase_of(bowl(radius_px=12.0) + noise(0.4))
    upright, turned = (find_crops(scene).crops for scene in (phase, np.ascontiguousarray(phase.T)))
    assert [crop.candidate.box for crop in turned] == [crop.candidate.box[::-1] for crop in upright]


def test_a_window_has_a_margin_and_ends_with_the_scene():
    phase = phase_of(bowl(row=5, col=60, radius_px=12.0) + noise(0.3))
    phase[:, 100:] = np.nan
    found = find_crops(phase)
    (crop,) = found.crops
    area = int(crop.candidate.region.sum())
    bare, wide = (crop.window(found.valid, margin=margin) for margin in (0.0, 1.0))
    rows, cols = crop.candidate.box
    assert (bare.row0, bare.col0, bare.col1) == (max(rows.start - 4, 0), cols.start - 4, cols.stop + 4)
    assert (wide.row0, wide.col0) == (0, max(cols.start - round(area**0.5), 0))
    assert wide.edge_px == wide.strong_px == area
    assert wide.valid_px == np.isfinite(wide.cut(phase)).sum()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3, 700), (900, 2), (8, 8), (12, 12)])
def test_scenes_too_small_to_know_their_background_have_no_crops(shape):
    phase = np.random.default_rng(7).uniform(-np.pi, np.pi, shape).astype(np.float32)
    assert find_crops(phase).crops == []


def test_scenes_without_data_have_no_crops():
    phase = np.full(SHAPE, np.nan, np.float32)
    assert find_crops(phase).crops == []
    phase[60:64, 60:64] = 1.0
    assert find_crops(phase).crops == []
