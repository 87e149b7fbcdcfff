"""Which layers INT8 hurts: each quantized alone, and each released while the rest is INT8."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from converters.agreement import Agreement, agreement, all_logits
from converters.quantize import count_quantized
from converters.recipes import LAYER_TYPES
from converters.report.charts import sensitivity_chart
from ppsdk.errors import ModelError
from ppsdk.facts import ModelFacts
from ppsdk.model import load_model
from ppsdk.records import Image
from ppsdk.result_files import write_whole

Progress = Callable[[Iterable[Any]], Iterable[Any]]

_MOVES = ("Concat", "Reshape", "VariadicSplit")


@dataclass(frozen=True)
class LayerSensitivity:
    """A layer by its place in the network. alone: FP32 but for this layer. released: INT8 but for
    this layer. Both are compared with FP32.
    """

    layer: str
    alone: Agreement
    released: Agreement


@dataclass(frozen=True)
class Sensitivity:
    """layers: those that hurt most first, by how far scores move when the layer alone is INT8.
    int8: with all of them.
    """

    int8: Agreement
    layers: tuple[LayerSensitivity, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def sensitivity(
    fp32_dir: Path, int8_dir: Path, clips: Sequence[Image], *, progress: Progress = iter
) -> Sensitivity:
    """clips: uint8 crops. int8_dir: made from fp32_dir; its ranges are used as they are, so that
    nothing is calibrated again. Raises ModelError where the two are not of the same network.
    """
    fp32, int8, facts = load_pair(fp32_dir, int8_dir)
    exact = all_logits(fp32, facts, clips)
    layers = list(quantized_layers(int8))

    def compared(model: ov.Model) -> Agreement:
        return agreement(exact, all_logits(model, facts, clips))

    rows = []
    for layer in progress(layers):
        others = [name for name in layers if name != layer]
        alone = compared(released(int8, fp32, others))
        rows.append(LayerSensitivity(layer, alone, compared(released(int8, fp32, [layer]))))
    rows.sort(key=lambda row: -row.alone.score_mean)
    return Sensitivity(compared(int8), tuple(rows))


def load_pair(fp32_dir: Path, int8_dir: Path) -> tuple[ov.Model, ov.Model, ModelFacts]:
    """FP32, INT8, and what they are of. Raises ModelError where it is not the same network."""
    fp32, facts = load_model(fp32_dir)
    int8, int8_facts = load_model(int8_dir)
    if not count_quantized(int8):
        raise ModelError(f"{int8_dir}: has no quantized layers")
    if facts.source_sha256 != int8_facts.source_sha256 or facts.labels != int8_facts.labels:
        raise ModelError(f"{int8_dir}: was not made from the weights of {fp32_dir}")
    return fp32, int8, facts


def as_text(result: Sensitivity) -> str:
    """A table; scores are those that FP32 gives its best label."""
    width = max(len(row.layer) for row in result.layers)
    lines = [f"{'':{width}}  alone: score moves, agreement   all but it: score moves, agreement"]
    for row in result.layers:
        alone, released = row.alone, row.released
        lines.append(
            f"{row.layer:{width}}  {alone.score_mean:18.4f}  {alone.top1:9.4f}"
            f"   {released.score_mean:23.4f}  {released.top1:9.4f}"
        )
    seen = result.int8
    lines.append(f"{'all in INT8':{width}}  {seen.score_mean:18.4f}  {seen.top1:9.4f}")
    return "\n".join(lines)


def write(result: Sensitivity, out: Path) -> None:
    """sensitivity.json and sensitivity.svg."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result.to_dict(), indent=1)
    write_whole(out / "sensitivity.json", text + "\n")
    rows = [(row.layer, row.alone.score_mean, row.released.score_mean) for row in result.layers]
    chart = sensitivity_chart(rows, result.int8.score_mean)
    write_whole(out / "sensitivity.svg", chart + "\n")


def quantized_layers(int8: ov.Model) -> dict[str, list[str]]:
    """What is quantized, in the graph's order: the layer, by its place in the network, and the
    quantizers in front of it, none where its weights alone are. Beside convolutions and matrix
    products these are the sums, products and means whose inputs are.
    """
    layers: dict[str, list[str]] = {}
    for op in int8.get_ordered_ops():
        if op.get_type_name() == "FakeQuantize":
            layers.setdefault(_consumer(op).get_friendly_name(), []).append(op.get_friendly_name())
        elif op.get_type_name() in LAYER_TYPES and _has_int8_weights(op):
            layers.setdefault(op.get_friendly_name(), [])
    return layers


def released(int8: ov.Model, fp32: ov.Model, layers: Sequence[str]) -> ov.Model:
    """A copy of the INT8 model with these layers as they are in FP32: input, weights and bias."""
    model = int8.clone()
    quantizers = quantized_layers(model)
    nodes = {op.get_friendly_name(): op for op in model.get_ops()}
    exact = {op.get_friendly_name(): op for op in fp32.get_ops()}
    for name in layers:
        for quantizer in quantizers[name]:
            source = nodes[quantizer].input_value(0)
            for target in nodes[quantizer].output(0).get_target_inputs():
                target.replace_source_output(source)
        layer = nodes[name]
        if layer.get_type_name() in LAYER_TYPES:
            layer.input(1).replace_source_output(_constant(exact[name].input_value(1)))
            add, exact_add = _bias(layer), _bias(exact[name])
            if add is not None and exact_add is not None:
                add.input(1).replace_source_output(_constant(exact_add.input_value(1)))
    model.validate_nodes_and_infer_types()
    return model


def _has_int8_weights(layer: ov.Node) -> bool:
    node = layer.input_value(1).get_node()
    while node.inputs():
        node = node.input_value(0).get_node()
    return bool(node.get_element_type() == ov.Type.i8)


def _consumer(quantizer: ov.Node) -> ov.Node:
    """The first that computes with what is quantized, behind what only moves values about."""
    node = quantizer
    while True:
        node = min(
            (target.get_node() for target in node.output(0).get_target_inputs()),
            key=lambda node: (node.get_type_name() not in LAYER_TYPES, node.get_friendly_name()),
        )
        if node.get_type_name() not in _MOVES:
            return node


def _bias(layer: ov.Node) -> ov.Node | None:
    """The addition of a constant that follows the layer, if one does."""
    for target in layer.output(0).get_target_inputs():
        node = target.get_node()
        if node.get_type_name() == "Add" and node.get_friendly_name().endswith(".add"):
            return node
    return None


def _constant(output: ov.Output) -> ov.Output:
    values: NDArray[np.float32] = np.array(output.get_node().get_data(), np.float32)
    return ov.opset13.constant(values).output(0)
