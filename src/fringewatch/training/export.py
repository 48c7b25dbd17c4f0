"""From a trained network to a bundle: ONNX with batch norms folded, height and width free, float and int8; its card."""

from __future__ import annotations

import copy
import logging
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fringewatch._version import __version__
from fringewatch.errors import TrainingError
from fringewatch.files import atomic_path, ensure_folder
from fringewatch.models import Calibration, Card, Thresholds, save_bundle
from fringewatch.networks.graph import LayerGraph
from fringewatch.networks.layers import Conv2dReLU
from fringewatch.networks.sliding import Sliding
from fringewatch.networks.weights import save_weights
from fringewatch.training.calibrate_patches import PatchCalibrations, calibrate_patches, score_patches
from fringewatch.training.folder import WEIGHTS
from fringewatch.training.stem import convolve_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from fringewatch.encoding import Encoding
    from fringewatch.networks.classifier import Classifier
    from fringewatch.networks.registry import NetworkConfig

__all__ = ["Validation", "export_classifier", "export_onnx", "fold_batch_norms", "quantise"]

_OPSET = 18
_LARGEST_HALO_PX = 384
"""Tiles of classifiers overlap by this at most; see :func:`export_classifier`."""


class Validation(NamedTuple):
    """Patches that calibration and threshold are fitted on."""

    phases: Sequence[NDArray[np.float32]]
    """Each (P, P) float32, wrapped radians, NaN = no data; P is the classifier's patch size, or any size for crops."""
    labels: ArrayLike
    """(N,) 1 = deformation, 0 = background."""


def export_classifier(
    classifier: Classifier,
    folder: str | Path,
    *,
    network: NetworkConfig,
    name: str,
    encoding: Encoding,
    validation: Validation | None = None,
    crop_px: tuple[int, int] | None = None,
    false_alarm_rate: float = 0.1,
    description: str = "",
    training: dict[str, Any] | None = None,
    scores: dict[str, Any] | None = None,
    licence: str = "BSD-3-Clause",
    citation: str = "",
) -> Path:
    """Write a trained classifier as a model bundle that maps scenes and that training can start from.

    The network slides over a scene with shared features (:mod:`fringewatch.networks.sliding`). ``weights.pt`` beside it
    holds the weights as trained; :func:`fringewatch.networks.weights.load_weights` takes the bundle.

    The receptive fields of InceptionV3 and DenseNet121 are wider than a tile can overlap. Their nominal radius counts
    paths that carry next to nothing (Luo et al. 2016, arXiv:1701.04128), so tiles overlap by 384 pixels at most; scenes
    of up to 2,048 pixels on a side are one tile and are not concerned.

    Parameters
    ----------
    classifier
        The network; left as it is.
    folder
        Where the bundle goes; made if missing.
    network
        Settings that `classifier` was built from.
    name
        Name of the bundle.
    encoding
        What it was trained with.
    validation
        Patches to calibrate on, run on the device where `classifier` lies; None: logits are taken as they are and the
        threshold is a half.
    crop_px
        Smallest and largest side of the crops that it was trained on as they are; None: it was trained on one size.
    false_alarm_rate
        Share of background patches that may be flagged.
    description, training, scores, licence, citation
        For the card. What calibration measured is added to `scores` as ``validation``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    TrainingError
        If validation lacks a class, or ONNX Runtime's result differs from the network's.
    OutputError
        If a file cannot be written.
    """
    folder = ensure_folder(folder)
    sliding = Sliding(classifier, whole=crop_px is not None)
    calibrations = PatchCalibrations(Calibration(), Calibration(), Calibration())
    thresholds = Thresholds()
    measured = dict(scores or {})
    if validation is not None:
        calibrations, thresholds, measured["validation"] = calibrate_patches(
            score_patches(sliding, validation.phases, validation.labels, encoding),
            validation.labels,
            false_alarm_rate=false_alarm_rate,
        )
    export_onnx(sliding, folder / "model.onnx", multiple=sliding.multiple, smallest_px=crop_px and crop_px[0])
    save_weights(classifier, folder / WEIGHTS)
    card = Card(
        name=name,
        version=__version__,
        description=description,
        architecture=network.name,
        architecture_settings=network.model_dump(mode="json") | {"input_size_px": classifier.input_size_px},
        parameters=sum(parameter.numel() for parameter in classifier.parameters()),
        encoding=encoding,
        stride=sliding.stride,
        multiple=sliding.multiple,
        halo_px=min(sliding.halo_px, _LARGEST_HALO_PX),
        patch_px=classifier.input_size_px,
        crop_px=crop_px,
        **calibrations._asdict(),
        thresholds=thresholds,
        training=training or {},
        scores=measured,
        licence=licence,
        citation=citation or f"fringewatch {__version__}, model {name}",
        files={"float32": "model.onnx"},
        default_precision="float32",
        weights=WEIGHTS,
        sha256={},  # filled in by save_bundle
    )
    return save_bundle(folder, card)


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose batch norms are folded into the convolutions before them.

    In a :class:`~fringewatch.networks.graph.LayerGraph` those are the norms fed by a convolution that feeds nothing
    else; the others, such as DenseNet's before its convolutions, stay.
    """
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        if isinstance(module, nn.Sequential):
            for index in range(len(module) - 1):
                convolution, norm = module[index], module[index + 1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[index] = fuse_conv_bn_eval(convolution, norm)
                    module[index + 1] = nn.Identity()
        elif isinstance(module, LayerGraph):
            _fold_graph(module)
    return folded


def _fold_graph(graph: LayerGraph) -> None:
    names = graph.layer_names()
    readers = Counter(each for name in names for each in graph.inputs_of(name))
    for name in names:
        norm = getattr(graph, name, None)
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        (source,) = graph.inputs_of(name)
        convolution = getattr(graph, source, None)
        # A norm behind a rectifier, be it part of the convolution's layer, stays: that step is not linear.
        if not isinstance(convolution, nn.Conv2d) or isinstance(convolution, Conv2dReLU):
            continue
        if readers[source] == 1:
            setattr(graph, source, fuse_conv_bn_eval(convolution, norm))
            setattr(graph, name, nn.Identity())


def export_onnx(network: nn.Module, path: str | Path, *, multiple: int, smallest_px: int | None = None) -> None:
    """Write a map network as float32 ONNX: input ``phase`` (N, 3, H, W), outputs ``map`` and ``scene``.

    N, H and W stay free: multiples of `multiple`, or anything from `smallest_px` where that is given. The file is run
    once against the network; a difference over 1e-3, or over a thousandth of the largest logit, is an error.

    Raises
    ------
    TrainingError
        If ONNX Runtime's result differs from the network's.
    """
    folded = fold_batch_norms(network).float().cpu()
    generator = torch.Generator().manual_seed(0)
    height, width = torch.export.Dim("h", min=1, max=2048), torch.export.Dim("w", min=1, max=2048)
    sizes: tuple[Any, Any] = (multiple * height, multiple * width)
    example = torch.rand((2, 3, 4 * multiple, 6 * multiple), generator=generator) * 2 - 1
    other = (5 * multiple, 3 * multiple)
    if smallest_px is not None:
        most = 2048 * multiple
        sizes = torch.export.Dim("h", min=smallest_px, max=most), torch.export.Dim("w", min=smallest_px, max=most)
        example = torch.rand((2, 3, smallest_px + 99, 2 * smallest_px + 77), generator=generator) * 2 - 1
        other = (smallest_px, smallest_px + 45)
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
            dynamic_shapes=({0: batch, 2: sizes[0], 3: sizes[1]},),
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        _strip(temporary)
    # Another size than the exported example's, so that a size frozen into the graph shows up here.
    _check(folded, Path(path), other)


def _strip(path: Path) -> None:
    """Remove the exporter's notes: half the graph is stack traces with paths of the machine that trained."""
    import onnx

    model = onnx.load(path)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


def _check(network: nn.Module, path: Path, size: tuple[int, int]) -> None:
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand((1, 3, *size), generator=generator) * 2 - 1
    with torch.inference_mode():
        wanted = [output.numpy() for output in network(inputs)]
    given = session.run(["map", "scene"], {"phase": inputs.numpy()})
    for name, left, right in zip(("map", "scene"), wanted, given, strict=True):
        difference = float(np.abs(left - right).max())
        if left.shape != right.shape or difference > 1e-3 * max(1.0, float(np.abs(left).max())):
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
            quantised = onnx.load(str(temporary))
            if convolve_blocks(quantised):
                onnx.save(quantised, str(temporary))
        finally:
            prepared.unlink(missing_ok=True)
            root.setLevel(level)
