"""From a trained network to the ONNX files of a bundle: batch norms folded, height and width free, float and int8."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fringewatch.errors import TrainingError
from fringewatch.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["export_onnx", "fold_batch_norms", "quantise"]

_OPSET = 18


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose batch norms are folded into the convolutions before them."""
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        if isinstance(module, nn.Sequential):
            for index in range(len(module) - 1):
                convolution, norm = module[index], module[index + 1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[index] = fuse_conv_bn_eval(convolution, norm)
                    module[index + 1] = nn.Identity()
    return folded


def export_onnx(network: nn.Module, path: str | Path, *, multiple: int) -> None:
    """Write a map network as float32 ONNX: input ``phase`` (N, 3, H, W), outputs ``map`` and ``scene``.

    N, H and W stay free. The file is run once against the network; a difference over 1e-3 is an error.

    Raises
    ------
    TrainingError
        If ONNX Runtime's result differs from the network's.
    """
    folded = fold_batch_norms(network).float().cpu()
    generator = torch.Generator().manual_seed(0)
    example = torch.rand((2, 3, 4 * multiple, 6 * multiple), generator=generator) * 2 - 1
    height, width = torch.export.Dim("h", min=1, max=2048), torch.export.Dim("w", min=1, max=2048)
    batch = torch.export.Dim("n", min=1, max=4096)
    with atomic_path(path) as temporary, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            folded,
            (example,),
            str(temporary),
            input_names=["phase"],
            output_names=["map", "scene"],
            dynamic_shapes=({0: batch, 2: multiple * height, 3: multiple * width},),
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        _strip(temporary)
    _check(folded, Path(path), multiple)


def _strip(path: Path) -> None:
    """Remove the exporter's notes: half the graph is stack traces with paths of the machine that trained."""
    import onnx

    model = onnx.load(path)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


def _check(network: nn.Module, path: Path, multiple: int) -> None:
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(1)
    # Another size than the exported example's, so that a size frozen into the graph shows up here.
    inputs = torch.rand((1, 3, 5 * multiple, 3 * multiple), generator=generator) * 2 - 1
    with torch.inference_mode():
        wanted = [output.numpy() for output in network(inputs)]
    given = session.run(["map", "scene"], {"phase": inputs.numpy()})
    for name, left, right in zip(("map", "scene"), wanted, given, strict=True):
        difference = float(np.abs(left - right).max())
        if left.shape != right.shape or difference > 1e-3:
            message = (
                f"{path}: output {name!r} of the exported network differs from the trained one by {difference:.2g}; "
                "this is a defect of the exporter's version: report it with the versions of torch and onnx"
            )
            raise TrainingError(message)


def quantise(source: str | Path, target: str | Path, inputs: Iterable[NDArray[np.float32]]) -> None:
    """Write an int8 version of a float ONNX network, calibrated on encoded phase that looks like what it will see.

    Static quantisation with weights per channel: results do not depend on what else is in the batch or the tile. The
    two heads stay in float, which costs nothing and keeps their logits fine-grained.

    Parameters
    ----------
    source, target
        Float network, and where the int8 one goes.
    inputs
        Encoded phase, each (N, 3, H, W) float32.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class _Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped base
        def __init__(self) -> None:
            self.batches = iter([{"phase": batch} for batch in inputs])

        def get_next(self) -> dict[str, Any] | None:
            return next(self.batches, None)

    root = logging.getLogger()
    level = root.level
    # The quantiser advises through the root logger; its advice has been followed.
    root.setLevel(logging.ERROR)
    with atomic_path(target) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = temporary.with_suffix(".prepared.onnx")
        try:
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            graph = onnx.load(str(prepared)).graph
            heads = [node.name for node in graph.node if set(node.output) & {"map", "scene"}]
            quantize_static(
                str(prepared),
                str(temporary),
                _Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=heads,
                op_types_to_quantize=["Conv", "Add", "Relu", "Resize"],
            )
        finally:
            prepared.unlink(missing_ok=True)
            root.setLevel(level)
