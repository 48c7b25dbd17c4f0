"""Stratified delay is found in wrapped phase and taken out; deformation is not."""

import numpy as np
import pytest

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, wrap
from fringewatch.corrections import without_height_trend
from fringewatch.fringes.height_trend import fit_height_trend, remove_height_trend
from fringewatch.interferogram import make_interferogram
from fringewatch.physics.terrain import fractal_terrain

SIZE = 224


@pytest.fixture(scope="module")
def height():
    """Two cones of 1,500 m and 700 m on rough ground."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    cones = [(100, 90, 1500, 60), (170, 180, 700, 40)]
    ground = sum(top * np.exp(-np.hypot(rows - y, columns - x) / width) for y, x, top, width in cones)
    return (ground + rng.normal(0, 5, (SIZE, SIZE))).astype(np.float32)


def noisy(phase, seed=1, deviation=0.6):
    noise = np.random.default_rng(seed).normal(0, deviation, phase.shape)
    return wrap(phase + noise).astype(np.float32)


@pytest.mark.parametrize("slope", [-0.011, 0.004, 0.017])
def test_slope_is_found_under_noise_gaps_and_wraps(height, slope):
    phase = noisy(slope * height.astype(float))
    phase[40:90, 100:200] = np.nan
    known = height.copy()
    known[:20] = np.nan
    trend = fit_height_trend(phase, known, wavelength_m=SENTINEL1_WAVELENGTH_M)
    assert trend.rad_per_m == pytest.approx(slope, abs=2e-4)
    assert trend.agreement > trend.agreement_before
    left = remove_height_trend(phase, known, trend)
    assert np.array_equal(np.isnan(left), np.isnan(phase))
    assert (np.abs(left[~np.isnan(left)]) <= np.pi).all()
    # What is left is noise about one phase.
    assert np.abs(np.nanmean(np.exp(1j * left[20:]))) > 0.75
    assert np.abs(np.nanmean(np.exp(1j * phase[20:]))) < 0.6


@pytest.mark.parametrize("kind", ["noise", "flat", "empty", "nothing"])
def test_no_trend_is_found_where_there_is_none(height, kind):
    rng = np.random.default_rng(2)
    phase = rng.uniform(-np.pi, np.pi, height.shape).astype(np.float32)
    if kind == "flat":
        phase, height = noisy(0.01 * height), np.full_like(height, 12.0)
    elif kind == "empty":
        phase = np.full_like(phase, np.nan)
    elif kind == "nothing":
        phase = noisy(np.zeros_like(height))
    assert fit_height_trend(phase, height, wavelength_m=SENTINEL1_WAVELENGTH_M) is None


def test_deformation_beside_the_mountains_stays(height):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    bowl = 25 * np.exp(-((rows - 60) ** 2 + (columns - 170) ** 2) / (2 * 25**2))
    slope = 0.008
    phase = noisy(bowl + slope * height, deviation=0.3)
    trend = fit_height_trend(phase, height, wavelength_m=SENTINEL1_WAVELENGTH_M)
    assert trend.rad_per_m == pytest.approx(slope, abs=6e-4)
    left = remove_height_trend(phase, height, trend)
    residual = np.exp(1j * (left - bowl))
    assert np.abs(residual.mean()) > 0.85


def test_interferogram_says_what_was_taken_out(height):
    phase = noisy(0.01 * height.astype(float), deviation=0.2)
    ifg = make_interferogram(
        phase, wavelength_m=SENTINEL1_WAVELENGTH_M, companions={"height": height}, assumptions=["a"]
    )
    before = ifg["phase"].values.copy()
    left = without_height_trend(ifg)
    assert np.array_equal(ifg["phase"].values, before)
    assert left["phase"].dtype == np.float32
    assert left["phase"].attrs == ifg["phase"].attrs
    first, note = left.attrs["assumptions"]
    assert first == "a"
    assert note.startswith("a phase-height trend of +10.")
    assert "+4.4 cm of path" in note
    assert "none removed" in without_height_trend(left).attrs["assumptions"][-1]
    bare = without_height_trend(ifg.drop_vars("height"))
    assert "no terrain height" in bare.attrs["assumptions"][-1]
    assert np.array_equal(bare["phase"].values, before)


def test_lazy_scenes_stay_lazy_and_give_the_same(height):
    tall = np.tile(height, (15, 1))
    phase = noisy(0.01 * tall.astype(float), deviation=0.2)
    ifg = make_interferogram(phase, wavelength_m=SENTINEL1_WAVELENGTH_M, companions={"height": tall})
    left = without_height_trend(ifg.chunk({"y": 500, "x": 100}))
    assert left["phase"].chunks is not None
    assert np.array_equal(left["phase"].values, without_height_trend(ifg)["phase"].values)
    # 3,360 rows are looked at in three windows; what those say is right for all.
    assert np.abs(np.exp(1j * left["phase"].values).mean()) > 0.95


@pytest.mark.parametrize("pixel_m", [10, 30, 90])
def test_slopes_are_found_at_fine_and_coarse_pixels(pixel_m):
    """Over three pixels of 10 m hardly any delay builds up."""
    size = 20_000 // pixel_m
    rows, columns = np.mgrid[:size, :size]
    height = 2500 * np.clip(1 - np.hypot(rows - size / 2, columns - size / 2) * pixel_m / 10_000, 0, None) ** 1.5
    phase = noisy(0.006 * height, deviation=0.2)
    trend = fit_height_trend(phase, height.astype(np.float32), wavelength_m=SENTINEL1_WAVELENGTH_M)
    assert trend.rad_per_m == pytest.approx(0.006, rel=0.03)


def test_a_mountain_on_a_wide_plain_is_seen():
    rows, columns = np.mgrid[:1000, :1000]
    height = (2000 * np.clip(1 - np.hypot(rows - 200, columns - 300) / 70, 0, None)).astype(np.float32)
    trend = fit_height_trend(noisy(0.005 * height), height, wavelength_m=SENTINEL1_WAVELENGTH_M)
    assert trend.rad_per_m == pytest.approx(0.005, rel=0.05)


@pytest.mark.parametrize("size", [30, 64, 128])
def test_noise_of_small_scenes_holds_no_trend(size):
    found = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        height = fractal_terrain((size, size), 90.0, rng, relief_m=1500.0)
        phase = rng.uniform(-np.pi, np.pi, (size, size)).astype(np.float32)
        found += fit_height_trend(phase, height, wavelength_m=SENTINEL1_WAVELENGTH_M) is not None
    assert found == 0
