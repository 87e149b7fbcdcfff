"""What a number of right answers can and cannot say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054  # two-sided 95 % of the normal distribution
DRAWS = 10_000
SEED = 0


def wilson(right: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927): right of total independent answers; 0 to 1."""
    if not 0 <= right <= total or total == 0:
        raise ValueError(f"{right} right of {total}: must be 0 <= right <= total, total above 0")
    share, square = right / total, Z_95**2
    middle = share + square / (2 * total)
    reach = Z_95 * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    low, high = ((middle + sign * reach) / (1 + square / total) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def group_interval(values: NDArray[np.float64], groups: Sequence[str]) -> tuple[float, float]:
    """95 % interval of the mean over clips, by a bootstrap of whole groups (percentiles of DRAWS
    draws, from a fixed seed): clips of one take are not independent.

    values: float (clips,). groups: of each clip; clips with "" are a group each, and so is every
    clip where all are of one group, which says nothing of others.
    """
    if len(set(groups)) == 1:
        groups = [""] * len(groups)
    sums, counts = _by_group(values, groups)
    rng = np.random.default_rng(SEED)
    means = []
    for _ in range(DRAWS):
        drawn = rng.integers(0, len(sums), len(sums))
        means.append(sums[drawn].sum() / counts[drawn].sum())
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def mcnemar(fp32_only: int, int8_only: int) -> float:
    """The exact two-sided p-value (McNemar, 1947) that as many clips which one model alone has
    right are split so unevenly by chance.
    """
    total = fp32_only + int8_only
    if total == 0:
        return 1.0
    fewer = min(fp32_only, int8_only)
    # log of C(total, i) / 2^total; float factorials overflow at 171.
    terms = [
        math.lgamma(total + 1) - math.lgamma(i + 1) - math.lgamma(total - i + 1)
        for i in range(fewer + 1)
    ]
    tail = sum(math.exp(term - total * math.log(2)) for term in terms)
    return min(1.0, 2 * tail)


def _by_group(
    values: NDArray[np.float64], groups: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    names = [group or f"clip {i}" for i, group in enumerate(groups)]
    _, numbers = np.unique(names, return_inverse=True)
    sums: NDArray[np.float64] = np.bincount(numbers, weights=values).astype(np.float64)
    return sums, np.bincount(numbers).astype(np.float64)
