"""VideoMix: mixup and cutmix between two clips, half and half (PaddleVideo, `mix.py`, VideoMix)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

CUTMIX_SHARE = 0.5


def videomix(
    clips: Tensor, targets: Tensor, *, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix each clip of a batch with another one, all frames of it alike.

    clips: float (N, num_segments, 3, H, W). targets: float (N, ..., classes), rows summing to 1.
    alpha: of the Beta(alpha, alpha) that the share of the first clip is drawn from.
    Returns both, mixed; a target's shares are those of the pixels.
    """
    order = torch.randperm(len(clips), generator=generator)
    share = _beta(alpha, generator)
    if torch.rand((), generator=generator).item() < CUTMIX_SHARE:
        clips, share = _cutmix(clips, clips[order], share, generator)
    else:
        clips = share * clips + (1 - share) * clips[order]
    return clips, share * targets + (1 - share) * targets[order]


def smoothed_targets(label_ids: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """int64 (N, ...) -> float (N, ..., classes): 1 - smoothing on the label, the rest spread over
    all; zeros for a label of -1.
    """
    known = (label_ids >= 0).unsqueeze(-1)
    exact = F.one_hot(label_ids.clamp(0), num_classes).float()
    return known * (exact * (1 - smoothing) + smoothing / num_classes)


def _cutmix(
    clips: Tensor, others: Tensor, share: float, generator: torch.Generator
) -> tuple[Tensor, float]:
    """Put a box of the other clip, (1 - share) of the picture, in the same place of every frame."""
    height, width = clips.shape[-2:]
    cut = math.sqrt(1 - share)
    centre = torch.rand(2, generator=generator).tolist()
    top, bottom = _span(centre[0] * height, cut * height, height)
    left, right = _span(centre[1] * width, cut * width, width)
    mixed = clips.clone()
    mixed[..., top:bottom, left:right] = others[..., top:bottom, left:right]
    # A box that reaches over the edge is smaller than was drawn.
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _span(centre: float, length: float, limit: int) -> tuple[int, int]:
    start = max(0, int(centre - length / 2))
    return start, max(start, min(limit, int(centre + length / 2)))


def _beta(alpha: float, generator: torch.Generator) -> float:
    """Beta(alpha, alpha) as a ratio of two gamma draws, from the generator that is resumed with."""
    draws = torch._standard_gamma(torch.full((2,), alpha), generator=generator)
    total = draws.sum().item()
    return draws[0].item() / total if total > 0 else 0.5
