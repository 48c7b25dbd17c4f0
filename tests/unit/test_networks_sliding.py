"""Classifiers as map networks: the same scores, placed right, at every size and border."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fringewatch.errors import ConfigError
from fringewatch.networks.alexnet import AlexNet
from fringewatch.networks.classifier import Classifier
from fringewatch.networks.graph import INPUT, LayerGraph
from fringewatch.networks.layers import BatchNorm2d, Conv2dReLU
from fringewatch.networks.registry import create, list_networks
from fringewatch.networks.sliding import Sliding, receptive_radius_px, window_geometry
from fringewatch.networks.tops import FlattenTop, PoolingTop

pytestmark = pytest.mark.train


class Valid(LayerGraph):
    """Convolutions without padding, as AlexNet's first; stride 32, receptive field of 67 pixels."""

    title = "Valid"
    channels = 6

    def __init__(self):
        super().__init__()
        x = self.add("first", Conv2dReLU(3, 5, 7, stride=4), INPUT)
        x = self.add("pool", torch.nn.MaxPool2d(2), x)
        self.add("second", Conv2dReLU(5, 6, 8, stride=4), x)


class HalfStride(LayerGraph):
    title = "HalfStride"
    channels = 3

    def __init__(self):
        super().__init__()
        self.add("pool", torch.nn.MaxPool2d(16), INPUT)


def randomised(network, seed=0):
    """Statistics, biases and scales that show when they are lost."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, values in network.state_dict().items():
            if key.endswith("running_var"):
                values.uniform_(0.5, 1.5, generator=generator)
            elif key.endswith(("running_mean", "bias")):
                values.normal_(0, 0.1, generator=generator)
    return network.eval()


def tiny(kind, size=160, **options):
    backbone = Valid()
    cells = backbone.feature_size(size, size)[0]
    top = PoolingTop(6, dense=(7, 5), hidden=(4,), **options)
    if kind == "flatten":
        top = FlattenTop(6 * cells**2, hidden=(4, 3), **options)
    return randomised(Classifier(backbone, top, input_size_px=size))


def patches(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def difference(logits):
    return logits[:, 1] - logits[:, 0]


STUDY = [
    ("alexnet", {}),
    ("vgg16", {}),
    ("inception_v3", {}),
    ("resnet50", {}),
    ("resnet50", {"top": "flatten"}),
    ("densenet121", {}),
]
REDUCED = [
    ("alexnet", {"input_size_px": 96}),
    ("vgg16", {"input_size_px": 96, "activation": "tanh"}),
    ("inception_v3", {"input_size_px": 128}),
    ("inception_v3", {"input_size_px": 75}),
    ("resnet50", {"input_size_px": 100, "top": "flatten", "activation": "sigmoid"}),
    ("densenet121", {"input_size_px": 64, "dense_activation": "relu"}),
]


@pytest.mark.parametrize(("name", "options"), STUDY + REDUCED)
def test_one_patch_has_its_own_score_in_the_middle(name, options):
    torch.manual_seed(0)
    classifier = randomised(create(name, **options))
    size = classifier.input_size_px
    phase = patches(1, 3, size, size)
    sliding = Sliding(classifier)
    with torch.inference_mode():
        expected = difference(classifier(phase))
        map_logits, scene = sliding(phase)
    centre = sliding.geometry.left
    assert map_logits.shape == (1, 1, -(-size // 32), -(-size // 32))
    assert map_logits[0, 0, centre, centre].item() == pytest.approx(expected.item(), abs=1e-4)
    # Else a map of one number would pass; where a patch is one cell there is no other.
    assert sliding.geometry.cells == 1 or map_logits.std() > 1e-6
    assert difference(scene).item() == pytest.approx(map_logits.max().item())


@pytest.mark.parametrize(
    ("name", "cells", "lost", "left", "right"),
    [("alexnet", 6, 2, 3, 4), ("vgg16", 7, 0, 3, 3), ("inception_v3", 5, 2, 3, 3), ("densenet121", 7, 0, 3, 3)],
)
def test_geometry_of_the_study(name, cells, lost, left, right):
    size = 227 if name == "alexnet" else 224
    assert window_geometry(create(name).backbone, size) == (size, cells, lost, left, right)


@pytest.mark.parametrize("name", list_networks())
@pytest.mark.parametrize("size", [96, 100, 128, 224, 227, 256])
def test_the_window_of_a_cell_is_centred_in_it(name, size):
    """Window `i - left` covers pixels 32 (i - left) .. 32 (i - left) + size; every map cell has one window."""
    backbone = create(name).backbone
    cells, lost, left, right = window_geometry(backbone, size)[1:]
    for cell in range(5):
        assert 32 * cell <= 32 * (cell - left) + size / 2 <= 32 * (cell + 1)
    for blocks in range(-(-size // 32), 40, 7):
        features = backbone.feature_size(32 * blocks, 32 * blocks)[0]
        assert features == blocks - lost
        assert left + features + right - cells + 1 == blocks


@pytest.mark.parametrize("kind", ["pooling", "flatten"])
@pytest.mark.parametrize("size", [160, 175])
def test_without_padding_inside_shared_features_equal_cut_windows(kind, size):
    """A backbone of unpadded convolutions does not see the cut: equal everywhere that a window is whole."""
    classifier = tiny(kind, size)
    sliding = Sliding(classifier)
    scene = patches(1, 3, 288, 352)
    with torch.inference_mode():
        map_logits = sliding(scene)[0][0, 0]
        left = sliding.geometry.left
        compared = 0
        for row in range((288 - size) // 32 + 1):
            for column in range((352 - size) // 32 + 1):
                window = scene[:, :, 32 * row : 32 * row + size, 32 * column : 32 * column + size]
                expected = difference(classifier(window)).item()
                assert map_logits[row + left, column + left].item() == pytest.approx(expected, abs=1e-5)
                compared += 1
    assert compared > 20


@pytest.mark.parametrize(("name", "context"), [("vgg16", 128), ("resnet50", 256), ("alexnet", 128)])
def test_shared_scores_equal_windows_with_their_surroundings(name, context):
    """Features of the window and all that reaches into it, cropped to the window, give the shared score."""
    torch.manual_seed(0)
    classifier = randomised(create(name, input_size_px=96, top="pooling"))
    assert receptive_radius_px(classifier.backbone) <= context
    sliding = Sliding(classifier)
    cells, _, left, _ = sliding.geometry[1:]
    side = 2 * context + 160
    scene = patches(1, 3, side, side)
    row, column, around = 1, 2, context // 32
    with torch.inference_mode():
        map_logits = sliding(scene)[0][0, 0]
        cut = scene[:, :, 32 * row : 32 * row + 2 * context + 96, 32 * column : 32 * column + 2 * context + 96]
        assert cut.shape[-1] < side
        features = classifier.backbone(cut)[:, :, around : around + cells, around : around + cells]
        expected = difference(classifier.top(features)).item()
    found = map_logits[row + around + left, column + around + left].item()
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["pooling", "flatten"])
def test_windows_over_the_border_are_scored_by_what_they_hold(kind):
    classifier = tiny(kind)
    sliding = Sliding(classifier)
    cells, _, left, _ = sliding.geometry[1:]
    assert cells > left > 0
    scene = patches(1, 3, 224, 256)
    with torch.inference_mode():
        map_logits = sliding(scene)[0][0, 0].numpy()
        features = classifier.backbone(scene)[0]
        expected = np.full(map_logits.shape, np.nan, np.float32)
        for row, column in np.ndindex(expected.shape):
            top, side = row - left, column - left
            inside = features[:, max(top, 0) : top + cells, max(side, 0) : side + cells]
            if kind == "flatten":
                window = torch.zeros(features.shape[0], cells, cells)
                start = max(-top, 0), max(-side, 0)
                window[:, start[0] : start[0] + inside.shape[1], start[1] : start[1] + inside.shape[2]] = inside
                inside = window
            expected[row, column] = difference(classifier.top(inside[None])).item()
    np.testing.assert_allclose(map_logits, expected, atol=1e-6)


def test_a_window_without_any_cell_repeats_its_neighbour():
    """InceptionV3 loses two cells: at 128 pixels the first windows hold none."""
    torch.manual_seed(0)
    sliding = Sliding(randomised(create("inception_v3", input_size_px=128)))
    with torch.inference_mode():
        map_logits = sliding(patches(1, 3, 192, 160))[0][0, 0]
    assert map_logits.shape == (6, 5)
    torch.testing.assert_close(map_logits[0], map_logits[1])
    torch.testing.assert_close(map_logits[:, 0], map_logits[:, 1])
    assert not torch.allclose(map_logits[1], map_logits[2])


def test_it_is_a_copy_in_evaluation():
    classifier = tiny("pooling").train()
    sliding = Sliding(classifier)
    phase = patches(2, 3, 192, 160)
    with torch.inference_mode():
        before = sliding(phase)[0]
        for parameter in classifier.parameters():
            parameter.zero_()
        assert torch.equal(sliding(phase)[0], before)
    assert classifier.training
    assert not any(module.training for module in sliding.modules())


def test_receptive_radius_is_where_influence_ends():
    """By gradients: pixels beyond the radius do not reach a feature cell, some just inside it do."""
    backbone = randomised(AlexNet())
    radius = receptive_radius_px(backbone)
    phase = patches(1, 3, 448, 448).requires_grad_()
    features = backbone(phase)
    cell = 6
    features[0, :, cell, cell].sum().backward()
    touched = torch.nonzero(phase.grad.abs().sum(dim=(0, 1)))
    # AlexNet's cell j lies over block j + 1.
    centre = 32 * (cell + 1) + 16
    reach = (touched - centre).abs().max().item()
    assert radius - 24 <= reach <= radius + 16


def test_halo_covers_window_and_receptive_field():
    for name, expected in [("vgg16", (200, 256)), ("resnet50", (320, 384))]:
        low, high = expected
        assert low < Sliding(create(name)).halo_px < high


def test_other_strides_and_tops_are_refused():
    with pytest.raises(ConfigError, match=r"HalfStride: .* expected a stride of 32"):
        window_geometry(HalfStride(), 64)
    classifier = tiny("pooling")
    classifier.top.add_module("strange", BatchNorm2d(2))
    with pytest.raises(ConfigError, match="BatchNorm2d cannot slide"):
        Sliding(classifier)
    classifier = tiny("pooling")
    classifier.top.add_module("softmax", torch.nn.Softmax(dim=1))
    with pytest.raises(ConfigError, match="ends in Softmax"):
        Sliding(classifier)
