"""Scanning: seams, sizes, no data, laziness, and the two functions that others build on."""

from __future__ import annotations

import dask.array
import dask.callbacks
import numpy as np
import pytest
import xarray as xr

from fringewatch.errors import BundleError, ConfigError, ProductError
from fringewatch.models import Calibration, load_bundle
from fringewatch.scan import Scan, scan, scan_many, scan_windows, scene_logit, smooth_logits, upsample_logits
from fringewatch.scan import result as result_module


@pytest.fixture(scope="module")
def bundle(tiny_bundle_folder):
    return load_bundle(tiny_bundle_folder, precision="float32", threads=1)


def noisy_phase(shape, seed=0, gap=True):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    radius = np.hypot(rows - shape[0] / 3, columns - shape[1] / 2)
    phase = np.angle(np.exp(1j * (30 * np.exp(-((radius / 40) ** 2)) + 0.4 * rng.standard_normal(shape))))
    if gap:
        phase[shape[0] // 2 :, : shape[1] // 3] = np.nan
    return xr.DataArray(phase.astype(np.float32), dims=("y", "x"))


@pytest.mark.parametrize("tile_px", [64, 96, 128, 200])
@pytest.mark.parametrize("shape", [(301, 417), (256, 256), (97, 640)])
def test_tiles_leave_no_seams(bundle, shape, tile_px):
    phase = noisy_phase(shape)
    whole = scan(phase, bundle, tile_px=4096)
    tiled = scan(phase, bundle, tile_px=tile_px)
    np.testing.assert_array_equal(tiled.valid, whole.valid)
    np.testing.assert_allclose(tiled.logits[whole.valid], whole.logits[whole.valid], atol=1e-4)
    assert tiled.scene_logit == pytest.approx(whole.scene_logit, abs=1e-4)


def test_a_halo_smaller_than_the_receptive_field_would_leave_seams(bundle, monkeypatch):
    """The seam test can fail: without overlap the same tiles differ."""
    phase = noisy_phase((256, 256))
    monkeypatch.setattr(bundle, "card", bundle.card.model_copy(update={"halo_px": 0}))
    whole = scan(phase, bundle, tile_px=4096)
    tiled = scan(phase, bundle, tile_px=64)
    assert np.abs(tiled.logits - whole.logits)[whole.valid].max() > 0.1


@pytest.mark.parametrize("shape", [(8, 8), (31, 33), (32, 32), (100, 50), (8, 300)])
def test_any_size_gives_a_map_that_covers_the_scene(bundle, shape):
    result = scan(noisy_phase(shape, gap=False), bundle)
    assert result.logits.shape == result.valid.shape == (-(-shape[0] // 4), -(-shape[1] // 4))
    assert result.shape == shape
    assert result.valid.all()
    assert np.isfinite(result.logits).all()


def test_the_map_is_high_on_the_fringes_only(bundle):
    phase = noisy_phase((300, 300), gap=False)
    result = scan(phase, bundle)
    assert result.logits[100 // 4, 130 // 4] > 0 > result.logits[-5, 5]


def test_validity_is_per_map_pixel(bundle):
    phase = np.full((64, 64), np.nan, np.float32)
    phase[9, 17] = 1.0
    result = scan(xr.DataArray(phase, dims=("y", "x")), bundle)
    assert np.argwhere(result.valid).tolist() == [[2, 4]]


def test_a_scene_without_data_scores_minus_infinity(bundle):
    result = scan(xr.DataArray(np.full((64, 64), np.nan, np.float32), dims=("y", "x")), bundle)
    assert not result.valid.any()
    assert result.scene_logit == -np.inf
    assert bundle.card.scene_calibration(np.float32(result.scene_logit)) == 0


def test_a_lazy_scene_is_read_band_by_band(bundle):
    """No single read takes more than the blocks under one row of tiles."""
    eager = noisy_phase((256, 512))
    reads = []

    def block(values):
        reads[-1] += 1
        return values

    chunked = dask.array.from_array(eager.values, chunks=(32, 32)).map_blocks(
        block, dtype=np.float32, meta=np.empty((0, 0), np.float32)
    )
    with dask.callbacks.Callback(start=lambda _: reads.append(0)):
        result = scan(xr.DataArray(chunked, dims=("y", "x")), bundle, tile_px=128)
    np.testing.assert_allclose(result.logits, scan(eager, bundle, tile_px=128).logits, atol=1e-5)
    assert len(reads) == 4
    assert max(reads) == (128 // 32) * (512 // 32)


def test_wrong_dimensions_are_refused(bundle):
    with pytest.raises(ProductError, match=r"shape \(2, 8, 8\), expected \(rows, columns\)"):
        scan(xr.DataArray(np.zeros((2, 8, 8), np.float32), dims=("b", "y", "x")), bundle)


def test_a_card_that_promises_another_stride_is_refused(bundle, monkeypatch):
    monkeypatch.setattr(bundle, "card", bundle.card.model_copy(update={"stride": 8}))
    with pytest.raises(BundleError, match="its card promises"):
        scan(noisy_phase((64, 64)), bundle)
    monkeypatch.setattr(bundle, "card", bundle.card.model_copy(update={"stride": 5}))
    with pytest.raises(BundleError, match="stride 5 does not divide multiple 16"):
        scan(noisy_phase((64, 64)), bundle)


def test_scene_logit_is_the_largest_mean_of_nine():
    logits = np.zeros((6, 7), np.float32)
    logits[2, 3] = 9
    assert scene_logit(logits, np.ones(logits.shape, bool)) == pytest.approx(1)
    logits[0, 0] = 8  # a corner has only four pixels in the scene
    assert scene_logit(logits, np.ones(logits.shape, bool)) == pytest.approx(2)


def test_scene_logit_ignores_what_has_no_data():
    logits = np.full((5, 5), 100, np.float32)
    valid = np.zeros(logits.shape, bool)
    valid[2, 1:4] = True
    logits[2, 1:4] = [-1, -2, -3]
    assert scene_logit(logits, valid) == pytest.approx(-1.5)


def test_upsampling_keeps_pixel_centres():
    """A plane over the map's centres is the same plane over the scene's centres, away from the border."""
    stride = 4
    rows, columns = np.mgrid[:10, :12]
    plane = (2.0 * rows - columns).astype(np.float32)
    full = upsample_logits(plane, stride, slice(0, 40), slice(0, 48))
    y, x = (np.mgrid[:40, :48] + 0.5) / stride - 0.5
    inner = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(full[inner], (2 * y - x)[inner], atol=1e-5)
    assert full.mean() == pytest.approx(plane.mean(), abs=1e-5)


def test_upsampling_does_not_depend_on_the_window():
    logits = np.random.default_rng(1).standard_normal((9, 11)).astype(np.float32)
    result = Scan(logits, np.ones(logits.shape, bool), (35, 43), 4)
    full = result.logits_window(slice(0, 35), slice(0, 43))
    window = result.logits_window(slice(13, 30), slice(7, 41))
    np.testing.assert_array_equal(window, full[13:30, 7:41])


PATCH = 32
CENTRE = PATCH // 8


@pytest.fixture
def classifier(bundle, monkeypatch):
    """The tiny network as a classifier of 32-pixel patches: its score is that of the map pixel in the middle."""
    update = {"patch_px": PATCH, "calibration": Calibration(slope=0.5, offset=0.25)}
    monkeypatch.setattr(bundle, "card", bundle.card.model_copy(update=update))
    return bundle


def probability(bundle, window):
    map_logits, _ = bundle.logits(bundle.card.encoding(window)[None])
    return float(bundle.card.calibration(map_logits[0, 0, CENTRE, CENTRE]))


def test_one_patch_has_the_score_of_its_window(classifier):
    phase = noisy_phase((PATCH, PATCH), gap=False)
    result = scan_windows(phase, classifier)
    assert result.stride == 8
    assert result.logits.shape == (4, 4)
    merged = classifier.card.calibration(result.logits)
    np.testing.assert_allclose(merged, probability(classifier, phase.values), atol=1e-5)


@pytest.mark.parametrize(("shape", "step"), [((96, 70), 8), ((61, 90), 12), ((40, 200), 32), ((20, 45), 8)])
def test_windows_are_merged_by_their_definition(classifier, shape, step):
    """Against loops over windows and map pixels, written from the docstring."""
    phase = noisy_phase(shape)
    result = scan_windows(phase, classifier, step_px=step)
    padded = np.full([max(size, PATCH) for size in shape], np.nan, np.float32)
    padded[: shape[0], : shape[1]] = phase.values
    starts = [sorted({*range(0, size - PATCH, step), size - PATCH}) for size in padded.shape]
    scores = {}
    for row in starts[0]:
        for column in starts[1]:
            window = padded[row : row + PATCH, column : column + PATCH]
            if np.isfinite(window).any():
                scores[row, column] = probability(classifier, window)
    expected = np.zeros(result.logits.shape)
    for i, j in np.ndindex(expected.shape):
        y, x = (min((k + 0.5) * step, size - 0.5) for k, size in zip((i, j), shape, strict=True))
        total = weights = 0.0
        for (row, column), score in scores.items():
            dy, dx = y - row - PATCH / 2, x - column - PATCH / 2
            if max(abs(dy), abs(dx)) <= PATCH / 2:
                weight = np.exp(-(dy**2 + dx**2) / (2 * (PATCH / 4) ** 2))
                total, weights = total + weight * score, weights + weight
        expected[i, j] = total / weights if weights else np.nan
        block = phase.values[i * step : (i + 1) * step, j * step : (j + 1) * step]
        assert result.valid[i, j] == np.isfinite(block).any()
    assert np.isfinite(expected[result.valid]).all()
    found = classifier.card.calibration(result.logits)
    np.testing.assert_allclose(found[result.valid], expected[result.valid], atol=1e-5)
    assert np.isfinite(result.logits).all()


def test_windows_find_the_fringes(classifier):
    result = scan_windows(noisy_phase((200, 200), gap=False), classifier)
    rows, columns = result.logits.shape
    assert (rows, columns) == (25, 25)
    assert result.logits[66 // 8, 70 // 8] > result.logits[-2, 1] + 1


def test_a_scene_without_data_has_no_windows(classifier):
    result = scan_windows(xr.DataArray(np.full((50, 60), np.nan, np.float32), dims=("y", "x")), classifier)
    assert not result.valid.any()
    assert result.scene_logit == -np.inf


def test_windows_are_for_classifiers(bundle):
    with pytest.raises(ConfigError, match=r"windows: tiny \(tiny\) maps whole scenes and has no patch size"):
        scan_windows(noisy_phase((64, 64)), bundle)


@pytest.mark.parametrize("step", [0, 33])
def test_steps_that_leave_gaps_or_nothing(classifier, step):
    with pytest.raises(ConfigError, match=f"step_px = {step}: expected 1 to 32, the patch size of tiny"):
        scan_windows(noisy_phase((64, 64)), classifier, step_px=step)


def test_a_scene_smaller_than_a_patch_is_padded_to_one(bundle, monkeypatch):
    sizes = []
    monkeypatch.setattr(bundle, "card", bundle.card.model_copy(update={"patch_px": 75}))
    run = bundle.logits
    monkeypatch.setattr(bundle, "logits", lambda inputs: (sizes.append(inputs.shape[2:]), run(inputs))[1])
    result = scan(noisy_phase((40, 100), gap=False), bundle)
    assert sizes == [(80, 112)]
    assert result.logits.shape == (10, 25)


def test_scenes_that_go_through_the_network_together_give_the_same_bits(bundle, monkeypatch):
    shapes = [(100, 120), (128, 128), (97, 113), (40, 300), (100, 120), (300, 120)]
    phases = [noisy_phase(shape, seed) for seed, shape in enumerate(shapes)]
    phases[4] = xr.full_like(phases[4], np.nan)
    runs = []
    original = bundle.logits
    monkeypatch.setattr(bundle, "logits", lambda inputs: runs.append(inputs.shape) or original(inputs))
    together = scan_many(phases, bundle, tile_px=256)
    # 97 x 113 is padded to the 112 x 128 of 100 x 120; what is longer than a tile is cut.
    assert (3, 3, 112, 128) in runs
    assert (1, 3, 128, 128) in runs
    for phase, result in zip(phases, together, strict=True):
        alone = scan(phase, bundle, tile_px=256)
        np.testing.assert_array_equal(result.logits, alone.logits)
        np.testing.assert_array_equal(result.valid, alone.valid)
        assert (result.shape, result.stride) == (alone.shape, alone.stride)


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_shipped_network_gives_the_same_bits_for_a_batch(precision):
    shipped = load_bundle(precision=precision, threads=1)
    inputs = np.random.default_rng(0).standard_normal((5, 3, 96, 128), np.float32)
    together, _ = shipped.logits(inputs)
    alone = np.concatenate([shipped.logits(one[None])[0] for one in inputs])
    np.testing.assert_array_equal(together, alone)


def test_smoothing_in_strips_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    logits, valid = rng.standard_normal((37, 23), np.float32), rng.random((37, 23)) > 0.3
    whole, score = smooth_logits(logits, valid), scene_logit(logits, valid)
    monkeypatch.setattr(result_module, "_STRIP_PIXELS", 50)
    np.testing.assert_array_equal(smooth_logits(logits, valid), whole)
    assert scene_logit(logits, valid) == score == np.nanmax(whole)
