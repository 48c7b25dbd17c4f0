"""Compiled loops give what the formulas in NumPy give, from the same random numbers."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from fringewatch.compiled import kernels, without_kernels
from fringewatch.physics import coherence, terrain
from fringewatch.physics._fields import complex_normals, squared_wavenumbers, uniforms
from fringewatch.physics.atmosphere import SMOOTH, THREE_REGIMES, PowerLaw, turbulence
from fringewatch.physics.filtering import goldstein
from fringewatch.physics.geometry import look_vector
from fringewatch.physics.mining import Panel, advance_increment
from fringewatch.physics.sources import okada, sheet
from fringewatch.simulate import preset, simulate
from fringewatch.simulate.background import draw_background
from fringewatch.simulate.cover import draw_cover
from fringewatch.simulate.deformation.grid import nodes, upsample
from fringewatch.simulate.difficulty import signal_to_noise
from fringewatch.simulate.nuisance import independent
from fringewatch.simulate.styles import _blend
from fringewatch.simulate.visibility import background_steps, large_deformation, visibility
from fringewatch.simulate.visible import _fill_holes, visible_mask

pytest.importorskip("numba")


def both(function):
    """Return what a function gives with compiled loops, and without."""
    fast = function()
    with without_kernels():
        assert kernels("fields") is None
        return fast, function()


def rng():
    return np.random.default_rng(7)


@pytest.fixture
def scene():
    """Phase with fringes, noise and gaps, and the deformation in it."""
    row, col = np.mgrid[:90, :101].astype(np.float32)
    bowl = 30 * np.exp(-((row - 40) ** 2 + (col - 50) ** 2) / 300).astype(np.float32)
    bowl += 3 * np.exp(-((row - 70) ** 2 + (col - 12) ** 2) / 60).astype(np.float32)
    background = (0.02 * row + 0.03 * col).astype(np.float32)
    noise = rng().normal(0, np.where(col > 55, 1.0, 0.1)).astype(np.float32)
    phase = np.angle(np.exp(1j * (bowl + background + noise))).astype(np.float32)
    phase[:7] = np.nan
    phase[30:33, 20:40] = np.nan
    return bowl, background, phase


def test_elementary_functions():
    from fringewatch.compiled import elementary as e

    x = np.exp(rng().uniform(-20, 20, 3000)).astype(np.float32)
    exact = x.astype(np.float64)
    np.testing.assert_allclose([e.log2(v) for v in x], np.log2(exact), atol=3e-6)
    np.testing.assert_allclose([e.logarithm(v) for v in exact], np.log(exact), rtol=1e-14, atol=1e-15)
    signed = np.concatenate([exact, -exact, [0.0]])
    np.testing.assert_allclose([e.arctangent(v) for v in signed], np.arctan(signed), rtol=1e-14, atol=0)
    turns = rng().uniform(-300, 300, 3000).astype(np.float32)
    angle = 2 * np.pi * turns.astype(np.float64)
    np.testing.assert_allclose([e.cos_sin(v) for v in turns], np.stack([np.cos(angle), np.sin(angle)], 1), atol=3e-7)
    power = rng().uniform(-100, 100, 3000).astype(np.float32)
    np.testing.assert_allclose([e.exp2(v) for v in power], np.exp2(power.astype(np.float64)), rtol=3e-7)
    assert e.exp2(np.float32(-1000)) < 1e-37
    y, x = rng().normal(size=(2, 3000)).astype(np.float32)
    np.testing.assert_allclose([e.angle(*v) for v in zip(y, x, strict=True)], np.arctan2(y, x), atol=6e-7)
    axes = [(0, 1), (1, 0), (0, -1), (-1, 0), (0, 0)]
    np.testing.assert_allclose(
        [e.angle(np.float32(y), np.float32(x)) for y, x in axes], [0, np.pi / 2, np.pi, -np.pi / 2, 0]
    )


def test_bulk_random_numbers_are_uniform_and_independent():
    first, second = uniforms(400_000, rng())
    for drawn in (first, second):
        assert 0 < drawn.min() < 1e-4
        assert 1 - 1e-4 < drawn.max() <= 1
        counts = np.histogram(drawn, 64, (0, 1))[0]
        assert abs(((counts - 6250) ** 2 / 6250).sum() - 63) < 50
        assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.006
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.006


@pytest.mark.parametrize("shape", [(5,), (33, 70)])
def test_normals_and_multilook_noise(shape):
    deviation = rng().uniform(0, 3, shape).astype(np.float32)
    np.testing.assert_allclose(*both(lambda: complex_normals(shape, rng(), deviation, scale=2.0)), atol=1e-4)
    g = rng().uniform(0, 1, shape).astype(np.float32)
    np.testing.assert_allclose(*both(lambda: coherence.multilook_phasor(g, 7.5, rng())), atol=2e-5)


@pytest.mark.parametrize(
    "law", [THREE_REGIMES, SMOOTH, PowerLaw((-3.0,), ()), PowerLaw((-3, -2, -4, -1), (9e3, 3e3, 9e2))]
)
def test_turbulence(law):
    drawn = both(lambda: turbulence((60, 70), 90.0, rng(), std_m=1.0, power_law=law, anisotropy=1.7, azimuth_deg=30.0))
    np.testing.assert_allclose(*drawn, atol=1e-4)
    drawn = both(lambda: turbulence((60, 70), 90.0, rng(), std_m=1.0, spectrum="exponential"))
    np.testing.assert_allclose(*drawn, atol=1e-4)


@pytest.mark.parametrize("shape", [(64, 64), (20, 33), (50, 300)])
def test_goldstein_filter(shape):
    z = np.exp(1j * (np.linspace(0, 9, shape[1]) + rng().normal(0, 1, shape))).astype(np.complex64)
    z[3:9, 4:8] = 0
    np.testing.assert_allclose(*both(lambda: goldstein(z, 0.7)), atol=3e-6)


def test_what_is_measured_in_phase(scene):
    bowl, background, phase = scene
    for function in (coherence.phasor, coherence.local_coherence):
        for given in (phase, background):
            np.testing.assert_allclose(*both(lambda function=function, given=given: function(given)), atol=2e-5)
    np.testing.assert_allclose(*both(lambda: coherence.gradient_coherence(bowl)), atol=2e-6)
    z = coherence.phasor(background)
    np.testing.assert_allclose(*both(lambda: coherence.angles(z)), atol=1e-6)
    np.testing.assert_allclose(*both(lambda: coherence.window_sum(bowl, 11)), rtol=1e-5)


def test_what_can_be_seen(scene):
    bowl, background, phase = scene
    np.testing.assert_array_equal(*both(lambda: large_deformation(bowl)))
    seen = both(lambda: visible_mask(bowl, phase, background))
    assert seen[0].any()
    np.testing.assert_array_equal(*seen)
    weak = np.where(bowl > 20, bowl, 0.1 * bowl)
    np.testing.assert_array_equal(*both(lambda: visible_mask(bowl, phase + weak, background)))
    kept = np.ones_like(bowl)
    fast, plain = both(lambda: visibility(bowl, background, kept))
    assert fast == pytest.approx(plain, rel=1e-4)
    fast, plain = both(lambda: signal_to_noise(bowl / 200, background, wavelength_m=0.055, wrapped=False))
    assert fast == pytest.approx(plain, rel=1e-5)
    ragged = rng().random((70, 83)) < 0.6
    np.testing.assert_array_equal(*both(lambda: _fill_holes(ragged)))
    for part in (background, phase):
        np.testing.assert_allclose(*both(lambda part=part: background_steps(part)), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("shares", [(0.3, 0.2), (0.4, 0.0), (0.0, 0.1), (0.0, 0.0)])
def test_interpolation_between_neighbours(shares):
    z = (rng().normal(size=(40, 53)) + 1j * rng().normal(size=(40, 53))).astype(np.complex64)
    np.testing.assert_allclose(*both(lambda: _blend(z, *shares)), atol=1e-6)


def test_wavenumbers_of_a_stretched_field():
    np.testing.assert_array_equal(*both(lambda: squared_wavenumbers((30, 40), anisotropy=1.7, azimuth_deg=33.0)))


@pytest.mark.parametrize("diagonal", [0, 1])
def test_connected_parts_are_those_of_scipy(diagonal):
    from scipy import ndimage

    from fringewatch.compiled import masks

    for share in (0.05, 0.4, 0.6, 0.9):
        mask = rng().random((61, 47)) < share
        labels = np.empty(mask.shape, np.int32)
        count = masks.label(mask, diagonal, labels)
        expected, number = ndimage.label(mask, np.ones((3, 3)) if diagonal else None)
        assert count == number
        # One number for one number.
        assert len(np.unique(np.stack([labels, expected]).reshape(2, -1), axis=1).T) == count + 1


@pytest.mark.parametrize("slip", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("dip", [0.0, 20.0, 70.0, 88.0, 90.0])
def test_rectangles(slip, dip):
    east, north = np.meshgrid(np.linspace(-9e3, 9e3, 41), np.linspace(-9e3, 9e3, 40))
    names = ("strike_slip_m", "dip_slip_m", "opening_m")

    def motion():
        return okada(
            east, north, depth_m=2500.0, strike_deg=30.0, dip_deg=dip, length_m=5e3, width_m=3e3,
            **dict(zip(names, slip, strict=True)),
        )  # fmt: skip

    fast, plain = both(motion)
    np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-11)


def test_sheets_and_troughs():
    east, north = np.meshgrid(np.linspace(-4e3, 4e3, 80), np.linspace(-4e3, 4e3, 81))
    places = rng().uniform(-1e3, 1e3, (2, 60))
    depth = 800 + rng().uniform(0, 500, east.shape)

    def opened():
        return sheet(
            east, north, depth_m=depth, at_east_m=places[0], at_north_m=places[1], volume_change_m3=np.ones(60)
        )

    fast, plain = both(opened)
    np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-12 * np.abs(plain.up_m).max())
    panel = Panel(length_m=900.0, width_m=250.0, azimuth_deg=40.0, depth_m=500.0, seam_thickness_m=2.0, dip_deg=8.0)
    days = {"advance_m_per_day": 5.0, "start_day": 60.0, "end_day": 90.0, "time_factor_per_day": 0.05}
    fast, plain = both(lambda: advance_increment(east, north, panel, **days))
    np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("eroded", [False, True])
def test_terrain(eroded):
    height = terrain.fractal_terrain((60, 71), 90.0, rng(), relief_m=900.0)
    erosion, other = both(lambda: terrain.Erosion.draw(rng())) if eroded else (None, None)
    if erosion is not None:
        np.testing.assert_allclose(erosion.outline, other.outline, atol=1e-6)
        np.testing.assert_allclose(erosion.gullies, other.gullies, atol=1e-6)
    place = {"row": 20.3, "col": 45.8, "summit_m": 800.0, "radius_m": 3000.0, "crater_radius_m": 200.0}
    fast, plain = both(lambda: terrain.add_cone(height, 90.0, **place, erosion=erosion))
    # Where a direction lies between two of the table, rounding may take the other one.
    assert np.quantile(np.abs(fast - plain), 0.99) < 2e-3
    assert np.abs(fast - plain).max() < 2.0
    fast, plain = both(lambda: terrain.fractal_terrain((60, 71), 90.0, rng(), relief_m=900.0, base_m=5.0))
    np.testing.assert_allclose(fast, plain, atol=2e-3)
    assert fast.min() == pytest.approx(5)
    assert fast.max() == pytest.approx(905)


def test_cover_and_background():
    height = terrain.fractal_terrain((60, 71), 90.0, rng(), relief_m=2500.0)
    look = look_vector(347.0, 39.0)
    for seed in range(12):
        position = independent(np.random.default_rng(seed))
        fast, plain = both(lambda position=position: draw_cover(rng(), height, 90.0, look, position).coherence)
        # A slope at the limit of layover may fall on either side.
        assert np.quantile(np.abs(fast - plain), 0.998) < 2e-4
    for seed in range(12):
        fast, plain = both(
            lambda seed=seed: draw_background(np.random.default_rng(seed), preset("mixed"), 90.0).phase_rad
        )
        # As on a cone.
        assert np.quantile(np.abs(fast - plain), 0.998) < 1e-3
        assert np.abs(fast - plain).max() < 0.1


def test_single_precision_will_do_for_sheets():
    east, north = np.meshgrid(np.linspace(-9e3, 9e3, 60), np.linspace(-9e3, 9e3, 61))
    places = rng().uniform(-1e3, 1e3, (2, 60))
    for depth in (300.0, 9000.0):
        exact, single = (
            sheet(
                east, north, depth_m=depth, at_east_m=places[0], at_north_m=places[1],
                volume_change_m3=np.full(60, 1e5), single=single,
            )
            for single in (False, True)
        )  # fmt: skip
        np.testing.assert_allclose(single, exact, rtol=0, atol=3e-6 * np.abs(exact.up_m).max())


@pytest.mark.parametrize(("count", "step"), [(40, 2), (41, 7), (224, 16)])
def test_splines(count, step):
    at = nodes(count, step)
    values = np.sin(at[:, None] / (3 * step)) * np.cos(at[None, :] / (4 * step))
    np.testing.assert_allclose(*both(lambda: upsample(values, (count, count), step)), atol=1e-5)


def test_scenes_are_the_same_to_rounding():
    population = preset("mixed").model_copy(update={"height_px": 96, "width_px": 112})
    for index in range(16):
        fast, plain = both(lambda index=index: simulate(population, seed=11, index=index))
        assert fast.kind == plain.kind
        assert fast.parameters.keys() == plain.parameters.keys()
        np.testing.assert_allclose(fast.los_m, plain.los_m, atol=1e-4 * max(np.abs(plain.los_m).max(), 1e-3))
        np.testing.assert_array_equal(np.isnan(fast.phase), np.isnan(plain.phase))
        off = np.abs(np.exp(1j * fast.phase) - np.exp(1j * plain.phase))
        assert np.nanquantile(off, 0.99) < 1e-3
        assert (fast.mask != plain.mask).mean() < 1e-3


def test_a_process_without_a_place_for_compiled_code_compiles_for_itself(tmp_path):
    """Where neither the package's folder nor the user's can be written to."""
    code = (
        "import numba.core.caching as c; c.CacheImpl._locator_classes = [];"
        "import numpy as np; from fringewatch.compiled.jit import kernel\n"
        "print(kernel(lambda x: x + 1)(1))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert run.stdout.strip() == "2"


def test_without_numba_numpy_does_it():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from fringewatch.compiled import kernels; from fringewatch.simulate import preset, simulate\n"
        "assert kernels('fields') is None\n"
        "print(simulate(preset('mixed'), seed=1, index=0).kind)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == simulate(preset("mixed"), seed=1, index=0).kind
