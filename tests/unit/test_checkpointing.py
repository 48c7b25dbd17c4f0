"""Gradient checkpointing: segments that can be computed alone, and the same gradients and statistics."""

import copy

import pytest

torch = pytest.importorskip("torch")

from fringewatch.networks.graph import INPUT
from fringewatch.networks.registry import create, list_networks

pytestmark = pytest.mark.train


@pytest.mark.parametrize("name", list_networks())
@pytest.mark.parametrize("segments", [1, 4, 1000])
def test_segments_pass_on_a_single_map(name, segments):
    backbone = create(name, top="pooling").backbone
    backbone.checkpoint_gradients(segments)
    found = backbone._segments
    assert 1 <= len(found) <= segments
    assert tuple(layer for part in found for layer in part) == backbone.wired()[1:]
    before = INPUT
    for part in found:
        inside = {before, *part}
        assert all(set(backbone.inputs_of(layer)) <= inside for layer in part)
        # What its segment starts from must still be there when it is computed again.
        assert not getattr(getattr(backbone, part[0]), "inplace", False)
        before = part[-1]


@pytest.mark.parametrize("name", ["resnet50", pytest.param("densenet121", marks=pytest.mark.slow)])
def test_gradients_and_statistics_are_the_same(name):
    torch.manual_seed(0)
    whole = create(name, input_size_px=32, dropout=0.0)
    parts = copy.deepcopy(whole)
    parts.backbone.checkpoint_gradients(4)
    patches = torch.randn(2, 3, 32, 32)
    for network in (whole, parts):
        network(patches).square().sum().backward()
    for (key, left), right in zip(whole.named_parameters(), parts.parameters(), strict=True):
        assert torch.equal(left.grad, right.grad), key
    for (key, left), right in zip(whole.named_buffers(), parts.buffers(), strict=True):
        assert torch.equal(left, right), key


def test_maps_inside_segments_are_not_kept():
    network = create("vgg16", input_size_px=64).backbone

    def kept_bytes(segments):
        network.checkpoint_gradients(segments)
        held = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: held.__setitem__(tensor.data_ptr(), tensor.nbytes) or tensor, lambda tensor: tensor
        ):
            network(torch.zeros(1, 3, 64, 64))
        return sum(held.values())

    assert kept_bytes(4) < 0.4 * kept_bytes(0)


def test_no_segments_without_gradients():
    network = create("resnet50", input_size_px=32).eval()
    patches = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        plain = network(patches)
        network.backbone.checkpoint_gradients(4)
        assert torch.equal(network(patches), plain)
