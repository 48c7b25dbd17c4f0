"""Backgrounds and product styles: what each provider's processing leaves in the noise."""

import numpy as np
import pytest

from fringewatch.physics.geometry import look_vector
from fringewatch.simulate import SceneSpec, simulate
from fringewatch.simulate.background import draw_background
from fringewatch.simulate.cover import draw_cover
from fringewatch.simulate.distributions import weighted_choice
from fringewatch.simulate.styles import Processing, draw_missing, draw_processing, observe

SHAPE = (96, 96)


def noise_of(processing, coherence=0.3, seed=0):
    scene = np.ones(SHAPE, np.complex64)
    return observe(np.random.default_rng(seed), scene, np.full(SHAPE, coherence, np.float32), processing)


def correlation(phase, axis):
    """Correlation of neighbours' noise phasors along an axis."""
    z = np.exp(1j * np.moveaxis(phase, axis, 0))
    z -= z.mean()
    return np.mean(z[1:] * z[:-1].conj()).real / np.mean(np.abs(z) ** 2)


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


def test_stretching_repeats_columns():
    phase = noise_of(Processing("licsar", 4, 0.0, stretch=2.0))
    np.testing.assert_array_equal(phase[:, ::2], phase[:, 1::2])


def test_averaged_pictures_of_noise_gather_at_grey():
    """The mean of m uniform phases has a standard deviation of pi / sqrt(3 m); blending lowers it further."""
    phase = noise_of(Processing("licsar", 4, 0.0, picture_mean=4), coherence=0.0)
    blended = (0.85**2 + 0.15**2) * np.pi / np.sqrt(3 * 4)
    assert phase[:-1, :-1].std() == pytest.approx(blended, rel=0.05)


def test_without_noise_every_style_returns_the_phase():
    ramp = np.broadcast_to(np.linspace(-1, 1, SHAPE[1], dtype=np.float32), SHAPE)
    for processing in (Processing("raw", 9, 0.0), Processing("licsar", 9, 0.0, blend_row=0.3, picture_mean=3)):
        phase = observe(
            np.random.default_rng(0), np.exp(1j * ramp).astype(np.complex64), np.ones_like(ramp), processing
        )
        np.testing.assert_allclose(phase, ramp, atol=0.02)


def test_layover_and_steep_ground_lose_coherence():
    look = look_vector(347.0, 39.0)
    cols = np.arange(SHAPE[1], dtype=np.float32)
    # Ascending and right-looking, the satellite is in the west: a slope that rises to the east folds over.
    steep = np.broadcast_to(np.where(cols < 48, 0, (cols - 48) * 90 * 1.2), SHAPE).astype(np.float32)
    with_look = draw_cover(np.random.default_rng(3), steep, 90.0, look).coherence
    without = draw_cover(np.random.default_rng(3), steep, 90.0, None).coherence
    np.testing.assert_allclose(with_look[:, 60:] / without[:, 60:], 0.2, rtol=1e-4)
    np.testing.assert_array_equal(with_look[:, :40], without[:, :40])


def test_coherence_stays_in_range_and_above_its_floor():
    rng = np.random.default_rng(1)
    height = rng.uniform(0, 500, SHAPE).astype(np.float32)
    for _ in range(20):
        cover = draw_cover(rng, height, 90.0, None)
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
