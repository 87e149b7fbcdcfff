"""Fused weights -> ov.Model. Every node is named by its place in the network."""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import Output, opset13

from converters.architecture import LTA_STAGE, Architecture, Block, block_starts, blocks
from converters.weights import Weights


def build_model(fused: Weights, architecture: Architecture) -> ov.Model:
    """Input `clip`: float32 (num_segments, 3, size, size), normalised. Output `logits`: float32
    (1, classes).
    """
    return _Builder(fused, architecture).model()


class _Builder:
    def __init__(self, fused: Weights, architecture: Architecture) -> None:
        self._weights = fused
        self._architecture = architecture

    def model(self) -> ov.Model:
        arch = self._architecture
        size = arch.image_size
        clip = opset13.parameter([arch.num_segments, 3, size, size], np.float32, name="clip")
        clip.output(0).set_names({"clip"})
        shifts = {block_starts(stage): stage for stage in arch.shift_stages}
        x = self._relu(self._conv(clip.output(0), "stem.0", stride=2, pad=1), "stem.0")
        for block in blocks():
            if arch.has_lta and block.name == block_starts(LTA_STAGE):
                x = self._lta(x)
            if block.name in shifts:
                x = self._shift(x, f"temporal_shift.{shifts[block.name]}")
            x = self._block(x, block)
        logits = self._head(x)
        logits.set_names({"logits"})
        result = opset13.result(logits, name="logits/result")
        return ov.Model([result], [clip], "PP-TSMv2")

    def _block(self, x: Output, block: Block) -> Output:
        name = f"{block.name}.dw_conv"
        pad = block.kernel // 2
        y = self._relu(self._conv(x, name, stride=block.stride, pad=pad, depthwise=True), name)
        if block.squeeze:
            y = self._squeeze(y, f"{block.name}.se")
        for name, _, _ in block.pointwise:
            y = self._relu(self._conv(y, name), name)
        if block.shortcut:
            y = opset13.add(x, y, name=f"{block.name}.shortcut").output(0)
        return y

    def _squeeze(self, x: Output, name: str) -> Output:
        # ReduceMean, not an average pool: NNCF knows a squeeze block to be left in float by it.
        y = self._mean(x, [2, 3], f"{name}.pool")
        y = self._relu(self._conv(y, f"{name}.conv1"), f"{name}.conv1")
        gate = opset13.sigmoid(self._conv(y, f"{name}.conv2"), name=f"{name}.sigmoid")
        return opset13.multiply(x, gate, name=f"{name}.scale").output(0)

    def _lta(self, x: Output) -> Output:
        """One scale per frame: sigmoid(fc(mean over channels and pixels of each frame))."""
        name = "global_attention"
        segments = self._architecture.num_segments
        means = opset13.reshape(self._mean(x, [1, 2, 3], f"{name}.pool"), [1, segments], False)
        gate = opset13.sigmoid(self._linear(means.output(0), f"{name}.fc"), name=f"{name}.sigmoid")
        scale = opset13.reshape(gate, [segments, 1, 1, 1], False, name=f"{name}.gate")
        return opset13.multiply(x, scale, name=f"{name}.scale").output(0)

    def _shift(self, x: Output, name: str) -> Output:
        """With N segments: channels [0, C/N) come from the frame before, [C/N, 2C/N) from the one
        after, zeros at the ends. (The original TSM code has the two directions the other way.)

        VariadicSplit and Pad, for 8 bits pass through them: a Slice, or zeros that are put in by
        Concat, send the block behind back to float. Frames stay on the batch axis, for a 5-D
        reshape costs two reorders of memory.
        """
        frames, channels = x.get_shape()[:2]
        fold = channels // frames
        rest = 2 * channels // frames
        parts = opset13.variadic_split(x, 1, [fold, rest - fold, channels - rest], name=name)

        def moved(part: Output, by: int, name: str) -> Output:
            """Frame i takes the place of frame i + by."""
            begin, end = [by, 0, 0, 0], [-by, 0, 0, 0]
            return opset13.pad(part, begin, end, "constant", 0.0, name=name).output(0)

        from_previous = moved(parts.output(0), 1, f"{name}.previous")
        from_next = moved(parts.output(1), -1, f"{name}.next")
        return opset13.concat(
            [from_previous, from_next, parts.output(2)], 1, name=f"{name}.concat"
        ).output(0)

    def _head(self, x: Output) -> Output:
        x = self._mean(x, [2, 3], "avg_pool")
        x = self._relu(self._conv(x, "last_conv", bias=False), "last_conv")
        x = self._mean(x, [0], "consensus")
        features = opset13.reshape(x, [1, -1], False, name="features")
        return self._linear(features.output(0), "fc")

    def _conv(
        self,
        x: Output,
        name: str,
        *,
        stride: int = 1,
        pad: int = 0,
        depthwise: bool = False,
        bias: bool = True,
    ) -> Output:
        kernel = self._weights[f"{name}.weight"]
        if depthwise:
            kernel = kernel[:, None]  # (C, 1, k, k) -> (groups, out per group, in per group, k, k)
        make = opset13.group_convolution if depthwise else opset13.convolution
        weight = opset13.constant(kernel, name=f"{name}.weight")
        steps = ([stride, stride], [pad, pad], [pad, pad], [1, 1])
        y = make(x, weight, *steps, name=name).output(0)
        if not bias:
            return y
        shift = self._weights[f"{name}.bias"].reshape(1, -1, 1, 1)
        constant = opset13.constant(shift, name=f"{name}.bias")
        return opset13.add(y, constant, name=f"{name}.add").output(0)

    def _linear(self, x: Output, name: str) -> Output:
        weight = opset13.constant(self._weights[f"{name}.weight"], name=f"{name}.weight")
        bias = opset13.constant(self._weights[f"{name}.bias"][None], name=f"{name}.bias")
        y = opset13.matmul(x, weight, False, False, name=name)
        return opset13.add(y, bias, name=f"{name}.add").output(0)

    def _relu(self, x: Output, name: str) -> Output:
        return opset13.relu(x, name=f"{name}.relu").output(0)

    def _mean(self, x: Output, axes: list[int], name: str) -> Output:
        return opset13.reduce_mean(x, axes, True, name=name).output(0)
