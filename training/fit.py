"""Train: epochs over cached clips, with a state that a killed run goes on from exactly."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from training.cache import CachedClip
from training.device import best_device, to_network
from training.epoch import train_epoch
from training.head import fit_head
from training.learners import STATE_FILE, EpochLog, Learners, MakePeer, begin, resume, save
from training.motion import add_motion
from training.network import PPTSMv2
from training.recipe import RECIPE_FILE, Recipe, write_recipe
from training.start import taught_layer
from training.state import asked_for

Progress = Callable[[Iterable[int]], Iterable[int]]
SAMPLED = 8  # clips by which motion channels are chosen
SAVE_EVERY_S = 15.0  # what a kill costs at most; short epochs would do little else than save


@dataclass(frozen=True, eq=False)
class Fitted:
    """best, last: networks in eval mode. best_logits: float32 (held-out windows, classes), and
    label_ids, int64 (held-out windows,), what is right.
    """

    best: PPTSMv2
    last: PPTSMv2
    history: tuple[EpochLog, ...]
    best_logits: NDArray[np.float32]
    label_ids: NDArray[np.int64]


def fit(
    train: list[CachedClip],
    held_out: list[CachedClip],
    num_classes: int,
    recipe: Recipe,
    out: Path,
    *,
    init: Path | None = None,
    make_peer: MakePeer | None = None,
    progress: Progress = iter,
) -> Fitted:
    """Train on `train`, looking at `held_out` after each epoch; best is by its top-1, the later of
    two. out: where recipe.json, log.csv and the state are kept; a run that finds its own state
    there goes on from it, with the same result as one that was never stopped. On GPUs where there
    are some.

    make_peer: (classes, recipe) -> the module that learns along where recipe.dml says "peer":
    (N, num_segments, 3, H, W) -> (N, classes).
    """
    device = best_device()
    learners = begin(num_classes, recipe, init, make_peer, device)
    asked = asked_for(train, held_out, num_classes, recipe, init)
    resume(learners, asked, out / STATE_FILE)
    write_recipe(recipe, out / RECIPE_FILE)
    if not learners.history:
        _prepare(learners, train, recipe, init)
    label_ids = np.array([clip.label_id for clip in held_out for _ in clip.centres])
    saved_at, saved = time.monotonic(), len(learners.history)
    for epoch in progress(range(len(learners.history), recipe.epochs)):
        train_loss, rate = train_epoch(learners, train, num_classes, recipe, epoch, device)
        logits = predict(learners.shown, held_out, recipe.batch_size)
        loss = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(label_ids)).item()
        top1 = float((logits.argmax(1) == label_ids).mean())
        learners.history.append(EpochLog(epoch + 1, rate, train_loss, loss, top1))
        if top1 >= learners.best_top1:
            learners.best_top1, learners.best = top1, copy.deepcopy(learners.shown.state_dict())
        if time.monotonic() - saved_at >= SAVE_EVERY_S or epoch + 1 == recipe.epochs:
            save(learners, asked, out, saved)
            saved_at, saved = time.monotonic(), epoch + 1
    last = copy.deepcopy(learners.shown).eval()
    best = copy.deepcopy(last)
    best.load_state_dict(learners.best)
    logits = predict(best, held_out, recipe.batch_size)
    return Fitted(best, last, tuple(learners.history), logits, label_ids)


@torch.no_grad()
def predict(network: PPTSMv2, clips: list[CachedClip], batch_size: int) -> NDArray[np.float32]:
    """float32 (windows, classes): logits of the very crops that inference would see, of each window
    of each clip in turn.
    """
    device = next(network.parameters()).device
    network.eval()
    windows = [(clip, i) for clip in clips for i in range(len(clip.centres))]
    rows = []
    for start in range(0, len(windows), batch_size):
        crops = np.stack([clip.crops(i) for clip, i in windows[start : start + batch_size]])
        rows.append(network(to_network(crops, device)).float().cpu().numpy())
    return np.concatenate(rows)


def _prepare(
    learners: Learners, clips: list[CachedClip], recipe: Recipe, init: Path | None
) -> None:
    """What is worked out before anything is learned."""
    for network in learners.networks:
        if isinstance(network, PPTSMv2):
            motion = None
            if recipe.motion_first:
                motion = add_motion(network, _sample(clips, next(network.parameters()).device))
            if recipe.head_first:
                # The teacher, who looks at single frames, has no word for motion.
                taught = None if recipe.motion_first else taught_layer(init)
                fit_head(network, clips, recipe, taught=taught, motion=motion)
    if learners.average is not None:
        learners.average.load_state_dict(learners.student.state_dict())


def _sample(clips: list[CachedClip], device: torch.device) -> Tensor:
    """Normalised float32 (up to SAMPLED, num_segments, 3, S, S), of clips from all over the set."""
    chosen = np.linspace(0, len(clips) - 1, min(SAMPLED, len(clips))).round().astype(int)
    return to_network(np.stack([clips[k].crops(0) for k in chosen]), device)
