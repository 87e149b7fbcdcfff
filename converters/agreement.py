"""How far INT8 is from FP32 on the same clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
import openvino.properties.hint as hints
from numpy.typing import NDArray

from ppsdk.facts import ModelFacts
from ppsdk.model import with_uint8_input
from ppsdk.records import Image

Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Agreement:
    """Of two models' logits for the same clips.

    top1: share of clips with the same best label, 0 to 1. score_*: of the score that FP32 gives to
    its best label, how far INT8's for the same label is from it (mean, 95th percentile, largest).
    logit_*: of all logits. fp32_right, int8_right: shares of clips whose label is right; None where
    no labels are known.
    """

    clips: int
    top1: float
    score_mean: float
    score_p95: float
    score_max: float
    logit_mean: float
    logit_p95: float
    logit_max: float
    fp32_right: float | None = None
    int8_right: float | None = None

    @property
    def drop(self) -> float:
        """What INT8 loses: right answers, or without labels, answers that FP32 gives."""
        if self.fp32_right is None or self.int8_right is None:
            return 1 - self.top1
        return self.fp32_right - self.int8_right


@dataclass(frozen=True)
class Target:
    """max_drop: of top-1. min_agreement: of best labels; unless it is 1, a single clip may differ
    however few there are, for near a tie one always will. max_score_mean, max_score_p95: of how far
    the best label's score moves, so that thresholds set on FP32 hold for INT8.
    """

    max_drop: float = 0.01
    min_agreement: float = 0.97
    max_score_mean: float = 0.03
    max_score_p95: float = 0.10

    def _agrees(self, seen: Agreement) -> bool:
        allowed = math.floor((1 - self.min_agreement) * seen.clips + 1e-9)
        if self.min_agreement < 1:
            allowed = max(1, allowed)
        return round((1 - seen.top1) * seen.clips) <= allowed

    def missed(self, seen: Agreement) -> list[str]:
        """What is not met, in words; nothing where all is. NaN meets nothing."""
        checks = (
            ("top-1 drop", seen.drop, seen.drop <= self.max_drop + 1e-9, f"<= {self.max_drop:g}"),
            (
                "agreement",
                seen.top1,
                self._agrees(seen),
                f">= {self.min_agreement:g}",
            ),
            (
                "mean score difference",
                seen.score_mean,
                seen.score_mean <= self.max_score_mean,
                f"<= {self.max_score_mean:g}",
            ),
            (
                "p95 score difference",
                seen.score_p95,
                seen.score_p95 <= self.max_score_p95,
                f"<= {self.max_score_p95:g}",
            ),
        )
        return [
            f"{name} {value:.4f} (asked {asked})" for name, value, met, asked in checks if not met
        ]


def agreement(
    fp32: NDArray[np.float32],
    int8: NDArray[np.float32],
    label_ids: NDArray[np.int64] | None = None,
) -> Agreement:
    """fp32, int8: logits (clips, classes). label_ids: int64 (clips,), what is right, if known."""
    if fp32.shape != int8.shape or fp32.ndim != 2 or not len(fp32):
        raise ValueError(f"logits {fp32.shape} and {int8.shape}: must be the same (clips, classes)")
    best, other = fp32.argmax(1), int8.argmax(1)
    rows = np.arange(len(fp32))
    moved = np.abs(softmax(fp32)[rows, best] - softmax(int8)[rows, best])
    differences = np.abs(fp32.astype(np.float64) - int8)
    right = None if label_ids is None else (best == label_ids, other == label_ids)
    return Agreement(
        clips=len(fp32),
        top1=float((best == other).mean()),
        score_mean=float(moved.mean()),
        score_p95=float(np.percentile(moved, 95)),
        score_max=float(moved.max()),
        logit_mean=float(differences.mean()),
        logit_p95=float(np.percentile(differences, 95)),
        logit_max=float(differences.max()),
        fp32_right=None if right is None else float(right[0].mean()),
        int8_right=None if right is None else float(right[1].mean()),
    )


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """(clips, classes) -> scores of each clip that sum to 1."""
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    scores: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return scores


def all_logits(
    model: ov.Model, facts: ModelFacts, clips: Sequence[Image], progress: Progress = iter
) -> NDArray[np.float32]:
    """float32 (clips, classes), of uint8 crops as for `Network.logits`, with what is not INT8
    executed in float32.
    """
    runnable = model.clone()
    with_uint8_input(runnable, facts)
    compiled = ov.Core().compile_model(runnable, "CPU", {hints.inference_precision: ov.Type.f32})
    rows = [
        np.array(compiled(np.ascontiguousarray(clip))[0][0], np.float32) for clip in progress(clips)
    ]
    return np.stack(rows)
