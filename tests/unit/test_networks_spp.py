"""Spatial pyramid pooling: the paper's bins, small maps, gradients, ONNX at any size, windows of a scene."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from fringewatch.errors import ConfigError
from fringewatch.networks.classifier import Classifier
from fringewatch.networks.encoder import FringeEncoder
from fringewatch.networks.fringenet import FringeNet
from fringewatch.networks.registry import create
from fringewatch.networks.sliding import Sliding
from fringewatch.networks.spp import SpatialPyramidPooling, bin_bounds
from fringewatch.networks.tops import ChannelsLastFlatten, GlobalAveragePooling, PyramidTop

pytestmark = pytest.mark.train

KINDS = ("max", "mean")


def rows_of(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(features, levels, kind):
    """Pool as the definition says, bin by bin, in numpy."""
    values = features.numpy()
    found = []
    for level in levels:
        for row in range(level):
            for column in range(level):
                height, width = values.shape[2] / level, values.shape[3] / level
                rows = slice(math.floor(row * height), math.ceil((row + 1) * height))
                columns = slice(math.floor(column * width), math.ceil((column + 1) * width))
                cells = values[:, :, rows, columns]
                found.append(cells.max(axis=(2, 3)) if kind == "max" else cells.mean(axis=(2, 3)))
    return np.concatenate(found, axis=1)


def test_bins_of_the_paper_s_size():
    """The paper's 13 x 13 map: windows of ceil(13 / n) at steps of floor(13 / n) fit levels 1, 2, 3 of its figure 4."""
    assert bin_bounds(13, 3) == [(0, 5), (4, 9), (8, 13)]
    assert bin_bounds(13, 2) == [(0, 7), (6, 13)]
    assert bin_bounds(13, 1) == [(0, 13)]
    assert bin_bounds(12, 6) == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10), (10, 12)]
    assert bin_bounds(2, 6) == [(0, 1), (0, 1), (0, 1), (1, 2), (1, 2), (1, 2)]
    assert bin_bounds(1, 4) == [(0, 1)] * 4


def test_a_map_pooled_by_hand():
    features = torch.arange(15.0).reshape(1, 1, 3, 5)
    # Rows 0-1 and 1-2, columns 0-2 and 2-4.
    assert SpatialPyramidPooling([1, 2])(features).tolist() == [[14, 7, 9, 12, 14]]
    assert SpatialPyramidPooling([2], bins="mean")(features).tolist() == [[3.5, 5.5, 8.5, 10.5]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (5, 6), (7, 7), (13, 9), (40, 31)])
def test_the_definition_at_every_size(kind, size):
    """Negative features too: nothing empty that would give minus infinity, nothing padded that would give zero."""
    features = rows_of(2, 3, *size) - 5
    pooled = SpatialPyramidPooling([2, 4, 6], bins=kind)(features)
    assert pooled.shape == (2, 56 * 3)
    np.testing.assert_allclose(pooled, by_hand(features, [2, 4, 6], kind), rtol=1e-5)


def test_the_two_other_tops_are_pyramids():
    features = rows_of(2, 3, 7, 7)
    torch.testing.assert_close(SpatialPyramidPooling([7])(features), ChannelsLastFlatten()(features))
    mean = SpatialPyramidPooling([1], bins="mean")(features)
    torch.testing.assert_close(mean, GlobalAveragePooling()(features))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(2, 3), (7, 5)])
def test_gradients_are_those_of_finite_differences(kind, size):
    features = rows_of(1, 2, *size).double().requires_grad_()
    assert torch.autograd.gradcheck(SpatialPyramidPooling([1, 2, 4], bins=kind), (features,))


def test_the_gradient_of_a_cell_counts_the_bins_that_it_leads():
    features = torch.tensor([[[[1.0, 2.0, 3.0]]]], requires_grad=True)
    # Level 1 sees 3; level 2 sees 1, 2 | 2, 3 in each of two equal rows; level 3 each cell three times.
    SpatialPyramidPooling([1, 2, 3])(features).sum().backward()
    assert features.grad.tolist() == [[[[3, 2 + 3, 1 + 2 + 3]]]]


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_takes_any_size(kind, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    layer = SpatialPyramidPooling([2, 4, 6], bins=kind)
    path = tmp_path / "spp.onnx"
    sizes = {0: "n", 2: "h", 3: "w"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            layer,
            (rows_of(2, 3, 9, 13),),
            str(path),
            input_names=["features"],
            dynamic_shapes=({axis: torch.export.Dim(name, min=1, max=512) for axis, name in sizes.items()},),
            dynamo=True,
            verbose=False,
        )
    session = ort.InferenceSession(str(path))
    for size in [(1, 1, 1), (2, 1, 4), (1, 5, 2), (3, 6, 7), (1, 13, 12), (2, 40, 33)]:
        features = rows_of(size[0], 3, *size[1:]) - 3
        (pooled,) = session.run(None, {"features": features.numpy()})
        np.testing.assert_allclose(pooled, layer(features), atol=1e-5)


# Windows


def tiny(kind, levels=(1, 2, 4), side_px=96, hidden=(4,)):
    """An encoder and a pyramid, with statistics, biases and scales that show when they are lost."""
    generator = torch.Generator().manual_seed(0)
    network = Classifier(
        FringeEncoder(),
        PyramidTop(FringeEncoder.channels, levels=levels, bins=kind, hidden=hidden),
        input_size_px=side_px,
    )
    with torch.no_grad():
        for key, values in network.state_dict().items():
            if key.endswith("running_var"):
                values.uniform_(0.5, 1.5, generator=generator)
            elif key.endswith(("running_mean", "bias", "2_bn.weight")):
                values.normal_(0, 0.1, generator=generator)
    return network.eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("hidden", "levels"), [((4,), (1, 2, 4)), ((), (3, 6))])
@pytest.mark.parametrize("size", [(160, 192), (64, 160), (32, 32)])
def test_every_window_has_the_score_of_the_crop_of_features_that_it_holds(kind, hidden, levels, size):
    """Inside the scene, over its border, and in scenes smaller than a window."""
    classifier = tiny(kind, levels, hidden=hidden)
    sliding = Sliding(classifier)
    cells, _, left, _ = sliding.geometry[1:]
    scene = rows_of(2, 3, *size)
    with torch.inference_mode():
        map_logits = sliding(scene)[0][:, 0].numpy()
        features = classifier.backbone(scene)
        expected = np.full(map_logits.shape, np.nan, np.float32)
        for row, column in np.ndindex(expected.shape[1:]):
            top, side = row - left, column - left
            crop = features[:, :, max(top, 0) : top + cells, max(side, 0) : side + cells]
            logits = classifier.top(crop)
            expected[:, row, column] = logits[:, 1] - logits[:, 0]
    assert map_logits.shape[1:] == (size[0] // 32, size[1] // 32)
    np.testing.assert_allclose(map_logits, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(160, 160), (67, 301), (20, 20)])
def test_the_scene_logit_of_a_whole_crop_is_the_classifier_s(size):
    classifier = tiny("max")
    sliding = Sliding(classifier, whole=True)
    crop = rows_of(3, 3, *size)
    with torch.inference_mode():
        scene = sliding(crop)[1]
        logits = classifier(crop)
    torch.testing.assert_close(scene[:, 1] - scene[:, 0], logits[:, 1] - logits[:, 0])


def test_a_flattening_top_takes_no_crops_of_many_sizes():
    with pytest.raises(ConfigError, match="flattens features of one size"):
        Sliding(create("fringenet", top="flatten", input_size_px=64), whole=True)


# Networks with a pyramid


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "inception_v3", "resnet50", "densenet121", "fringenet"])
def test_any_backbone_takes_a_pyramid(name):
    with torch.device("meta"):
        network = create(name, top="spp", classes=3, pyramid=(1, 3))
        for size in [(80, 203), (227, 131)]:
            assert network(torch.empty(2, 3, *size)).shape == (2, 3)
    first = network.top.get_submodule("hidden_1")
    assert first.in_features == 10 * network.backbone.channels


def test_the_penalty_is_that_of_the_first_dense_layer():
    for hidden, layer in [((5,), "hidden_1"), ((), "output")]:
        top = PyramidTop(2, levels=(1, 2), hidden=hidden, l2=0.1)
        kernel = top.get_submodule(layer).weight
        torch.testing.assert_close(top.penalty(), 0.1 * (kernel**2).sum())


@pytest.mark.parametrize("pyramid", [(), (0, 2), (2, 33)])
def test_impossible_pyramids_are_refused(pyramid):
    with pytest.raises(ConfigError, match="pyramid"):
        create("fringenet", top="spp", pyramid=pyramid)


def test_the_encoder_is_fringenet_s():
    """The same convolutions in the same order, so that the same weights give the same features."""
    network, encoder = FringeNet().eval(), FringeEncoder().eval()
    kinds = (nn.Conv2d, nn.BatchNorm2d)

    def layers(*modules):
        return [part for module in modules for part in module.modules() if isinstance(part, kinds)]

    for source, target in zip(layers(network.stem, network.stages), layers(encoder), strict=True):
        target.load_state_dict(source.state_dict())
    phase = rows_of(1, 3, 96, 64)
    with torch.inference_mode():
        features = network.stem(phase)
        for stage in network.stages:
            features = stage(features)
        torch.testing.assert_close(encoder(phase), features)
