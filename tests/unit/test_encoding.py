"""Phase to network input."""

import numpy as np
import pytest

from fringewatch.encoding import Encoding

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


@pytest.mark.parametrize("kind", ["cos-sin-valid", "grey", "zero-centred"])
def test_no_data_never_reaches_the_network_as_nan(kind):
    assert np.isfinite(Encoding(kind=kind)(PHASE)).all()


def test_batches_are_encoded_like_single_scenes():
    rng = np.random.default_rng(0)
    batch = rng.uniform(-3, 3, (4, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(Encoding()(batch)[2], Encoding()(batch[2]))
