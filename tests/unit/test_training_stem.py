"""A first convolution over blocks of pixels says the same as one over pixels."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import onnxruntime as ort
from torch.nn import functional

from fringewatch.networks.fringenet import FringeNet
from fringewatch.training import export
from fringewatch.training.stem import block_kernel, convolve_blocks

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("side", "stride", "padding"), [(7, 4, 3), (5, 2, 2), (3, 2, 1), (11, 4, 0), (8, 4, 2), (4, 4, 0), (2, 4, 0)]
)
def test_kernel_over_blocks_equals_kernel_over_pixels(side, stride, padding):
    rng = np.random.default_rng(0)
    kernel = rng.integers(-127, 128, (5, 3, side, side)).astype(np.int8)
    image = torch.from_numpy(rng.integers(-9, 10, (2, 3, 12 * stride, 8 * stride)).astype(np.float64))
    wanted = functional.conv2d(image, torch.from_numpy(kernel.astype(np.float64)), stride=stride, padding=padding)

    blocks, (top, left, bottom, right) = block_kernel(kernel, stride=stride, padding=padding)
    count, channels, height, width = image.shape
    # ONNX' SpaceToDepth.
    split = image.reshape(count, channels, height // stride, stride, width // stride, stride)
    deep = split.permute(0, 3, 5, 1, 2, 4).reshape(count, -1, height // stride, width // stride)
    padded = functional.pad(deep, (left, right, top, bottom))
    given = functional.conv2d(padded, torch.from_numpy(blocks.astype(np.float64)))
    # Without padding the last windows would end outside of the image.
    rows, columns = wanted.shape[2:]
    assert torch.equal(given[:, :, :rows, :columns], wanted)
    if padding == side // 2:
        assert given.shape == wanted.shape


def adds_bytes_exactly():
    """Whether the processor sums products of bytes in 32 bits; older ones do so in 16, and clip."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "vnni" in flags


@pytest.mark.parametrize("stem", [(8,), (4, 8)])
def test_int8_network_says_the_same_to_the_bit(stem, tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = FringeNet(stem=stem, widths=(8, 12, 16), blocks=(0, 0, 1, 0), decoder_width=8).eval()
    export.export_onnx(network, tmp_path / "model.onnx", multiple=network.multiple)
    inputs = [np.random.default_rng(seed).uniform(-1, 1, (2, 3, 64, 96)).astype(np.float32) for seed in range(3)]
    export.quantise(tmp_path / "model.onnx", tmp_path / "blocks.onnx", inputs)
    monkeypatch.setattr(export, "convolve_blocks", lambda model: False)
    export.quantise(tmp_path / "model.onnx", tmp_path / "pixels.onnx", inputs)

    written = onnx.load(tmp_path / "blocks.onnx")
    assert "SpaceToDepth" in {node.op_type for node in written.graph.node}
    onnx.checker.check_model(written, full_check=True)
    assert not convolve_blocks(written), "it is done once"
    sessions = [ort.InferenceSession(tmp_path / name) for name in ("blocks.onnx", "pixels.onnx")]
    for shape in ((1, 3, 96, 64), (3, 3, 32, 160)):
        seen = np.random.default_rng(9).uniform(-1, 1, shape).astype(np.float32)
        for given, wanted in zip(*(session.run(None, {"phase": seen}) for session in sessions), strict=True):
            if adds_bytes_exactly():
                assert np.array_equal(given, wanted)
            else:
                assert np.abs(given - wanted).max() < 0.05 * np.abs(wanted).max()


@pytest.mark.parametrize("layer", [torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(3, 4, 11, stride=4)])
def test_other_networks_stay_as_they_are(tmp_path, layer):
    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, phase):
            features = self.layer(phase)
            return features[:, :1], features.mean(dim=(2, 3))

    export.export_onnx(Plain(), tmp_path / "model.onnx", multiple=4)
    seen = np.zeros((1, 3, 16, 16), np.float32)
    export.quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx", [seen + 0.5, seen - 0.5])
    assert "SpaceToDepth" not in {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
