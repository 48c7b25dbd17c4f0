"""Filter and averaging against their definitions."""

import numpy as np
import pytest

from fringewatch.errors import PhysicsError
from fringewatch.physics.coherence import multilook_phase_noise, multilook_phasor
from fringewatch.physics.filtering import goldstein, multilook


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
    # The definition: window by window with half overlap, here with the weights of Hann.
    padded = np.zeros((32, 32), complex)
    padded[8:24, 8:24] = data
    weight = np.sin(np.pi * (np.arange(16) + 0.5) / 16) ** 2
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


def test_goldstein_leaves_no_seams_between_windows():
    """Phase steps are as large in every column of the 16 that lie between the starts of two windows."""
    steps = []
    for seed in range(12):
        noisy = multilook_phasor(np.full((192, 192), 0.35, np.float32), 6, np.random.default_rng(seed))
        steps.append(np.abs(np.diff(np.angle(goldstein(noisy, 0.9)), axis=1))[:, 31:159])
    by_column = np.mean(steps, axis=(0, 1)).reshape(-1, 16).mean(axis=0)
    assert np.ptp(by_column) < 0.05 * by_column.mean()
