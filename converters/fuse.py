"""Reparameterization: batch norms folded into convolutions, parallel branches into one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from converters.architecture import DROPOUT_SCALE, EPSILON, Architecture, Block, blocks
from converters.weights import Weights

Array = NDArray[np.float64]


def fuse(weights: Weights, architecture: Architecture) -> Weights:
    """Weights in training form, merged or mixed -> one `.weight` and `.bias` per layer, float32.

    Arithmetic is float64, so that the order of folding leaves no trace. The dropout's scale goes
    into fc.weight.
    """
    fused: Weights = {}

    def keep(name: str, kernel: Array, bias: Array) -> None:
        fused[f"{name}.weight"] = kernel.astype(np.float32)
        fused[f"{name}.bias"] = bias.astype(np.float32)

    keep("stem.0", *_fused_conv_bn(weights, "stem.0"))
    for block in blocks():
        keep(f"{block.name}.dw_conv", *_depthwise(weights, block))
        for name, _, _ in block.pointwise:
            keep(name, *_fused_conv_bn(weights, name))
        if block.squeeze:
            for part in ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"):
                fused[f"{block.name}.se.{part}"] = weights[f"{block.name}.se.{part}"]
    fused["last_conv.weight"] = weights["last_conv.weight"]
    fused["fc.weight"] = (weights["fc.weight"] * np.float64(DROPOUT_SCALE)).astype(np.float32)
    fused["fc.bias"] = weights["fc.bias"]
    if architecture.has_lta:
        for part in ("weight", "bias"):
            name = f"global_attention.fc.{part}"
            fused[name] = weights[name]
    return fused


def fuse_conv_bn(
    kernel: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float = EPSILON
) -> tuple[Array, Array]:
    """Convolution without bias + batch norm -> (kernel, bias) of one convolution.

    BN(W x) = gamma (W x - mean) / sqrt(variance + epsilon) + beta, per output channel.
    kernel: (out, in per group, k, k); the others: (out,).
    """
    scale = gamma / np.sqrt(variance + epsilon)
    return kernel * scale[:, None, None, None], beta - mean * scale


def merge_branches(branches: list[tuple[Array, Array]], kernel_size: int) -> tuple[Array, Array]:
    """Parallel (kernel, bias) of odd sizes, same stride and "same" padding -> their sum as one:
    smaller kernels are padded with zeros around their centre.
    """
    padded = []
    for kernel, _ in branches:
        margin = (kernel_size - kernel.shape[-1]) // 2
        padded.append(np.pad(kernel, ((0, 0), (0, 0), (margin, margin), (margin, margin))))
    return np.sum(padded, axis=0), np.sum([bias for _, bias in branches], axis=0)


def _depthwise(weights: Weights, block: Block) -> tuple[Array, Array]:
    """The branches wherever they are: a `dw_conv` beside them is stale in training checkpoints."""
    name = f"{block.name}.dw_conv"
    if not block.branches:
        return _fused_conv_bn(weights, name)
    if f"{name}_list.0.conv.weight" not in weights:
        return weights[f"{name}.weight"].astype(float), weights[f"{name}.bias"].astype(float)
    branches = [_fused_conv_bn(weights, f"{name}_list.{i}") for i in range(len(block.branches))]
    return merge_branches(branches, block.kernel)


def _fused_conv_bn(weights: Weights, name: str) -> tuple[Array, Array]:
    return fuse_conv_bn(
        kernel=weights[f"{name}.conv.weight"].astype(np.float64),
        gamma=weights[f"{name}.bn.weight"].astype(np.float64),
        beta=weights[f"{name}.bn.bias"].astype(np.float64),
        mean=weights[f"{name}.bn._mean"].astype(np.float64),
        variance=weights[f"{name}.bn._variance"].astype(np.float64),
    )
