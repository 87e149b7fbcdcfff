"""What a model needs that NNCF has quantized: exact gates, quick pools, small weights."""

from __future__ import annotations

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13

from converters.recipes import LAYER_TYPES

SQUEEZE_CONV = ".se.conv"


def finished(model: ov.Model) -> ov.Model:
    """The model that is given, changed: as accurate as before or more so, quicker and smaller."""
    _with_exact_gates(model)
    _with_exact_zeros(model)
    _with_quick_pools(model)
    _with_small_weights(model)
    model.validate_nodes_and_infer_types()
    return model


def _with_exact_gates(model: ov.Model) -> None:
    """NNCF quantizes both factors of a product. A gate is a number a channel, or a frame: in 8 bits
    it saves nothing, and is wrong by up to 0.2 % for all that it scales.
    """
    for op in model.get_ops():
        if op.get_type_name() == "FakeQuantize" and _gate(op.input_value(0).get_node()):
            _replace(op, op.input_value(0))


def _gate(node: ov.Node) -> bool:
    while node.get_type_name() == "Reshape":
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Sigmoid")


def _with_exact_zeros(model: ov.Model) -> None:
    """NNCF gives a channel that was dark in all clips a range on both sides of 0. Its 8-bit zero is
    then another one than that of the other channels, and the temporal shift, which puts zeros in,
    would be done in float. What starts at 0 in other channels is not negative in any.
    """
    for op in model.get_ops():
        if op.get_type_name() != "FakeQuantize":
            continue
        for bound in (1, 3):  # the low ends of what comes in and of what goes out
            low = op.input_value(bound).get_node().data
            if low.min() < 0 and low.max() == 0:
                op.input(bound).replace_source_output(
                    opset13.constant(np.zeros_like(low)).output(0)
                )


def _with_quick_pools(model: ov.Model) -> None:
    """A mean over pixels as AvgPool, which the CPU plugin does in a quarter of ReduceMean's time.
    (NNCF has to see ReduceMean: by that it knows a squeeze block.)
    """
    for op in model.get_ops():
        if op.get_type_name() != "ReduceMean":
            continue
        if sorted(op.input_value(1).get_node().data.reshape(-1).tolist()) == [2, 3]:
            pixels = op.input_value(0)
            size = list(pixels.get_shape())[2:]
            pool = opset13.avg_pool(pixels, [1, 1], [0, 0], [0, 0], size, True)
            name = op.get_friendly_name()
            _replace(op, pool.output(0))
            op.set_friendly_name(f"{name}.mean")
            pool.set_friendly_name(name)


def _with_small_weights(model: ov.Model) -> None:
    """Weights of layers that compute in float: int8 in squeeze blocks, which are a tenth of the
    file, float16 elsewhere. (`ov.save_model(compress_to_fp16=True)` passes over models that have
    quantizers; NNCF's compress_weights has a scale an output, see below.)
    """
    for op in model.get_ops():
        if op.get_type_name() not in LAYER_TYPES:
            continue
        weights = op.input_value(1).get_node()
        if weights.get_type_name() == "Constant" and weights.get_element_type() == ov.Type.f32:
            name = op.get_friendly_name()
            store = _int8 if SQUEEZE_CONV in name else _float16
            op.input(1).replace_source_output(store(weights.data, name).output(0))


def _int8(weights: NDArray[np.float32], name: str) -> ov.Node:
    """A scale an input channel: with one an output channel OpenVINO would take the layer for a
    quantized one, and round the pooled values that go into it to whole steps.
    """
    scale = np.maximum(np.abs(weights).max(axis=(0, 2, 3), keepdims=True) / 127, 1e-12)
    stored = opset13.constant(np.round(weights / scale).astype(np.int8), name=f"{name}.i8")
    return opset13.multiply(opset13.convert(stored, "f32"), scale.astype(np.float32))


def _float16(weights: NDArray[np.float32], name: str) -> ov.Node:
    return opset13.convert(opset13.constant(weights.astype(np.float16), name=f"{name}.f16"), "f32")


def _replace(node: ov.Node, by: ov.Output) -> None:
    for target in node.output(0).get_target_inputs():
        target.replace_source_output(by)
