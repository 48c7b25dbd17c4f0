"""The first convolution of an int8 network, written so that it runs fast: over blocks of pixels instead of pixels.

A convolution over three channels leaves most of a vector register empty, and one at stride 4 gathers each of its inputs
anew. Laid out as blocks of 4 x 4 pixels with 48 channels (space to depth), the same sums are a convolution of 2 x 2
blocks at stride 1. Whole numbers are added in either case, so that the result is the same to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["block_kernel", "convolve_blocks"]


def block_kernel(kernel: NDArray[np.int8], *, stride: int, padding: int) -> tuple[NDArray[np.int8], list[int]]:
    """Return the kernel over blocks that does the same as one over pixels.

    Parameters
    ----------
    kernel
        (O, C, k, k).
    stride, padding
        Of the convolution, the same on all sides; blocks have a side of `stride`.

    Returns
    -------
    numpy.ndarray, list of int
        (O, stride^2 C, b, b), channels in the order row in the block, column in the block, C, as in ONNX'
        SpaceToDepth; and the padding in blocks: top, left, bottom, right.
    """
    outputs, channels, side, _ = kernel.shape
    # The window of the first output begins `padding` pixels before the first block, and ends `reach` behind its start.
    reach = side - padding
    before, behind = -(-padding // stride), max(0, -(-reach // stride) - 1)
    blocks = before + 1 + behind
    start = before * stride - padding
    pixels = np.zeros((outputs, channels, blocks * stride, blocks * stride), kernel.dtype)
    pixels[:, :, start : start + side, start : start + side] = kernel
    split = pixels.reshape(outputs, channels, blocks, stride, blocks, stride).transpose(0, 3, 5, 1, 2, 4)
    return split.reshape(outputs, stride * stride * channels, blocks, blocks), [before, before, behind, behind]


def convolve_blocks(model: Any) -> bool:
    """Let the first convolution of a quantised network run over blocks, in place.

    Parameters
    ----------
    model
        ``onnx.ModelProto`` with pairs of QuantizeLinear and DequantizeLinear, input ``phase`` (N, C, H, W), H and W
        multiples of the stride of the convolution that reads it.

    Returns
    -------
    bool
        False, and the network as it was, if no strided convolution of one group with square kernel and an output
        for each block reads ``phase``.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    makers = {output: node for node in graph.node for output in node.output}
    weights = {tensor.name: tensor for tensor in graph.initializer}

    quantise = _only_reader(graph, "phase", "QuantizeLinear")
    dequantise = quantise and _only_reader(graph, quantise.output[0], "DequantizeLinear")
    convolution = dequantise and _only_reader(graph, dequantise.output[0], "Conv")
    if not convolution:
        return False
    settings = {each.name: helper.get_attribute_value(each) for each in convolution.attribute}
    kernel_source = makers[convolution.input[1]]
    kernel = numpy_helper.to_array(weights[kernel_source.input[0]])
    stride, padding = settings["strides"][0], settings["pads"][0]
    alike = len(set(settings["strides"])) == len(set(settings["pads"])) == 1 and kernel.shape[2] == kernel.shape[3]
    plain = settings.get("group", 1) == 1 and set(settings.get("dilations", [1])) == {1}
    # As many outputs as blocks.
    whole = -stride <= 2 * padding - kernel.shape[2] < 0
    if stride == 1 or not alike or not plain or not whole:
        return False

    blocks, pads = block_kernel(kernel, stride=stride, padding=padding)
    name = f"{kernel_source.input[0]}_blocks"
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(blocks), name))
    graph.initializer.remove(weights[kernel_source.input[0]])
    kernel_source.input[0] = name
    kept = [each for each in convolution.attribute if each.name in {"group", "dilations"}]
    del convolution.attribute[:]
    convolution.attribute.extend(kept)
    for key, value in (("strides", [1, 1]), ("pads", pads), ("kernel_shape", list(blocks.shape[2:]))):
        convolution.attribute.append(helper.make_attribute(key, value))
    reorder = helper.make_node("SpaceToDepth", [quantise.output[0]], ["phase_blocks"], blocksize=stride)
    graph.node.insert(list(graph.node).index(quantise) + 1, reorder)
    dequantise.input[0] = "phase_blocks"
    # Shapes that were inferred before.
    del graph.value_info[:]
    return True


def _only_reader(graph: Any, tensor: str, kind: str) -> Any:
    readers = [node for node in graph.node if tensor in node.input]
    return readers[0] if len(readers) == 1 and readers[0].op_type == kind else None
