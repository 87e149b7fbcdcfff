"""Ship INT8 or not, against limits that the user gave."""

from __future__ import annotations

from dataclasses import dataclass

from converters.report.accuracy import Accuracy


@dataclass(frozen=True)
class Limits:
    """max_drop: of top-1, 0 to 1. min_speedup: of INT8 over FP32 in float32, in the same run.
    min_agreement: share of clips with the same answer.
    """

    max_drop: float = 0.01
    min_speedup: float = 1.0
    min_agreement: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """text: one line for people. reasons: which limits are not kept."""

    ship: bool
    text: str
    reasons: tuple[str, ...]


def judge(accuracy: Accuracy, speedup: float, limits: Limits, *, calibrated: int = 0) -> Verdict:
    """By the measured figures; the text says what the clips cannot rule out. calibrated: how many
    of them INT8 was calibrated with.
    """
    drop = -accuracy.difference
    checks = (
        (
            drop <= limits.max_drop + 1e-9,
            f"top-1 drops by {100 * drop:.1f} points, at most {100 * limits.max_drop:g} are "
            "accepted",
        ),
        (
            speedup >= limits.min_speedup,
            f"INT8 is {speedup:.2f}x as fast, at least {limits.min_speedup:g}x is asked",
        ),
        (
            accuracy.agreement.top1 >= limits.min_agreement - 1e-9,
            f"{100 * accuracy.agreement.top1:.1f} % of the answers agree, at least "
            f"{100 * limits.min_agreement:g} % are asked",
        ),
    )
    reasons = tuple(reason for kept, reason in checks if not kept)
    low, high = (100 * bound for bound in accuracy.difference_interval)
    measured = (
        f"top-1 {100 * accuracy.fp32.top1:.1f} % -> {100 * accuracy.int8.top1:.1f} % "
        f"(difference {-100 * drop:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}), "
        f"{100 * accuracy.agreement.top1:.1f} % of the answers agree, {speedup:.2f}x as fast"
    )
    if calibrated:
        measured += f"; {calibrated} of {accuracy.clips} clips were calibrated with, which flatters"
    if reasons:
        return Verdict(False, f"Do not ship INT8: {'; '.join(reasons)}. {measured}.", reasons)
    return Verdict(True, f"Ship INT8: {measured}.", reasons)
