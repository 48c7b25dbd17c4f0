"""Phase statistics against their closed forms and against brute force; measures of coherence on known phase."""

import math

import numpy as np
import pytest
from scipy import ndimage, stats

from fringewatch.conventions import wrap
from fringewatch.errors import PhysicsError
from fringewatch.physics._fields import complex_normals
from fringewatch.physics.coherence import (
    coherence_field,
    gradient_coherence,
    interferometric_phase_pdf,
    interferometric_phase_std,
    local_coherence,
    multilook_phase_noise,
    multilook_phasor,
    phasor,
    temporal_coherence,
    window_sum,
)


def test_temporal_coherence_decays_to_its_floor():
    assert temporal_coherence(0, tau_days=40, rho_inf=0.2) == 1
    assert temporal_coherence(40, tau_days=40) == pytest.approx(np.exp(-1))
    assert temporal_coherence(1e6, tau_days=40, rho_inf=0.2) == pytest.approx(0.2)
    with pytest.raises(PhysicsError, match=r"days=-6 is too small"):
        temporal_coherence(-6, tau_days=40)


@pytest.mark.parametrize("looks", [1, 2, 5, 20])
@pytest.mark.parametrize("coherence", [0.0, 0.2, 0.6, 0.95])
def test_drawn_variance_is_the_analytic_one(coherence, looks):
    drawn = multilook_phase_noise(np.full(100_000, coherence, np.float32), looks, np.random.default_rng(looks))
    assert drawn.dtype == np.float32
    assert drawn.std() == pytest.approx(interferometric_phase_std(coherence, looks), rel=0.02)
    assert drawn.mean() == pytest.approx(0, abs=0.03)


def test_drawn_phase_has_the_distribution_of_averaged_pairs():
    """The long way: correlated complex Gaussian pairs, multiplied and averaged."""
    rng = np.random.default_rng(1)
    coherence, looks, count = 0.4, 3, 100_000
    first, second = (rng.normal(size=(2, looks, count, 2)) @ [1, 1j]).squeeze()
    second = coherence * first + np.sqrt(1 - coherence**2) * second
    averaged = np.angle((second * first.conj()).sum(axis=0))
    drawn = multilook_phase_noise(np.full(count, coherence, np.float32), looks, rng)
    quantiles = np.linspace(0.01, 0.99, 25)
    np.testing.assert_allclose(np.quantile(drawn, quantiles), np.quantile(averaged, quantiles), atol=0.03)


@pytest.mark.parametrize(("coherence", "looks"), [(0.3, 1), (0.7, 4), (0.9, 16)])
def test_density_is_one_in_all_and_matches_a_histogram(coherence, looks):
    edges = np.linspace(-np.pi, np.pi, 41)
    fine = np.linspace(-np.pi, np.pi, 20_001)
    density = interferometric_phase_pdf(fine, coherence, looks)
    assert np.trapezoid(density, fine) == pytest.approx(1, abs=1e-6)
    drawn = multilook_phase_noise(np.full(400_000, coherence, np.float32), looks, np.random.default_rng(2))
    histogram = np.histogram(drawn, edges, density=True)[0]
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(fine))])
    expected = np.diff(np.interp(edges, fine, cumulative)) / np.diff(edges)
    np.testing.assert_allclose(histogram, expected, atol=0.04 * expected.max())


def test_analytic_deviation_has_its_known_limits():
    assert interferometric_phase_std(0.0, 1) == pytest.approx(np.pi / np.sqrt(3), rel=1e-6)
    assert interferometric_phase_std(1.0, 5) == 0
    # sqrt((1 - g^2) / (2 N g^2)), Rodriguez and Martin (1992), for many looks
    assert interferometric_phase_std(0.9, 100) == pytest.approx(np.sqrt(0.19 / (200 * 0.81)), rel=0.01)
    # Single look: pi^2 / 3 - pi asin(g) + asin(g)^2 - Li2(g^2) / 2, Hanssen (2001), eq. 4.2.27
    g = 0.6
    dilogarithm = sum(g ** (2 * n) / n**2 for n in range(1, 200))
    variance = np.pi**2 / 3 - np.pi * np.arcsin(g) + np.arcsin(g) ** 2 - dilogarithm / 2
    assert interferometric_phase_std(g, 1) == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_full_coherence_leaves_no_noise_and_nan_stays_nan():
    noise = multilook_phase_noise(np.array([1.0, np.nan], np.float32), 4, np.random.default_rng(0))
    assert noise[0] == 0
    assert np.isnan(noise[1])


def test_impossible_coherence_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(PhysicsError, match=r"coherence ranges over \[0.5, 1.2\]; allowed: 0 to 1"):
        multilook_phasor(np.array([0.5, 1.2], np.float32), 4, rng)
    with pytest.raises(PhysicsError, match=r"looks=0.5 is too small; allowed: looks >= 1"):
        multilook_phasor(np.array([0.5], np.float32), 0.5, rng)


def test_field_has_the_median_asked_for_and_stays_in_range():
    rng = np.random.default_rng(3)
    fields = np.stack([coherence_field((100, 100), 100.0, rng, mean=0.6, spread=1.0) for _ in range(60)])
    assert np.median(fields) == pytest.approx(0.6, abs=0.03)
    assert 0 <= fields.min() < 0.2
    assert 0.9 < fields.max() <= 1
    uniform = coherence_field((20, 20), 100.0, rng, mean=0.6, spread=0.0)
    np.testing.assert_allclose(uniform, 0.6, rtol=1e-6)


def test_patches_have_the_size_asked_for():
    rng = np.random.default_rng(4)

    def neighbour_correlation(correlation_m):
        fields = np.stack(
            [coherence_field((100, 100), 100.0, rng, mean=0.5, correlation_m=correlation_m) for _ in range(10)]
        )
        deviation = fields - fields.mean()
        return np.mean(deviation[:, 5:] * deviation[:, :-5]) / np.mean(deviation**2)

    assert neighbour_correlation(2000.0) > 0.7
    assert neighbour_correlation(200.0) < 0.3


def test_water_and_slopes_lower_coherence():
    rng = np.random.default_rng(5)
    water = np.zeros((30, 30), bool)
    water[:10] = True
    slope = np.zeros((30, 30), np.float32)
    slope[20:] = 40.0
    field = coherence_field((30, 30), 100.0, rng, mean=0.8, spread=0.0, slope_deg=slope, water=water)
    assert (field[:10] == 0).all()
    np.testing.assert_allclose(field[10:20], 0.8, rtol=1e-6)
    # Odds 4 fall by e^4.
    odds = 4 * np.exp(-4)
    np.testing.assert_allclose(field[20:], odds / (1 + odds), rtol=1e-5)


def test_gradient_coherence_is_the_sinc_of_the_ramp():
    ramp = np.broadcast_to(np.arange(32, dtype=np.float32) * 2.0, (32, 32)).astype(np.float32)
    np.testing.assert_allclose(gradient_coherence(ramp), np.sinc(2.0 / (2 * np.pi)), rtol=1e-5)
    # The mean of exp(i phase) over one pixel of that ramp, by numerical integration.
    inside = np.linspace(-0.5, 0.5, 10_001)
    assert np.abs(np.exp(2j * inside).mean()) == pytest.approx(float(gradient_coherence(ramp)[5, 5]), abs=1e-3)
    assert (gradient_coherence(np.zeros((4, 4), np.float32)) == 1).all()
    assert not gradient_coherence(ramp * 3.5).any()


def test_local_coherence_tells_fringes_from_noise():
    fringes = wrap(np.broadcast_to(np.arange(64, dtype=np.float32) * 1.2, (64, 64)).copy())
    np.testing.assert_allclose(local_coherence(fringes), 1, atol=1e-5)
    noise = np.random.default_rng(0).uniform(-np.pi, np.pi, (400, 400)).astype(np.float32)
    # Root of the modulus of the mean of 25 independent unit vectors, along rows times along columns: a fourth root
    # of an exponential variable each.
    expected = math.gamma(1.25) ** 2 / 5
    assert local_coherence(noise)[3:-3, 3:-3].mean() == pytest.approx(expected, abs=0.002)


def test_local_coherence_is_zero_without_data_and_counts_only_data():
    phase = np.broadcast_to(np.arange(40, dtype=np.float32) * 0.3, (40, 40)).copy()
    phase[:, 20:] = np.nan
    found = local_coherence(phase)
    assert not found[:, 20:].any()
    np.testing.assert_allclose(found[:, :20], 1, atol=1e-5)
    phase[:, 1:] = np.nan
    assert not local_coherence(phase).any()
    assert not local_coherence(np.full((16, 16), np.nan, np.float32)).any()


@pytest.mark.parametrize("size", [1, 3, 5, 11])
def test_window_sum_is_a_correlation_with_ones(size):
    values = np.random.default_rng(1).random((13, 17), dtype=np.float32)
    expected = ndimage.correlate(values, np.ones((size, size)), mode="constant")
    np.testing.assert_allclose(window_sum(values, size), expected, rtol=1e-5)


def test_phasor_is_the_complex_exponential_and_zero_without_data():
    phase = np.array([0.0, 1.0, -2.5, np.nan], np.float32)
    np.testing.assert_allclose(phasor(phase)[:3], np.exp(1j * phase[:3]), rtol=1e-6)
    assert phasor(phase)[3] == 0


@pytest.mark.parametrize(("coherence", "looks"), [(0.0, 1.0), (0.3, 1.5), (0.6, 7.3), (0.9, 60.0), (0.98, 900.0)])
def test_two_uniform_numbers_have_the_phase_of_a_gamma_and_a_gaussian_one(coherence, looks):
    """Bartlett's decomposition of the Wishart matrix as it stands in Goodman (1963)."""
    rng = np.random.default_rng(4)
    count = 200_000
    circular = (rng.normal(size=(count, 2)) @ [1, 1j]) / math.sqrt(2)
    exact = coherence * np.sqrt(rng.gamma(looks, size=count)) + math.sqrt(1 - coherence**2) * circular
    drawn = multilook_phasor(np.full(count, coherence, np.float32), looks, rng)
    assert drawn.dtype == np.complex64
    assert np.abs(drawn).max() <= 1 + 1e-6
    assert stats.ks_2samp(np.angle(drawn), np.angle(exact)).pvalue > 0.01


def test_normal_draws_follow_their_distribution_in_both_parts():
    drawn = complex_normals((300_001,), np.random.default_rng(6))
    assert stats.kstest(drawn.real, "norm").pvalue > 0.01
    assert stats.kstest(drawn.imag, "norm").pvalue > 0.01
    assert abs(np.mean(drawn.real * drawn.imag)) < 0.01
    assert abs(np.mean(drawn[1:] * drawn[:-1].conj())) < 0.01
