"""Deep mutual learning: two networks learn from the labels and from each other."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """logits, targets: (N, classes), targets a distribution; the mean over N."""
    return -(targets * F.log_softmax(logits, -1)).sum(-1).mean()


def symmetric_kl(logits: Tensor, others: Tensor) -> Tensor:
    """(KL(p || q) + KL(q || p)) / 2 of the softmax of both, the mean over N."""
    log_p, log_q = F.log_softmax(logits, -1), F.log_softmax(others, -1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1).mean() / 2


def mutual_losses(logits: Tensor, others: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of each of two networks: cross-entropy, plus how far it is from its peer, which
    stands still in it. Each loss moves its own network alone.
    """
    own = soft_cross_entropy(logits, targets) + symmetric_kl(logits, others.detach())
    peer = soft_cross_entropy(others, targets) + symmetric_kl(others, logits.detach())
    return own, peer
