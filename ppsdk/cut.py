"""A model cut where its frames first meet: what lies before can be kept, frame by frame.

Everything before the shift of stage 3, and before the temporal attention in front of it, sees one
frame at a time. Behind the shift a frame sees its two neighbours, and the mean over the window
comes last. The cuts are at outputs that neither quantization nor the shift's own form touches.

The attention's mean over a frame goes with its features: taken of them behind the cut, where they
lie in another order, it would round otherwise, and then now and then a feature to another of its
256 levels (seen in INT8: logits off by 0.01).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import openvino as ov
from openvino import opset13

from ppsdk.facts import ModelFacts

_SHIFT_STAGE = 3
_TRUNK_END = "stages.1.1.pw_conv.relu"
_FRAME_MEAN = "global_attention.pool"
_LEVELS = "trunk.levels"
_BEHIND_SHIFT = "stages.2.0.dw_conv"
_FRAME_END = "last_conv.relu"


def refuse_other_shifts(facts: ModelFacts) -> None:
    """Raise ValueError, saying why, for a model whose frames meet before stage 3, or again after
    it.
    """
    if not set(facts.shift_stages) <= {_SHIFT_STAGE}:
        stages = ", ".join(map(str, facts.shift_stages))
        raise ValueError(f"its temporal shift is before stage {stages}, not before 3 alone")


def with_levels(model: ov.Model) -> ov.Model:
    """A copy in which features that are rounded to 256 levels as they leave the trunk, as those of
    INT8 models are, pass the cut as these levels: uint8, a quarter of what there is to keep and to
    move.
    """
    model = model.clone()
    followers = [target.get_node() for target in _targets(model, _TRUNK_END)]
    if [node.get_type_name() for node in followers] != ["FakeQuantize"]:
        return model
    quantizer = followers[0]
    if quantizer.get_attributes()["levels"] != 256:
        return model
    features, low, high, out_low, out_high = quantizer.input_values()
    offset = np.array(out_low.get_node().data)
    scale = (out_high.get_node().data - offset) / np.float32(255)
    ends = [opset13.constant(np.full_like(scale, end)) for end in (0, 255)]
    levels = opset13.convert(opset13.fake_quantize(features, low, high, *ends, 256), "u8")
    levels.set_friendly_name(_LEVELS)
    values = opset13.multiply(opset13.convert(levels, "f32"), opset13.constant(scale))
    # Channels that are never active come with a range around 0.
    values = opset13.add(values, opset13.constant(offset))
    for target in quantizer.output(0).get_target_inputs():
        target.replace_source_output(values.output(0))
    return model


def trunk(model: ov.Model, facts: ModelFacts) -> ov.Model:
    """Frames, as many as there are -> their features, (frames, C, H, W), float32, or uint8 levels;
    with temporal attention their means too, float32 (frames, 1, 1, 1).
    """
    part = _part(model, ends=_trunk_ends(model, facts))
    shape = part.input(0).get_partial_shape()
    shape[0] = -1
    part.reshape(shape)
    return part


def head(model: ov.Model, facts: ModelFacts) -> ov.Model:
    """What `trunk` gives of num_segments frames -> logits, float32 (1, classes)."""
    return _part(model, starts=_trunk_ends(model, facts))


def frame_head(model: ov.Model, facts: ModelFacts, *, num_rows: int) -> ov.Model:
    """What `trunk` gives of num_segments frames, and the places of some of them, int32 (num_rows,)
    -> what the head makes of each of these before the mean over the window, float32
    (num_rows, F, 1, 1).
    """
    part = _part(model, starts=_trunk_ends(model, facts), ends=[_FRAME_END])
    rows = opset13.parameter([num_rows], np.int32, name="rows")
    convolution = _node(part, _BEHIND_SHIFT)
    asked_for = opset13.gather(convolution.input_value(0), rows, np.int32(0))
    convolution.input(0).replace_source_output(asked_for.output(0))
    part = ov.Model(part.get_results(), [*part.get_parameters(), rows], "frame_head")
    part.validate_nodes_and_infer_types()
    return part


def tail(model: ov.Model) -> ov.Model:
    """float32 (num_segments, F, 1, 1) of `frame_head` -> logits, float32 (1, classes)."""
    return _part(model, starts=[_FRAME_END])


def _trunk_ends(model: ov.Model, facts: ModelFacts) -> list[str]:
    has_levels = any(node.get_friendly_name() == _LEVELS for node in model.get_ops())
    features = _LEVELS if has_levels else _TRUNK_END
    return [features, _FRAME_MEAN] if facts.has_lta else [features]


def _part(model: ov.Model, *, starts: Sequence[str] = (), ends: Sequence[str] = ()) -> ov.Model:
    """A copy of what lies behind the outputs of some nodes, or from the model's input on, as far as
    others, or the model's own output. Raises LookupError where there is no such node, and
    RuntimeError where another way leads past `starts`.
    """
    model = model.clone()
    results, parameters = model.get_results(), model.get_parameters()
    if ends:
        results = [opset13.result(_node(model, name).output(0)) for name in ends]
    if starts:
        parameters = [_in_place_of(_node(model, name).output(0)) for name in starts]
    return ov.Model(results, parameters, f"from {starts or 'input'} to {ends or 'output'}")


def _in_place_of(output: ov.Output) -> ov.Node:
    parameter = opset13.parameter(output.get_shape(), output.get_element_type())
    for target in output.get_target_inputs():
        target.replace_source_output(parameter.output(0))
    return parameter


def _targets(model: ov.Model, name: str) -> Iterable[ov.Input]:
    return _node(model, name).output(0).get_target_inputs()


def _node(model: ov.Model, name: str) -> ov.Node:
    for node in model.get_ops():
        if node.get_friendly_name() == name:
            return node
    raise LookupError(f"its graph has no {name!r}")
