"""The unfused network in plain numpy: what the graph is checked against before it is saved.

It shares nothing with `fuse` and `graph` but the table of layers: batch norms are applied as they
are trained, branches are summed, frames are shifted by indexing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from converters.architecture import (
    DROPOUT_SCALE,
    EPSILON,
    LTA_STAGE,
    Architecture,
    Block,
    block_starts,
    blocks,
)
from converters.weights import Weights

Array = NDArray[np.float32]


def reference_logits(weights: Weights, architecture: Architecture, clip: Array) -> Array:
    """Normalised float32 (num_segments, 3, S, S) -> float32 (classes,)."""
    shifted = {block_starts(stage) for stage in architecture.shift_stages}
    x = _relu(_conv_bn(weights, "stem.0", clip, stride=2))
    for block in blocks():
        if architecture.has_lta and block.name == block_starts(LTA_STAGE):
            gate = x.mean((1, 2, 3)) @ weights["global_attention.fc.weight"]
            x = x * _sigmoid(gate + weights["global_attention.fc.bias"])[:, None, None, None]
        if block.name in shifted:
            x = temporal_shift(x)
        x = _block(weights, block, x)
    pooled = x.mean((2, 3)) @ weights["last_conv.weight"][:, :, 0, 0].T
    features = _relu(pooled) * np.float32(DROPOUT_SCALE)
    return features.mean(0) @ weights["fc.weight"] + weights["fc.bias"]


def temporal_shift(x: Array) -> Array:
    """(N, C, H, W) of N consecutive frames: the first C // N channels from the frame before, those
    up to 2 C // N from the frame after, zeros beyond the ends
    (`paddle.nn.functional.temporal_shift` with shift_ratio 1 / N).
    """
    frames, channels = x.shape[:2]
    first, second = channels // frames, 2 * channels // frames
    shifted = x.copy()
    shifted[1:, :first], shifted[0, :first] = x[:-1, :first], 0
    shifted[:-1, first:second], shifted[-1, first:second] = x[1:, first:second], 0
    return shifted


def _block(weights: Weights, block: Block, x: Array) -> Array:
    y = _relu(_depthwise(weights, block, x))
    if block.squeeze:
        name = f"{block.name}.se"
        hidden = _relu(_dense(weights, f"{name}.conv1", y.mean((2, 3))))
        y = y * _sigmoid(_dense(weights, f"{name}.conv2", hidden))[:, :, None, None]
    for name, _, _ in block.pointwise:
        y = _relu(_conv_bn(weights, name, y))
    return x + y if block.shortcut else y


def _depthwise(weights: Weights, block: Block, x: Array) -> Array:
    name = f"{block.name}.dw_conv"
    if f"{name}_list.0.conv.weight" in weights:
        total = np.float32(0)
        for i in range(len(block.branches)):
            total = total + _conv_bn(weights, f"{name}_list.{i}", x, stride=block.stride)
        return np.asarray(total)
    if block.branches:
        y = _convolve(x, weights[f"{name}.weight"], block.stride)
        return y + weights[f"{name}.bias"][:, None, None]
    return _conv_bn(weights, name, x, stride=block.stride)


def _conv_bn(weights: Weights, name: str, x: Array, *, stride: int = 1) -> Array:
    y = _convolve(x, weights[f"{name}.conv.weight"], stride)
    gamma, beta, mean, variance = (
        weights[f"{name}.bn.{part}"][:, None, None]
        for part in ("weight", "bias", "_mean", "_variance")
    )
    # (y - mean) / sqrt(variance + epsilon) * gamma + beta, without a copy at each step.
    y -= mean
    y /= np.sqrt(variance + np.float32(EPSILON))
    y *= gamma
    y += beta
    return y


def _convolve(x: Array, kernel: Array, stride: int) -> Array:
    """ "Same" convolution, dense or (where the kernel has one input channel for many) depthwise, as
    a sum over the kernel's taps.
    """
    size = kernel.shape[-1]
    pad = size // 2
    depthwise = kernel.shape[1] == 1 and x.shape[1] > 1
    height, width = (-(-side // stride) for side in x.shape[2:])
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    y = np.zeros((len(x), len(kernel), height, width), np.float32)
    # Frame by frame: a frame's values stay in the CPU's cache from tap to tap.
    for frame, out in zip(padded, y, strict=True):
        for top in range(size):
            for left in range(size):
                seen = frame[
                    :, top : top + height * stride : stride, left : left + width * stride : stride
                ]
                tap = kernel[:, :, top, left]
                if depthwise:
                    out += seen * tap[:, :, None]
                else:
                    out += (tap @ seen.reshape(len(seen), -1)).reshape(out.shape)
    return y


def _dense(weights: Weights, name: str, x: Array) -> Array:
    return x @ weights[f"{name}.weight"][:, :, 0, 0].T + weights[f"{name}.bias"]


def _relu(x: Array) -> Array:
    return np.maximum(x, np.float32(0))


def _sigmoid(x: Array) -> Array:
    # The same function as 1 / (1 + exp(-x)), and does not overflow.
    return ((1 + np.tanh(x / 2)) / 2).astype(np.float32)
