"""SGD as the paper has it: which parameters learn how fast, and when."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn

from training.network import BatchNorm

LTA_WEIGHT_RATE, LTA_BIAS_RATE = 5.0, 10.0  # PaddleVideo, pptsm_v2.py, GlobalAttention


def make_optimizer(
    network: nn.Module, *, weight_decay: float, kind: Literal["sgd", "adamw"] = "sgd"
) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, as published, or AdamW, which gets going sooner from nothing: at
    the start, gradients of the first layers are a thousand times those of the last. Each group has
    a `rate`, by which `set_rate` multiplies.
    """
    groups = parameter_groups(network, weight_decay)
    if kind == "adamw":
        return torch.optim.AdamW(groups, lr=0.0)
    return torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Batch norms do not decay; LTA's weight learns 5 times as fast, its bias, which does not decay
    either, 10 times.
    """
    norms = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, (BatchNorm, nn.BatchNorm2d))
        for parameter in module.parameters(recurse=False)
    }
    settings = {"plain": (weight_decay, 1.0), "norm": (0.0, 1.0)}
    settings |= {"lta_weight": (weight_decay, LTA_WEIGHT_RATE), "lta_bias": (0.0, LTA_BIAS_RATE)}
    members: dict[str, list[nn.Parameter]] = {kind: [] for kind in settings}
    for name, parameter in network.named_parameters():
        if name.startswith("global_attention.fc."):
            kind = "lta_weight" if name.endswith("weight") else "lta_bias"
        else:
            kind = "norm" if id(parameter) in norms else "plain"
        members[kind].append(parameter)
    return [
        {"params": members[kind], "weight_decay": decay, "rate": rate, "kind": kind}
        for kind, (decay, rate) in settings.items()
        if members[kind]
    ]


def set_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["rate"]


def learning_rate(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """Linear from peak / warmup_steps to peak, then a half cosine down to 0 at total_steps."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * (1 + math.cos(math.pi * min(1.0, progress))) / 2
