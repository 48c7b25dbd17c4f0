"""Phase to network input."""

from typing import get_args

import numpy as np
import pytest

from fringewatch.encoding import Encoding, EncodingKind

PHASE = np.array([[0.0, np.pi / 2], [np.pi, np.nan]], np.float32)


def test_cos_sin_valid_by_hand():
    cos, sin, valid = Encoding()(PHASE)
    np.testing.assert_allclose(cos, [[1, 0], [-1, 0]], atol=1e-6)
    np.testing.assert_allclose(sin, [[0, 1], [0, 0]], atol=1e-6)
    np.testing.assert_array_equal(valid, [[1, 1], [1, 0]])


def test_cos_sin_has_no_jump_at_pi():
    near = Encoding()(np.array([[np.pi - 1e-4, -np.pi + 1e-4]], np.float32))
    np.testing.assert_allclose(near[..., 0], near[..., 1], atol=3e-4)


def test_the_studys_greys():
    ends = np.array([[-np.pi, 0, np.pi]], np.float32)
    np.testing.assert_allclose(Encoding(kind="grey")(ends)[1], [[0, 127.5, 255]], atol=1e-3)
    np.testing.assert_allclose(Encoding(kind="zero-centred")(ends)[2], [[-125, 0, 125]], atol=1e-3)


@pytest.mark.parametrize("kind", get_args(EncodingKind))
def test_no_data_never_reaches_the_network_as_nan(kind):
    assert np.isfinite(Encoding(kind=kind)(PHASE)).all()


def test_batches_are_encoded_like_single_scenes():
    rng = np.random.default_rng(0)
    batch = rng.uniform(-3, 3, (4, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(Encoding()(batch)[2], Encoding()(batch[2]))


@pytest.mark.parametrize("kind", get_args(EncodingKind))
def test_encoding_in_place_is_the_same(kind):
    phase = np.random.default_rng(0).uniform(-3, 3, (150, 40)).astype(np.float32)
    phase[::3, ::2] = np.nan
    target = np.full((3, 160, 64), 7, np.float32)
    given = Encoding(kind=kind)(phase, out=target[:, :150, :40])
    assert given.base is target
    np.testing.assert_array_equal(target[:, :150, :40], Encoding(kind=kind)(phase))
    assert (target[:, 150:] == 7).all()
    assert (target[:, :, 40:] == 7).all()


@pytest.mark.parametrize("kind", ["cos-sin-valid", "grey"])
def test_where_there_is_data_is_told_on_the_way(kind):
    phase = np.random.default_rng(0).uniform(-3, 3, (150, 40)).astype(np.float32)
    # Some bands of rows have gaps and others none.
    phase[70:75, 3:9], phase[149, 0] = np.nan, np.inf
    known = np.zeros((160, 50), bool)
    encoded = Encoding(kind=kind)(phase, known=known[:150, :40])
    assert (known[:150, :40] == np.isfinite(phase)).all()
    assert known.sum() == np.isfinite(phase).sum()
    np.testing.assert_array_equal(encoded, Encoding(kind=kind)(phase))


def test_cosine_and_sine_are_exactly_those_of_numpy():
    """Bands and masks of bits change nothing: no data is 0, never -0 or a rounded one."""
    phase = np.random.default_rng(1).uniform(-np.pi, np.pi, (200, 33)).astype(np.float32)
    phase[phase > 2] = np.nan
    cosine, sine, valid = Encoding()(phase)
    known = np.isfinite(phase)
    np.testing.assert_array_equal(valid, known)
    np.testing.assert_array_equal(cosine[known], np.cos(phase[known]))
    np.testing.assert_array_equal(sine[known], np.sin(phase[known]))
    for part in (cosine, sine):
        assert not part[~known].view(np.int32).any()


# By hand from the published formulas, for grey 0, 127.5 and 255; the test below asks Keras itself.
IMAGENET = {
    "imagenet-caffe": [[-103.939, 23.561, 151.061], [-116.779, 10.721, 138.221], [-123.68, 3.82, 131.32]],
    "imagenet-tf": [[-1, 0, 1]] * 3,
    "imagenet-torch": [
        [-0.485 / 0.229, 0.015 / 0.229, 0.515 / 0.229],
        [-0.456 / 0.224, 0.044 / 0.224, 0.544 / 0.224],
        [-0.406 / 0.225, 0.094 / 0.225, 0.594 / 0.225],
    ],
}


@pytest.mark.parametrize("kind", IMAGENET)
def test_imagenet_preprocessing_by_hand(kind):
    ends = np.array([[-np.pi, 0, np.pi]], np.float32)
    np.testing.assert_allclose(Encoding(kind=kind)(ends)[:, 0], IMAGENET[kind], atol=2e-5)


@pytest.mark.parametrize("kind", ["grey", *IMAGENET])
def test_no_data_is_the_grey_of_zero_phase(kind):
    zero, missing = (Encoding(kind=kind)(np.full((2, 2), value, np.float32)) for value in (0.0, np.nan))
    np.testing.assert_array_equal(missing, zero)


@pytest.mark.train
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_imagenet_preprocessing_is_that_of_keras(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    applications = pytest.importorskip("keras").applications
    modules = {"imagenet-caffe": "resnet50", "imagenet-tf": "inception_v3", "imagenet-torch": "densenet"}
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, (2, 9, 7)).astype(np.float32)
    grey = Encoding(kind="grey")(phase)
    for kind, module in modules.items():
        expected = getattr(applications, module).preprocess_input(grey.copy(), data_format="channels_first")
        np.testing.assert_allclose(Encoding(kind=kind)(phase), expected, atol=1e-4)
    assert np.array_equal(
        applications.vgg16.preprocess_input(grey.copy(), data_format="channels_first"),
        applications.resnet50.preprocess_input(grey.copy(), data_format="channels_first"),
    )
