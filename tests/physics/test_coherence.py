"""Phase statistics against their closed forms and against brute force; filter and averaging against definitions."""

import numpy as np
import pytest

from fringewatch.errors import PhysicsError
from fringewatch.physics.coherence import (
    coherence_field,
    goldstein,
    interferometric_phase_pdf,
    interferometric_phase_std,
    multilook,
    multilook_phase_noise,
    multilook_phasor,
    temporal_coherence,
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


def noisy_fringes(rng, shape=(200, 180)):
    rows, columns = np.indices(shape)
    phase = 2 * np.pi * (rows / 25 + columns / 40)
    noise = multilook_phase_noise(np.full(shape, 0.5, np.float32), 3, rng)
    return phase, np.exp(1j * (phase + noise)).astype(np.complex64)


def test_goldstein_of_strength_zero_changes_nothing():
    _, noisy = noisy_fringes(np.random.default_rng(6), (90, 75))
    np.testing.assert_allclose(goldstein(noisy, 0.0), noisy, atol=1e-5)


def test_goldstein_lowers_noise_the_more_the_stronger():
    phase, noisy = noisy_fringes(np.random.default_rng(7))
    spread = [np.angle(goldstein(noisy, alpha) * np.exp(-1j * phase)).std() for alpha in (0.0, 0.4, 0.8)]
    assert spread[1] < 0.7 * spread[0]
    assert spread[2] < 0.7 * spread[1]


def test_goldstein_keeps_clean_fringes_up_to_the_edges():
    rows, columns = np.indices((100, 130))
    clean = np.exp(1j * 0.35 * (rows + 0.5 * columns)).astype(np.complex64)
    error = np.angle(goldstein(clean, 0.6) * clean.conj())
    assert np.abs(error).max() < 0.15
    # Radians; the window sees a fringe that does not fit it a whole number of times.
    assert error.std() < 0.05


def test_goldstein_follows_its_definition_in_one_window():
    """Against the paper, step by step, at the middle of a window that lies alone in the data."""
    rng = np.random.default_rng(8)
    window = 16
    data = np.zeros((16, 16), np.complex64)
    data[:] = np.exp(1j * rng.uniform(-np.pi, np.pi, (16, 16)))
    filtered = goldstein(data, 0.5, window=window)
    # The definition: window by window with half overlap and triangular weights.
    padded = np.zeros((32, 32), complex)
    padded[8:24, 8:24] = data
    weight = 1 - np.abs(np.arange(16) - 7.5) / 8
    expected = np.zeros((32, 32), complex)
    for row in (0, 8, 16):
        for column in (0, 8, 16):
            spectrum = np.fft.fft2(padded[row : row + 16, column : column + 16])
            magnitude = np.abs(spectrum)
            smooth = sum(np.roll(magnitude, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
            block = np.fft.ifft2(spectrum * (smooth / smooth.max()) ** 0.5)
            expected[row : row + 16, column : column + 16] += block * np.outer(weight, weight)
    np.testing.assert_allclose(filtered, expected[8:24, 8:24], atol=2e-6)


def test_goldstein_keeps_gaps_empty():
    _, noisy = noisy_fringes(np.random.default_rng(9), (80, 80))
    noisy[10:30, 5:25] = np.nan
    noisy[50:60] = 0
    filtered = goldstein(noisy, 0.5)
    assert np.isfinite(filtered).all()
    assert not filtered[10:30, 5:25].any()
    assert not filtered[50:60].any()
    assert filtered[40, 40] != 0


def test_goldstein_refuses_impossible_arguments():
    data = np.ones((40, 40), np.complex64)
    with pytest.raises(PhysicsError, match=r"alpha=1.5 is out of range; allowed: 0 <= alpha <= 1"):
        goldstein(data, 1.5)
    with pytest.raises(PhysicsError, match=r"window=9 is not possible; allowed: even numbers from 8"):
        goldstein(data, 0.5, window=9)
    with pytest.raises(PhysicsError, match=r"1 dimensions; give a 2-D array"):
        goldstein(data[0], 0.5)


def test_multilook_averages_blocks_and_skips_gaps():
    data = np.arange(24, dtype=np.float32).reshape(4, 6).astype(np.complex64) + 1j
    averaged = multilook(data, 2)
    assert averaged.dtype == np.complex64
    np.testing.assert_allclose(averaged[0], [3.5 + 1j, 5.5 + 1j, 7.5 + 1j])
    data[0, 0] = np.nan
    data[2:, 4:] = 0
    averaged = multilook(data, 2)
    assert averaged[0, 0] == pytest.approx((1 + 6 + 7) / 3 + 1j)
    assert averaged[1, 2] == 0
    assert multilook(data[:3, :5], 2).shape == (1, 2)


def test_multilook_destroys_fringes_that_are_too_dense():
    """What makes the core of a mining trough incoherent: a whole fringe within a block averages to nothing."""
    columns = np.arange(64)
    dense = np.exp(2j * np.pi * columns / 4)[None, :].repeat(64, axis=0).astype(np.complex64)
    assert np.abs(multilook(dense, 4)).max() < 1e-6
    gentle = np.exp(2j * np.pi * columns / 40)[None, :].repeat(64, axis=0).astype(np.complex64)
    assert np.abs(multilook(gentle, 4)).min() > 0.9


def test_multilook_refuses_blocks_larger_than_the_data():
    with pytest.raises(PhysicsError, match=r"factor=50 is larger than the interferogram of shape \(40, 40\)"):
        multilook(np.ones((40, 40), np.complex64), 50)
