"""The network: size, shapes, bounded receptive field."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fringewatch.errors import BundleError
from fringewatch.networks.fringenet import FringeNet, receptive_radius_px
from fringewatch.networks.weights import load_map_weights, save_weights

pytestmark = pytest.mark.train


@pytest.fixture(scope="module", params=[{}, {"stride": 2, "finest": 4}, {"stride": 2, "stem": (16, 24)}], ids=str)
def network(request):
    torch.manual_seed(0)
    network = FringeNet(**request.param)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # Residual branches start at zero; give them weight, or the receptive field would look smaller than it is.
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


def test_stays_under_two_million_parameters(network):
    assert sum(parameter.numel() for parameter in network.parameters()) < 2_000_000


@pytest.mark.parametrize("size", [(32, 32), (64, 160), (224, 224)])
def test_output_shapes(network, size):
    with torch.inference_mode():
        map_logits, scene = network(torch.zeros(2, 3, *size))
    assert map_logits.shape == (2, 1, size[0] // network.stride, size[1] // network.stride)
    assert scene.shape == (2, 2)


def test_nothing_outside_the_stated_radius_influences_the_map(network):
    radius = receptive_radius_px(network)
    size = 2 * (radius + 64)
    size += -size % 32
    generator = torch.Generator().manual_seed(1)
    phase = torch.rand((1, 3, size, size), generator=generator)
    changed = phase.clone()
    changed[..., size // 2, size // 2] += 10
    with torch.inference_mode():
        difference = (network(phase)[0] - network(changed)[0]).abs()[0, 0].numpy()
    rows, cols = np.nonzero(difference)
    centres = [network.stride * (index + 0.5) - size // 2 for index in (rows, cols)]
    reach = max(np.abs(centre).max() for centre in centres)
    assert 0.5 * radius < reach <= radius


def test_settings_rebuild_the_network(network):
    again = FringeNet(**network.settings)
    again.load_state_dict(network.state_dict())


@pytest.mark.parametrize("settings", [{"finest": 2}, {"stride": 1}, {"stride": 8}])
def test_strides_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match="expected finest 4 or 8, and stride 2 or 4"):
        FringeNet(**settings)


def test_a_finer_map_starts_as_the_coarse_one(tmp_path):
    torch.manual_seed(0)
    coarse, fine = FringeNet(finest=4).eval(), FringeNet(finest=4, stride=2).eval()
    save_weights(coarse, tmp_path / "weights.pt")
    load_map_weights(fine, tmp_path / "weights.pt")
    with torch.inference_mode():
        phase = torch.randn(1, 3, 64, 96)
        expected = coarse(phase)[0].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        torch.testing.assert_close(fine(phase)[0], expected)


def test_a_coarser_map_starts_from_no_finer_one(tmp_path):
    save_weights(FringeNet(finest=4, stride=2), tmp_path / "weights.pt")
    with pytest.raises(BundleError, match="weight has shape"):
        load_map_weights(FringeNet(finest=4), tmp_path / "weights.pt")
