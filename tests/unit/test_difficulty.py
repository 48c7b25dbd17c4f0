"""Signal-to-noise ratio and stratum of simulated scenes."""

import json

import numpy as np
import pytest

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, wrap
from fringewatch.simulate import SceneSpec, simulate
from fringewatch.simulate.difficulty import SNR_STRATA, signal_to_noise, snr_stratum

RAD_M = SENTINEL1_WAVELENGTH_M / (4 * np.pi)


def ratio(los_m, background_rad, *, wrapped=False):
    return signal_to_noise(
        np.float32(los_m), np.float32(background_rad), wavelength_m=SENTINEL1_WAVELENGTH_M, wrapped=wrapped
    )


def bowl(peak_m, radius_px=8):
    rows, cols = np.mgrid[-32:32, -32:32]
    return peak_m * np.exp(-(rows**2 + cols**2) / radius_px**2)


def test_ratio_is_peak_over_the_deviation_inside_the_deforming_area():
    rng = np.random.default_rng(0)
    los = bowl(-0.04)
    inside = np.abs(los) >= 0.004
    background = rng.normal(0, 1, los.shape)
    background[inside] *= 0.01 / (RAD_M * background[inside].std())
    assert ratio(los, background) == pytest.approx(4.0, rel=1e-4)
    # Whatever happens elsewhere, and a constant, change nothing.
    background[~inside] *= 100
    assert ratio(los, background + 7.0) == pytest.approx(4.0, rel=1e-4)
    assert ratio(2 * los, background) == pytest.approx(8.0, rel=1e-4)


def test_long_waves_hide_wide_deformation_more_than_a_small_trough():
    wave = np.broadcast_to(np.linspace(0, 6, 64), (64, 64))
    assert ratio(bowl(0.03, radius_px=3), wave) > 3 * ratio(bowl(0.03, radius_px=25), wave)


def test_wrapped_backgrounds_give_the_ratio_of_unwrapped_ones():
    background = np.random.default_rng(1).normal(2.9, 0.6, (64, 64))
    assert ratio(bowl(0.05), wrap(background), wrapped=True) == pytest.approx(ratio(bowl(0.05), background), rel=0.08)


def test_no_motion_and_no_data_are_no_signal():
    assert ratio(np.zeros((8, 8)), np.ones((8, 8))) == 0
    assert ratio(bowl(0.1), np.full((64, 64), np.nan)) == 0
    # A perfect background counts as 0.1 mm.
    assert ratio(bowl(0.1), np.zeros((64, 64))) == pytest.approx(1000, rel=1e-3)


@pytest.mark.parametrize(
    ("value", "stratum"),
    [(0.0, "<1"), (0.99, "<1"), (1.0, "1-2"), (2.0, "2-4"), (3.9, "2-4"), (4.0, "4-8"), (8.0, "8-16"), (99, ">16")],
)
def test_strata(value, stratum):
    assert snr_stratum(value) == stratum


def test_every_sample_says_its_stratum():
    spec = SceneSpec(
        height_px=64,
        width_px=64,
        pixel_size_m=(150, 200),
        fringes=(0.1, 5.0),
        turbulence_m=(0.003, 0.1),
        min_visibility=0.0,
    )
    found = set()
    for index in range(25):
        sample = simulate(spec, seed=0, index=index)
        parameters = json.loads(json.dumps(sample.parameters))
        if sample.kind == "quiet":
            assert (parameters["snr"], parameters["snr_stratum"]) == (0.0, "none")
        else:
            assert parameters["snr_stratum"] == snr_stratum(parameters["snr"])
            found.add(parameters["snr_stratum"])
    assert found <= set(SNR_STRATA)
    assert len(found) >= 4
