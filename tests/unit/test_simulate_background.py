"""Backgrounds and product styles: what each provider's processing leaves in the noise."""

import numpy as np
import pytest

from fringewatch.patches import write_patch
from fringewatch.physics.geometry import look_vector
from fringewatch.simulate import RealNoise, SceneSpec, preset, simulate
from fringewatch.simulate.background import draw_background
from fringewatch.simulate.cover import draw_cover
from fringewatch.simulate.distributions import weighted_choice
from fringewatch.simulate.nuisance import KERNEL, Position, above, half_normal, independent, jittered, licsar
from fringewatch.simulate.styles import Processing, draw_missing, draw_processing, observe, process_like_licsar

SHAPE = (96, 96)


def noise_of(processing, coherence=0.3, seed=0):
    scene = np.ones(SHAPE, np.complex64)
    return observe(np.random.default_rng(seed), scene, np.full(SHAPE, coherence, np.float32), processing)


def correlation(phase, axis, lag=1):
    """Correlation of the noise phasors of near pixels along an axis."""
    z = np.exp(1j * np.moveaxis(phase, axis, 0))
    z -= z.mean()
    return np.mean(z[lag:] * z[:-lag].conj()).real / np.mean(np.abs(z) ** 2)


def test_weighted_choice_follows_the_weights():
    rng = np.random.default_rng(0)
    drawn = [weighted_choice(rng, {"a": 3.0, "b": 1.0, "c": 0.0}) for _ in range(400)]
    assert drawn.count("a") / 400 == pytest.approx(0.75, abs=0.07)
    assert "c" not in drawn


def test_fine_pixels_are_never_licsar_unless_nothing_else_is_there():
    rng = np.random.default_rng(0)
    assert {draw_processing(rng, SceneSpec(), fine=True).style for _ in range(60)} == {"hyp3", "raw"}
    assert {draw_processing(rng, SceneSpec()).style for _ in range(60)} == {"licsar", "hyp3", "raw"}
    alone = SceneSpec.build({"styles": {"licsar": 1.0}})
    assert draw_processing(rng, alone, fine=True).style == "licsar"


def test_raw_obeys_the_ranges_of_the_spec():
    spec = SceneSpec.build({"styles": {"raw": 1}, "looks": (7, 7), "goldstein_share": 1, "goldstein_alpha": (0.5, 0.5)})
    processing = draw_processing(np.random.default_rng(0), spec)
    assert processing.looks == pytest.approx(7)
    assert processing.parameters() == {"style": "raw", "looks": processing.looks, "goldstein_alpha": 0.5}


def test_blending_correlates_only_the_axis_it_works_on():
    white = noise_of(Processing("licsar", 4, 0.0))
    rows = noise_of(Processing("licsar", 4, 0.0, blend_row=0.5))
    columns = noise_of(Processing("licsar", 4, 0.0, blend_column=0.5))
    assert abs(correlation(white, 0)) < 0.05
    assert correlation(rows, 0) > 0.3 > 0.05 > abs(correlation(rows, 1))
    assert correlation(columns, 1) > 0.3 > 0.05 > abs(correlation(columns, 0))


def test_smoothing_correlates_over_two_pixels():
    phase = noise_of(Processing("licsar", 4, 0.0, smoothing=1 / 3), coherence=0.0)
    for axis in (0, 1):
        # Before the modulus is lost: 2/3, 1/3, 0.
        assert 0.45 < correlation(phase, axis, 1) < 0.67
        assert 0.15 < correlation(phase, axis, 2) < 0.34
        assert abs(correlation(phase, axis, 3)) < 0.08


def test_stretching_repeats_columns():
    phase = noise_of(Processing("licsar", 4, 0.0, stretch=2.0))
    np.testing.assert_array_equal(phase[:, ::2], phase[:, 1::2])


def test_averaged_pictures_of_noise_gather_at_grey():
    """The mean of m uniform phases has a standard deviation of pi / sqrt(3 m)."""
    phase = noise_of(Processing("licsar", 4, 0.0, picture_mean=4), coherence=0.0)
    assert phase.std() == pytest.approx(np.pi / np.sqrt(3 * 4), rel=0.05)


def test_resized_pictures_are_correlated_over_one_pixel_and_anticorrelated_over_two():
    """Weights -1/16, 9/16, 9/16, -1/16 half a pixel away give correlations of 0.38 and -0.11."""
    phase = noise_of(Processing("licsar", 4, 0.0, picture_mean=4, blend_column=0.5), coherence=0.0)
    columns = [np.mean(phase[:, lag:] * phase[:, :-lag]) / phase.var() for lag in (1, 2, 3)]
    np.testing.assert_allclose(columns, [0.384, -0.110, 0.006], atol=0.04)
    assert abs(np.mean(phase[1:] * phase[:-1]) / phase.var()) < 0.04


def test_without_noise_every_style_returns_the_phase():
    ramp = np.broadcast_to(np.linspace(-1, 1, SHAPE[1], dtype=np.float32), SHAPE)
    for processing in (
        Processing("raw", 9, 0.0),
        Processing("licsar", 9, 0.0, blend_row=0.3, picture_mean=3),
        Processing("licsar", 9, 0.0, smoothing=0.3),
    ):
        phase = observe(
            np.random.default_rng(0), np.exp(1j * ramp).astype(np.complex64), np.ones_like(ramp), processing
        )
        np.testing.assert_allclose(phase, ramp, atol=0.02)


def test_layover_and_steep_ground_lose_coherence():
    look = look_vector(347.0, 39.0)
    cols = np.arange(SHAPE[1], dtype=np.float32)
    # Ascending and right-looking, the satellite is in the west: a slope that rises to the east folds over.
    steep = np.broadcast_to(np.where(cols < 48, 0, (cols - 48) * 90 * 1.2), SHAPE).astype(np.float32)
    position = independent(np.random.default_rng(2))
    with_look = draw_cover(np.random.default_rng(3), steep, 90.0, look, position).coherence
    without = draw_cover(np.random.default_rng(3), steep, 90.0, None, position).coherence
    np.testing.assert_allclose(with_look[:, 60:] / without[:, 60:], 0.2, rtol=1e-4)
    np.testing.assert_array_equal(with_look[:, :40], without[:, :40])


def test_coherence_stays_in_range_and_above_its_floor():
    rng = np.random.default_rng(1)
    height = rng.uniform(0, 500, SHAPE).astype(np.float32)
    for _ in range(20):
        cover = draw_cover(rng, height, 90.0, None, independent(rng))
        assert cover.coherence.min() >= cover.parameters["coherence_floor"] * 0.999
        assert cover.coherence.max() <= 1


def test_topographic_residual_follows_the_terrain():
    quiet = {"height_px": 96, "width_px": 96, "turbulence_m": (1e-9, 1e-9), "stratified_std_m_per_km": 0.0}
    quiet |= {"ramp_share": 0.0, "steep_ramp_share": 0.0, "ionosphere_share": 0.0, "coherence": (0.9, 0.9)}
    spec = SceneSpec.build(quiet | {"topographic_residual_share": 1.0, "ambiguity_m": (50.0, 50.0)})
    background = draw_background(np.random.default_rng(0), spec, 90.0)
    np.testing.assert_allclose(background.phase_rad, background.height_m * (2 * np.pi / 50), atol=1e-3)
    assert background.parameters["topographic_fringes"] == pytest.approx(background.parameters["relief_m"] / 50)


def test_missing_data_never_covers_most_and_is_rare_in_licsar():
    rng = np.random.default_rng(0)
    masks = [draw_missing(rng, SHAPE, 1.0) for _ in range(60)]
    assert max(mask.mean() for mask in masks) < 0.66
    licsar = [draw_missing(rng, SHAPE, 1.0, style="licsar").any() for _ in range(200)]
    assert np.mean(licsar) < 0.35
    assert np.mean([mask.any() for mask in masks]) > 0.6


def test_scenes_say_their_style():
    for style in ("licsar", "hyp3", "raw"):
        spec = SceneSpec.build({"height_px": 64, "width_px": 64, "kinds": {"quiet": 1}, "styles": {style: 1}})
        assert simulate(spec, seed=0, index=0).parameters["style"] == style


def test_positions_near_a_row_stay_near_it_and_in_range():
    table = np.array([np.zeros(len(Position._fields)), np.full(len(Position._fields), 0.5)])
    rng = np.random.default_rng(0)
    drawn = np.array([jittered(rng, table) for _ in range(200)])
    distance = np.abs(drawn[:, np.newaxis] - table).max(axis=2).min(axis=1)
    assert drawn.min() >= 0
    assert 0.9 * KERNEL < distance.max() <= KERNEL
    assert 0.35 < (drawn.max(axis=1) < 0.1).mean() < 0.65


def test_above_splits_a_distribution():
    positions = np.linspace(0, 1, 1001)
    some = np.array([above(position, 0.3) for position in positions])
    assert (some > 0).mean() == pytest.approx(0.3, abs=0.002)
    assert some.max() == pytest.approx(1)
    assert above(1.0, 0.0) < 0


def test_half_normal_has_its_quantiles():
    assert half_normal(0.6827, 2.0) == pytest.approx(2.0, rel=1e-3)
    assert half_normal(0.0, 2.0) == pytest.approx(0.0)


def test_independent_positions_give_the_distributions_of_the_spec():
    spec = SceneSpec.build({"height_px": 32, "width_px": 32, "ramp_share": 0.4, "steep_ramp_share": 0.1})
    rng = np.random.default_rng(0)
    drawn = [draw_background(rng, spec, 625.0).parameters for _ in range(400)]
    ramps = np.array([parameters["ramp_fringes"] for parameters in drawn])
    assert (ramps > 3).mean() == pytest.approx(0.1, abs=0.04)
    assert (ramps > 0).mean() == pytest.approx(0.1 + 0.9 * 0.4, abs=0.07)
    kinds = [parameters["turbulence"] for parameters in drawn]
    assert kinds.count("exponential") / 400 == pytest.approx(0.15, abs=0.05)
    assert kinds.count("smooth") / 400 == pytest.approx(0.85 * 0.5, abs=0.07)
    assert np.mean([parameters["water"] for parameters in drawn]) == pytest.approx(0.2, abs=0.06)
    # Log-uniform between 1 and 18 mm over the 20 km that this scene spans.
    assert np.median([parameters["turbulence_std_m"] for parameters in drawn]) == pytest.approx(18**0.5 / 1e3, rel=0.15)


def test_ground_and_atmosphere_are_those_of_the_processing():
    spec = SceneSpec.build({"height_px": 32, "width_px": 32})
    processing = process_like_licsar(licsar(np.random.default_rng(0)))
    parameters = [
        draw_background(np.random.default_rng(seed), spec, 90.0, processing=processing).parameters for seed in (1, 2)
    ]
    for name in ("turbulence_std_m", "turbulence", "ramp_fringes", "coherence_log_odds", "relief_m", "water"):
        assert parameters[0][name] == parameters[1][name]


def test_the_table_is_a_distribution_that_is_not_independent():
    rng = np.random.default_rng(0)
    drawn = np.array([licsar(rng) for _ in range(2000)])
    assert drawn.min() >= 0
    assert drawn.max() < 1
    # Most of the archive is less coherent than the ranges are wide.
    assert drawn[:, Position._fields.index("log_odds")].mean() < 0.45
    # Of independent parameters one correlation in 250 exceeds 0.065.
    pairs = np.abs(np.corrcoef(drawn.T)[np.triu_indices(drawn.shape[1], 1)])
    assert (pairs > 0.065).mean() > 0.2


def test_strong_stratification_shows_the_fringes_asked_for_or_the_strongest_there_is():
    shares = {"strong_stratified_share": 1.0, "strong_stratified_fringes": (2.0, 2.0), "styles": {"raw": 1.0}}
    usual, strongest = [], []
    for relief_m, kept in ((2000.0, usual), (100.0, strongest)):
        spec = SceneSpec.build(shares | {"relief_m": (relief_m, relief_m)})
        for seed in range(8):
            drawn = draw_background(np.random.default_rng(seed), spec, 100.0)
            kept.append(abs(drawn.parameters["stratified_m_per_km"]) * drawn.parameters["relief_m"] / 1000)
    np.testing.assert_allclose(usual, 2 * 0.055465764662349676 / 2, rtol=1e-6)
    # Two fringes over 100 m would be 0.55 m per km.
    np.testing.assert_allclose(strongest, 0.08 * 0.1, rtol=1e-6)


def test_training_populations_hold_strong_stratification_and_quiet_archives_do_not():
    assert preset("mixed").strong_stratified_share > 0
    assert preset("quiet").strong_stratified_share == 0


def test_real_patches_stay_as_they_are_whatever_is_drawn(tmp_path):
    """A crop of full width could be the patch itself, and a sea was painted into it for good."""
    size = 64
    rng = np.random.default_rng(0)
    for number in range(4):
        write_patch(tmp_path / f"a__{number}.png", rng.uniform(-3, 3, (size, size)).astype(np.float32))
    noise = RealNoise(tmp_path, holdout_share=0.0)
    before = [phase.copy() for phase in noise.phases]
    spec = preset("quiet", real_noise_share=1.0, sea_share=1.0, height_px=size, width_px=size)
    first = [simulate(spec, seed=3, index=index, noise=noise).phase for index in range(40)]
    for phase, kept in zip(noise.phases, before, strict=True):
        np.testing.assert_array_equal(phase, kept)
    again = [
        simulate(spec, seed=3, index=index, noise=RealNoise(tmp_path, holdout_share=0.0)).phase for index in range(40)
    ]
    np.testing.assert_array_equal(first, again)


def test_seams_on_real_noise_are_wrapped(tmp_path):
    rng = np.random.default_rng(0)
    write_patch(tmp_path / "a__0.png", rng.uniform(-3, 3, (64, 64)).astype(np.float32))
    noise = RealNoise(tmp_path, holdout_share=0.0)
    spec = preset("quiet", real_noise_share=1.0, seam_share=1.0, height_px=64, width_px=64)
    for index in range(30):
        phase = simulate(spec, seed=0, index=index, noise=noise).phase
        assert np.nanmax(np.abs(phase)) <= np.float32(np.pi)


def test_days_between_acquisitions_are_those_of_the_settings_for_every_kind():
    spec = preset("mixed", interval_days=(30, 31), height_px=64, width_px=64)
    samples = [simulate(spec, seed=1, index=index) for index in range(24)]
    assert {sample.kind for sample in samples} >= {"quiet", "volcano", "mining"}
    # Some mines are seen over many times as long.
    days = {sample.kind: set() for sample in samples}
    for sample in samples:
        days[sample.kind].add(sample.parameters["interval_days"])
    assert days["quiet"] == days["volcano"] == {30.0, 31.0}
    assert min(days["mining"]) >= 30


def test_the_mean_coherence_that_is_told_is_the_mean():
    spec = preset("volcano", styles={"raw": 1.0}, sea_share=0.0, nodata_share=0.0, height_px=96, width_px=96)
    spec = spec.model_copy(update={"kinds": {"quiet": 1.0}})
    for index in range(12):
        sample = simulate(spec, seed=2, index=index)
        assert sample.parameters["mean_coherence"] == pytest.approx(float(sample.coherence.mean()), abs=0.01)
