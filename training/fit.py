"""Train: epochs over cached clips, with a state that a killed run goes on from exactly."""

from __future__ import annotations

import copy
import csv
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ppsdk.errors import ModelError
from ppsdk.preprocess import normalize
from training.augment import augment
from training.data import CachedClip
from training.dml import mutual_losses, soft_cross_entropy
from training.network import NetworkOptions, PPTSMv2, load_network
from training.optimizer import learning_rate, make_optimizer, set_rate
from training.recipe import Recipe
from training.videomix import smoothed_targets, videomix

log = logging.getLogger(__name__)

Progress = Callable[[Iterable[int]], Iterable[int]]
STATE_FILE = "state.pt"
LOG_FILE = "log.csv"


@dataclass(frozen=True)
class EpochLog:
    """One row of log.csv. losses: means over clips. top1: share of held-out clips, 0 to 1."""

    epoch: int
    rate: float
    train_loss: float
    held_out_loss: float
    top1: float


@dataclass
class _State:
    """All that an epoch begins from. The peer is there with deep mutual learning only."""

    networks: list[PPTSMv2]
    optimizers: list[torch.optim.SGD]
    average: PPTSMv2 | None
    best: dict[str, Tensor]
    best_top1: float = -1.0
    history: list[EpochLog] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Fitted:
    """best, last: networks in eval mode. best_logits: float32 (held-out clips, classes)."""

    best: PPTSMv2
    last: PPTSMv2
    history: tuple[EpochLog, ...]
    best_logits: NDArray[np.float32]


def fit(
    train: list[CachedClip],
    held_out: list[CachedClip],
    num_classes: int,
    recipe: Recipe,
    out: Path,
    *,
    init: Path | None = None,
    progress: Progress = iter,
) -> Fitted:
    """Train on `train`, looking at `held_out` after each epoch; best is by its top-1, the later of
    two. out: where log.csv and the state are kept; a run that finds its own state there goes on
    from it, with the same result as one that was never stopped.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    state = _begin(num_classes, recipe, init, device)
    _resume(state, recipe, num_classes, out / STATE_FILE)
    for epoch in progress(range(len(state.history), recipe.epochs)):
        train_loss, rate = _train_epoch(state, train, num_classes, recipe, epoch, device)
        shown = state.average or state.networks[0]
        logits = predict(shown, held_out, recipe.batch_size)
        label_ids = torch.tensor([clip.label_id for clip in held_out])
        loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), label_ids).item()
        top1 = float((logits.argmax(1) == label_ids.numpy()).mean())
        state.history.append(EpochLog(epoch + 1, rate, train_loss, loss, top1))
        if top1 >= state.best_top1:
            state.best_top1, state.best = top1, copy.deepcopy(shown.state_dict())
        _save(state, recipe, num_classes, out)
    last = copy.deepcopy(state.average or state.networks[0]).eval()
    best = copy.deepcopy(last)
    best.load_state_dict(state.best)
    logits = predict(best, held_out, recipe.batch_size)
    return Fitted(best, last, tuple(state.history), logits)


@torch.no_grad()
def predict(network: PPTSMv2, clips: list[CachedClip], batch_size: int) -> NDArray[np.float32]:
    """float32 (clips, classes): logits of the very crops that inference would see."""
    device = next(network.parameters()).device
    network.eval()
    rows = []
    for start in range(0, len(clips), batch_size):
        crops = [normalize(clip.crops) for clip in clips[start : start + batch_size]]
        rows.append(network(torch.from_numpy(np.stack(crops)).to(device)).float().cpu().numpy())
    return np.concatenate(rows)


def _begin(num_classes: int, recipe: Recipe, init: Path | None, device: torch.device) -> _State:
    torch.manual_seed(recipe.seed)
    options = NetworkOptions(num_classes, recipe.num_segments, recipe.lta, recipe.shift_stages)
    networks = [PPTSMv2(options).to(device) for _ in range(2 if recipe.dml else 1)]
    if init is not None:
        for network in networks:
            start_from(network, init)
    average = copy.deepcopy(networks[0]) if recipe.ema_decay else None
    optimizers = [make_optimizer(network, weight_decay=recipe.weight_decay) for network in networks]
    return _State(networks, optimizers, average, networks[0].state_dict())


def start_from(network: PPTSMv2, weights: Path) -> None:
    """Take over every parameter that fits. The classifier of other classes and an attention over
    another number of segments start anew; anything else that does not fit is a ModelError.
    """
    given = load_network(weights).state_dict()
    own = network.state_dict()
    fresh = [name for name in own if name not in given or given[name].shape != own[name].shape]
    foreign = [name for name in fresh if not name.startswith(("fc.", "global_attention."))]
    if foreign:
        raise ModelError(f"{weights}: does not fit the network: {', '.join(foreign[:5])}")
    if fresh:
        log.info("%s: start anew: %s", weights, ", ".join(fresh))
    network.load_state_dict({k: own[k] if k in fresh else given[k] for k in own})


def _train_epoch(
    state: _State,
    clips: list[CachedClip],
    num_classes: int,
    recipe: Recipe,
    epoch: int,
    device: torch.device,
) -> tuple[float, float]:
    """The mean loss over the epoch's clips, and its last learning rate. Every draw comes from the
    seed and the epoch, so that an epoch is the same after a resume.
    """
    rng = np.random.default_rng([recipe.seed, epoch])
    torch.manual_seed(int(rng.integers(2**62)))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    for network in state.networks:
        network.train()
    order = rng.permutation(len(clips))
    # A batch of one has no statistics to normalise by.
    batches = [order[i : i + recipe.batch_size] for i in range(0, len(order), recipe.batch_size)]
    batches = [batch for batch in batches if len(batch) > 1]
    peak = recipe.peak_rate * recipe.batch_size / 16
    total, seen, rate = 0.0, 0, 0.0
    for i, batch in enumerate(batches):
        rate = learning_rate(
            epoch * len(batches) + i,
            peak=peak,
            warmup_steps=round(recipe.warmup_epochs * len(batches)),
            total_steps=recipe.epochs * len(batches),
        )
        chosen = [clips[k] for k in batch]
        pictures, targets = _batch(chosen, num_classes, recipe, rng, generator)
        loss = _step(state, pictures.to(device), targets.to(device), recipe, rate)
        total, seen = total + loss * len(batch), seen + len(batch)
    return total / seen, rate


def _batch(
    clips: list[CachedClip],
    num_classes: int,
    recipe: Recipe,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    crops = [
        augment(
            clip.frames,
            image_size=recipe.image_size,
            scales=recipe.scales,
            flip=recipe.flip,
            rng=rng,
        )
        for clip in clips
    ]
    pictures = torch.from_numpy(np.stack([normalize(crop) for crop in crops]))
    label_ids = torch.tensor([clip.label_id for clip in clips])
    targets = smoothed_targets(label_ids, num_classes, recipe.label_smoothing)
    if recipe.videomix_alpha:
        return videomix(pictures, targets, alpha=recipe.videomix_alpha, generator=generator)
    return pictures, targets


def _step(state: _State, pictures: Tensor, targets: Tensor, recipe: Recipe, rate: float) -> float:
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=recipe.bf16):
        outputs = [network(pictures).float() for network in state.networks]
    if recipe.dml:
        losses = list(mutual_losses(outputs[0], outputs[1], targets))
    else:
        losses = [soft_cross_entropy(outputs[0], targets)]
    if not all(torch.isfinite(loss) for loss in losses):
        raise ModelError(f"training diverged at a learning rate of {rate:.3g}: lower peak_rate")
    for loss, optimizer in zip(losses, state.optimizers, strict=True):
        set_rate(optimizer, rate)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if state.average is not None:
        _average(state.average, state.networks[0], recipe.ema_decay)
    return losses[0].item()


@torch.no_grad()
def _average(average: PPTSMv2, network: PPTSMv2, decay: float) -> None:
    now = network.state_dict()
    for name, value in average.state_dict().items():
        value.lerp_(now[name], 1 - decay)


def _save(state: _State, recipe: Recipe, num_classes: int, out: Path) -> None:
    rows = [asdict(row) for row in state.history]
    with (out / LOG_FILE).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    content = {
        "recipe": asdict(recipe),
        "num_classes": num_classes,
        "networks": [network.state_dict() for network in state.networks],
        "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
        "average": None if state.average is None else state.average.state_dict(),
        "best": state.best,
        "best_top1": state.best_top1,
        "history": rows,
    }
    temporary = out / f".{STATE_FILE}.part"
    torch.save(content, temporary)
    os.replace(temporary, out / STATE_FILE)


def _resume(state: _State, recipe: Recipe, num_classes: int, file: Path) -> None:
    if not file.exists():
        return
    try:
        content: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for a file that is not whole
        what = " ".join(str(error).split())[:120]
        raise ModelError(
            f"{file}: cannot go on from it ({what}): delete it to start anew"
        ) from None
    if content["recipe"] != asdict(recipe) or content["num_classes"] != num_classes:
        raise ModelError(
            f"{file}: is of another recipe or data: choose another folder, or delete it"
        )
    for network, values in zip(state.networks, content["networks"], strict=True):
        network.load_state_dict(values)
    for optimizer, values in zip(state.optimizers, content["optimizers"], strict=True):
        optimizer.load_state_dict(values)
    if state.average is not None:
        state.average.load_state_dict(content["average"])
    state.best, state.best_top1 = content["best"], content["best_top1"]
    state.history = [EpochLog(**row) for row in content["history"]]
