"""Turbulence by its statistics, and the other delays by their closed forms."""

import numpy as np
import pytest

from fringewatch.errors import PhysicsError
from fringewatch.physics import atmosphere
from fringewatch.physics.atmosphere import (
    THREE_REGIMES,
    PowerLaw,
    RadialSpectrum,
    estimate_spectrum,
    fit_slope,
    ionosphere,
    ramp,
    stratified_delay,
    turbulence,
    turbulence_from_spectrum,
)


def mean_spectrum(fields, pixel_m):
    spectra = [estimate_spectrum(field, pixel_m) for field in fields]
    return RadialSpectrum(spectra[0].wavenumber_per_m, np.mean([s.power_m4 for s in spectra], axis=0))


@pytest.mark.parametrize("slope", [-5 / 3, -8 / 3, -11 / 3])
def test_fitted_slope_is_the_requested_one(slope):
    rng = np.random.default_rng(5)
    law = PowerLaw((slope,), ())
    fields = [turbulence((227, 227), 90.0, rng, std_m=0.01, power_law=law) for _ in range(8)]
    assert fit_slope(mean_spectrum(fields, 90.0)) == pytest.approx(slope, abs=0.1)


def test_three_regimes_are_those_of_hanssen():
    """Radar Interferometry (2001), eq. 4.7.28, along a profile: 5/3 (1.5-50 km), 8/3 (0.25-1.5 km), 2/3 below."""
    assert THREE_REGIMES.breaks_m == (1500.0, 250.0)
    assert [-1 - slope for slope in THREE_REGIMES.slopes] == pytest.approx([5 / 3, 8 / 3, 2 / 3])


@pytest.mark.parametrize(
    ("regime", "pixel_m", "shortest_m", "longest_m"),
    [(0, 200.0, 2e3, 25e3), (1, 20.0, 300.0, 1300.0), (2, 20.0, 65.0, 210.0)],
)
def test_each_of_the_three_regimes_has_its_slope(regime, pixel_m, shortest_m, longest_m):
    rng = np.random.default_rng(6)
    fields = [turbulence((512, 512), pixel_m, rng, std_m=0.01) for _ in range(6)]
    fitted = fit_slope(mean_spectrum(fields, pixel_m), shortest_m=shortest_m, longest_m=longest_m)
    assert fitted == pytest.approx(THREE_REGIMES.slopes[regime], abs=0.1)


@pytest.mark.parametrize("spectrum", ["three-regime", "exponential"])
@pytest.mark.parametrize("shape", [(100, 101), (64, 150)])
def test_ensemble_variance_is_the_requested_one(spectrum, shape):
    rng = np.random.default_rng(7)
    fields = np.stack(
        [turbulence(shape, 100.0, rng, std_m=0.02, spectrum=spectrum, correlation_m=1000.0) for _ in range(400)]
    )
    assert fields.dtype == np.float32
    assert fields.shape[1:] == shape
    # The same at every pixel: middle, edges and corners.
    rms = np.sqrt(np.mean(np.square(fields, dtype=np.float64), axis=0))
    assert np.sqrt(np.mean(rms**2)) == pytest.approx(0.02, rel=0.04)
    assert rms[0, 0] == pytest.approx(0.02, rel=0.15)
    assert rms[shape[0] // 2, -1] == pytest.approx(0.02, rel=0.15)


def test_exponential_covariance_falls_by_e_over_the_correlation_length():
    rng = np.random.default_rng(8)
    fields = np.stack(
        [turbulence((200, 200), 100.0, rng, std_m=1.0, spectrum="exponential", correlation_m=1000.0) for _ in range(60)]
    ).astype(np.float64)
    for lag in (5, 10, 20):
        along_rows = np.mean(fields[:, lag:] * fields[:, :-lag])
        along_columns = np.mean(fields[:, :, lag:] * fields[:, :, :-lag])
        # The mean of the periodic field is missing, which lowers the covariance a little everywhere.
        assert along_rows == pytest.approx(np.exp(-lag / 10), abs=0.05)
        assert along_columns == pytest.approx(along_rows, abs=0.03)


@pytest.mark.parametrize(("azimuth", "smooth", "rough"), [(0.0, "rows", "columns"), (90.0, "columns", "rows")])
def test_structures_stretch_along_the_azimuth(azimuth, smooth, rough):
    """At azimuth 0, towards lower rows, the field changes least from row to row."""
    rng = np.random.default_rng(9)
    fields = np.stack(
        [turbulence((128, 128), 90.0, rng, std_m=1.0, anisotropy=4.0, azimuth_deg=azimuth) for _ in range(5)]
    )
    change = {"rows": np.diff(fields, axis=1).std(), "columns": np.diff(fields, axis=2).std()}
    assert change[smooth] < 0.6 * change[rough]


def test_oblique_azimuth_runs_to_the_north_east():
    rng = np.random.default_rng(10)
    fields = np.stack(
        [turbulence((128, 128), 90.0, rng, std_m=1.0, anisotropy=4.0, azimuth_deg=45.0) for _ in range(5)]
    )
    to_north_east = (fields[:, 1:, :-1] - fields[:, :-1, 1:]).std()
    to_south_east = (fields[:, 1:, 1:] - fields[:, :-1, :-1]).std()
    assert to_north_east < 0.6 * to_south_east


def test_turbulence_does_not_repeat_at_opposite_edges():
    rng = np.random.default_rng(11)
    fields = np.stack([turbulence((128, 128), 90.0, rng, std_m=1.0) for _ in range(30)])
    across_the_seam = np.abs(fields[:, 0] - fields[:, -1]).mean()
    next_to_each_other = np.abs(fields[:, 0] - fields[:, 1]).mean()
    assert across_the_seam > 4 * next_to_each_other


def test_same_seed_same_delay_and_no_deviation_without_strength():
    first, second = (turbulence((50, 60), 90.0, np.random.default_rng(3), std_m=0.01) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not turbulence((50, 60), 90.0, np.random.default_rng(3), std_m=0.0).any()


def test_power_is_that_of_white_noise():
    """Parseval: the spectrum integrates to the variance, here that of white noise."""
    pixel = 50.0
    noise = np.random.default_rng(12).normal(0, 0.02, (20, 128, 128))
    spectrum = mean_spectrum(noise, pixel)
    # White: the variance spread evenly over the plane of wavenumbers, (1 / pixel)^2.
    assert spectrum.power_m4.mean() == pytest.approx(0.02**2 * pixel**2, rel=0.03)


def test_spectrum_ignores_planes_and_bears_gaps():
    rng = np.random.default_rng(13)
    delay = turbulence((200, 200), 90.0, rng, std_m=0.01).astype(np.float64)
    tilted = delay + 0.1 * np.linspace(-1, 1, 200)[:, None]
    np.testing.assert_allclose(estimate_spectrum(tilted, 90.0).power_m4, estimate_spectrum(delay, 90.0).power_m4)
    gaps = delay.copy()
    gaps[60:90, 100:120] = np.nan
    ratio = estimate_spectrum(gaps, 90.0).power_m4[:4] / estimate_spectrum(delay, 90.0).power_m4[:4]
    assert ratio.min() > 0.6
    assert ratio.max() < 2.5


def test_measured_spectrum_is_reproduced():
    rng = np.random.default_rng(14)
    originals = [
        turbulence((227, 227), 90.0, rng, std_m=0.015, spectrum="exponential", correlation_m=2000.0) for _ in range(10)
    ]
    measured = mean_spectrum(originals, 90.0)
    copies = [turbulence_from_spectrum((227, 227), 90.0, rng, measured) for _ in range(10)]
    copied = mean_spectrum(copies, 90.0)
    np.testing.assert_allclose(np.log(copied.power_m4), np.log(measured.power_m4), atol=0.35)
    assert np.mean(np.log(copied.power_m4 / measured.power_m4)) == pytest.approx(0, abs=0.05)


def test_measured_spectrum_carries_over_to_another_pixel():
    rng = np.random.default_rng(15)
    law = RadialSpectrum(np.geomspace(1e-4, 5e-3, 20), 1e-9 * np.geomspace(1e-4, 5e-3, 20) ** (-8 / 3))
    for pixel in (60.0, 120.0):
        fields = [turbulence_from_spectrum((227, 227), pixel, rng, law) for _ in range(10)]
        found = mean_spectrum(fields, pixel)
        expected = 1e-9 * found.wavenumber_per_m ** (-8 / 3)
        assert np.mean(np.log(found.power_m4 / expected)) == pytest.approx(0, abs=0.1)


def test_linear_delay_follows_height():
    height = np.array([[500.0, 1500.0], [np.nan, 2500.0]], np.float32)
    delay = stratified_delay(height, coefficient_m_per_m=0.02 / 1000)
    np.testing.assert_allclose(delay, [[0, 0.02], [np.nan, 0.04]], rtol=1e-5)


def test_curved_delay_starts_with_the_coefficient_and_saturates():
    height = np.array([[0.0, 1.0, 20e3]], np.float32)
    delay = stratified_delay(height, coefficient_m_per_m=0.02 / 1000, scale_height_m=2000.0)
    assert delay[0, 1] == pytest.approx(0.02 / 1000, rel=1e-3)
    assert delay[0, 2] == pytest.approx(0.02 / 1000 * 2000.0, rel=1e-3)
    assert not stratified_delay(np.full((2, 2), np.nan, np.float32), coefficient_m_per_m=1.0).any(where=False)


def test_ramp_spans_what_it_should():
    plane = ramp((11, 21), row_m=0.05, column_m=-0.02)
    assert plane.dtype == np.float32
    assert plane[-1, 3] - plane[0, 3] == pytest.approx(0.05)
    assert plane[4, -1] - plane[4, 0] == pytest.approx(-0.02)
    assert plane[5, 10] == 0


def test_ionosphere_is_long_waves_in_the_direction_asked_for():
    rng = np.random.default_rng(16)
    waves = [ionosphere((300, 300), 400.0, rng, std_m=0.02, wavelength_m=40e3, azimuth_deg=0.0) for _ in range(200)]
    assert np.sqrt(np.mean(np.square(waves))) == pytest.approx(0.02, rel=0.07)
    assert np.diff(waves, axis=1).std() > 2 * np.diff(waves, axis=2).std()
    # Of 40 km / 1.5 at the shortest: at 400 m per pixel hardly a step between neighbours.
    assert np.abs(np.diff(waves, axis=1)).max() < 0.15 * np.abs(waves).max()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"std_m": -0.1}, r"std_m=-0.1 is too small; allowed: std_m >= 0"),
        ({"spectrum": "white"}, r"spectrum='white' is not known; choose one of 'three-regime', 'exponential'"),
        ({"correlation_m": 0.0}, r"correlation_m=0 is not positive"),
        ({"anisotropy": 0.5}, r"anisotropy=0.5 is too small; allowed: anisotropy >= 1"),
        ({"power_law": PowerLaw((-2.0, -3.0), ())}, r"give one break fewer than slopes"),
        ({"power_law": PowerLaw((-2.0, -3.0, -2.0), (500.0, 2000.0))}, r"falling order of wavelength"),
    ],
)
def test_impossible_turbulence_is_refused(changed, message):
    with pytest.raises(PhysicsError, match=message):
        turbulence((40, 40), 90.0, np.random.default_rng(0), **({"std_m": 0.01} | changed))


def test_spectra_of_too_little_data_are_refused():
    with pytest.raises(PhysicsError, match=r"shape \(20, 400\); give a 2-D array of at least 32"):
        estimate_spectrum(np.zeros((20, 400)), 90.0)
    mostly_gaps = np.full((64, 64), np.nan)
    mostly_gaps[:10] = 0
    with pytest.raises(PhysicsError, match=r"only 16% valid pixels; at least 50% are needed"):
        estimate_spectrum(mostly_gaps, 90.0)
    spectrum = RadialSpectrum(np.array([1e-3, 1e-2]), np.array([1.0, 0.1]))
    with pytest.raises(PhysicsError, match=r"only 0 wavenumbers lie between 5000.0 and 6000.0 m"):
        fit_slope(spectrum, shortest_m=5000.0, longest_m=6000.0)


@pytest.mark.parametrize("law", [atmosphere.THREE_REGIMES, atmosphere.SMOOTH, 8e3])
@pytest.mark.parametrize("side_m", [2_400.0, 6_800.0, 12_000.0])
def test_smaller_scenes_have_the_turbulence_of_parts_of_larger_ones(law, side_m):
    """Against cuts of fields that are drawn; tilts by longer waves are in the cuts and not in the law."""
    settings = {"power_law": law} if isinstance(law, atmosphere.PowerLaw) else {"correlation_m": law}
    if not isinstance(law, atmosphere.PowerLaw):
        settings["spectrum"] = "exponential"
    pixel_m = 80.0
    parts, wholes = [], []
    size, whole = round(side_m / pixel_m), round(20_000 / pixel_m)
    for seed in range(20):
        field = atmosphere.turbulence((500, 500), pixel_m, np.random.default_rng(seed), std_m=0.01, **settings)
        wholes += [field[:whole, :whole].var(), field[-whole:, -whole:].var()]
        parts += [field[top : top + size, left : left + size].var() for top in (0, 170, 340) for left in (0, 170, 340)]
    cut = np.sqrt(np.mean(parts) / np.mean(wholes))
    assert atmosphere.std_ratio(side_m, 20_000, law) == pytest.approx(cut, rel=0.25)


def test_turbulence_grows_with_the_cube_root_of_a_scene_and_with_the_power_of_five_sixths_below_a_kilometre():
    ratio = atmosphere.std_ratio(4e6, 5e5, atmosphere.THREE_REGIMES)
    assert ratio == pytest.approx(8 ** (1 / 3), rel=0.01)
    assert atmosphere.std_ratio(4e6, 5e5, atmosphere.SMOOTH) == pytest.approx(8 ** (5 / 6), rel=0.01)
    assert atmosphere.std_ratio(20e3, 20e3, atmosphere.THREE_REGIMES) == 1
