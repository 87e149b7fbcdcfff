"""Train: epochs over cached clips, with a state that a killed run goes on from exactly."""

from __future__ import annotations

import copy
import csv
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from ppsdk.errors import ModelError
from ppsdk.records import Image
from training.augment import augment
from training.cache import CachedClip
from training.device import ahead, best_device, to_network
from training.dml import mutual_losses, soft_cross_entropy
from training.head import fit_head
from training.network import NetworkOptions, PPTSMv2, load_network
from training.optimizer import learning_rate, make_optimizer, set_rate
from training.recipe import Recipe
from training.state import read_state, save_state
from training.videomix import smoothed_targets, videomix

log = logging.getLogger(__name__)

Progress = Callable[[Iterable[int]], Iterable[int]]
MakePeer = Callable[[int, Recipe], nn.Module]
STATE_FILE = "state.pt"
LOG_FILE = "log.csv"
NEW_GATE = 0.5  # what an attention that has learned nothing yet multiplies every frame by
SAVE_EVERY_S = 15.0  # what a kill costs at most; short epochs would do little else than save


@dataclass(frozen=True)
class EpochLog:
    """One row of log.csv. losses: cross-entropies, with what a peer adds, means over clips.
    top1: share of held-out windows, 0 to 1.
    """

    epoch: int
    rate: float
    train_loss: float
    held_out_loss: float
    top1: float


@dataclass
class _State:
    """All that an epoch begins from. networks: the student, and its peer where there is one."""

    student: PPTSMv2
    networks: list[nn.Module]
    optimizers: list[torch.optim.Optimizer]
    average: PPTSMv2 | None
    best: dict[str, Tensor]
    best_top1: float = -1.0
    history: list[EpochLog] = field(default_factory=list)

    @property
    def shown(self) -> PPTSMv2:
        """What is evaluated and saved."""
        return self.average or self.student


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
    two. out: where log.csv and the state are kept; a run that finds its own state there goes on
    from it, with the same result as one that was never stopped. On GPUs where there are some.

    make_peer: (classes, recipe) -> the module that learns along where recipe.dml says "peer":
    (N, num_segments, 3, H, W) -> (N, classes).
    """
    device = best_device()
    state = _begin(num_classes, recipe, init, make_peer, device)
    _resume(state, recipe, num_classes, out / STATE_FILE)
    if recipe.head_first and not state.history:
        _fit_heads(state, train, recipe)
    label_ids = np.array([clip.label_id for clip in held_out for _ in clip.centres])
    saved_at, saved = time.monotonic(), len(state.history)
    for epoch in progress(range(len(state.history), recipe.epochs)):
        train_loss, rate = _train_epoch(state, train, num_classes, recipe, epoch, device)
        logits = predict(state.shown, held_out, recipe.batch_size)
        loss = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(label_ids)).item()
        top1 = float((logits.argmax(1) == label_ids).mean())
        state.history.append(EpochLog(epoch + 1, rate, train_loss, loss, top1))
        if top1 >= state.best_top1:
            state.best_top1, state.best = top1, copy.deepcopy(state.shown.state_dict())
        if time.monotonic() - saved_at >= SAVE_EVERY_S or epoch + 1 == recipe.epochs:
            _save(state, recipe, num_classes, out, saved)
            saved_at, saved = time.monotonic(), epoch + 1
    last = copy.deepcopy(state.shown).eval()
    best = copy.deepcopy(last)
    best.load_state_dict(state.best)
    logits = predict(best, held_out, recipe.batch_size)
    return Fitted(best, last, tuple(state.history), logits, label_ids)


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


def _begin(
    num_classes: int,
    recipe: Recipe,
    init: Path | None,
    make_peer: MakePeer | None,
    device: torch.device,
) -> _State:
    torch.manual_seed(recipe.seed)
    student = new_network(num_classes, recipe, init)
    networks: list[nn.Module] = [student]
    if recipe.dml == "self":
        networks.append(new_network(num_classes, recipe, init))
    elif recipe.dml == "peer":
        if make_peer is None:
            raise ModelError('recipe: dml = "peer" needs a peer to learn with')
        networks.append(make_peer(num_classes, recipe))
    for network in networks:
        network.to(device)
    average = copy.deepcopy(student) if recipe.ema_decay else None
    optimizers = [
        make_optimizer(network, weight_decay=recipe.weight_decay, kind=recipe.optimizer)
        for network in networks
    ]
    return _State(student, networks, optimizers, average, student.state_dict())


def new_network(num_classes: int, recipe: Recipe, init: Path | None) -> PPTSMv2:
    options = NetworkOptions(num_classes, recipe.num_segments, recipe.lta, recipe.shift_stages)
    network = PPTSMv2(options)
    if init is not None:
        start_from(network, init)
    for part in network.parts(recipe.frozen_stages):
        part.requires_grad_(False)
    return network


def _fit_heads(state: _State, clips: list[CachedClip], recipe: Recipe) -> None:
    for network in state.networks:
        if isinstance(network, PPTSMv2):
            fit_head(network, clips, recipe)
    if state.average is not None:
        state.average.load_state_dict(state.student.state_dict())


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
    if network.options.lta and not any(name.startswith("global_attention.") for name in given):
        network.expect_gate(NEW_GATE)


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
        if isinstance(network, PPTSMv2):
            network.infer_in(recipe.frozen_stages, norms=recipe.frozen_norms)
    order = rng.permutation(len(clips))
    # A batch of one has no statistics to normalise by.
    batches = [order[i : i + recipe.batch_size] for i in range(0, len(order), recipe.batch_size)]
    batches = [batch for batch in batches if len(batch) > 1]
    peak = recipe.peak_rate * recipe.batch_size / 16
    total, seen, rate = 0.0, 0, 0.0
    draw = partial(_draw, recipe=recipe, rng=rng)
    for i, drawn in enumerate(ahead(draw, ([clips[k] for k in batch] for batch in batches))):
        rate = learning_rate(
            epoch * len(batches) + i,
            peak=peak,
            warmup_steps=round(recipe.warmup_epochs * len(batches)),
            total_steps=recipe.epochs * len(batches),
        )
        pictures, targets = _mixed(drawn, num_classes, recipe, generator, device)
        loss = _step(state, pictures, targets, recipe, rate)
        total, seen = total + loss * len(pictures), seen + len(pictures)
    return total / seen, rate


@dataclass(frozen=True, eq=False)
class _Drawn:
    """crops: uint8 (N, num_segments, S, S, 3). label_ids: int64 (N, 1 + num_segments), of the clip
    and of its frames, -1 where nothing tells.
    """

    crops: Image
    label_ids: NDArray[np.int64]


def _draw(clips: list[CachedClip], recipe: Recipe, rng: np.random.Generator) -> _Drawn:
    drawn = [augment(clip, recipe, rng) for clip in clips]
    label_ids = [(clip.label_id, *of) for clip, (_, of) in zip(clips, drawn, strict=True)]
    return _Drawn(np.stack([crops for crops, _ in drawn]), np.array(label_ids))


def _mixed(
    drawn: _Drawn,
    num_classes: int,
    recipe: Recipe,
    generator: torch.Generator,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Pictures (N, num_segments, 3, S, S), and targets (N, 1 + num_segments, classes): of the clip,
    and of its frames, zeros where nothing tells.
    """
    pictures = to_network(drawn.crops, device)
    label_ids = torch.from_numpy(drawn.label_ids).to(device)
    targets = smoothed_targets(label_ids, num_classes, recipe.label_smoothing)
    if recipe.videomix_alpha:
        return videomix(pictures, targets, alpha=recipe.videomix_alpha, generator=generator)
    return pictures, targets


def _step(state: _State, pictures: Tensor, targets: Tensor, recipe: Recipe, rate: float) -> float:
    of_clip, of_frames = targets[:, 0], targets[:, 1:]
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=recipe.bf16):
        by_frame = _run(_ByFrame(state.student), pictures).float()
        outputs = [by_frame.mean(1)]
        outputs += [_run(peer, pictures).float() for peer in state.networks[1:]]
    if len(outputs) == 2:
        losses = list(mutual_losses(outputs[0], outputs[1], of_clip))
    else:
        losses = [soft_cross_entropy(outputs[0], of_clip)]
    shown = losses[0].item()
    if recipe.frame_loss:
        losses[0] = losses[0] + recipe.frame_loss * soft_cross_entropy(
            by_frame.flatten(0, 1), of_frames.flatten(0, 1)
        )
    if not all(torch.isfinite(loss) for loss in losses):
        raise ModelError(f"training diverged at a learning rate of {rate:.3g}: lower peak_rate")
    for loss, optimizer in zip(losses, state.optimizers, strict=True):
        set_rate(optimizer, rate)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if state.average is not None:
        _average(state.average, state.student, recipe.ema_decay)
    return shown


class _ByFrame(nn.Module):
    """The student, asked for the logits of each frame."""

    def __init__(self, student: PPTSMv2) -> None:
        super().__init__()
        self.student = student

    def forward(self, pictures: Tensor) -> Tensor:
        return self.student.frame_logits(pictures)


def _run(network: nn.Module, pictures: Tensor) -> Tensor:
    """On all GPUs where there are several, each with a part of the batch."""
    if pictures.is_cuda and torch.cuda.device_count() > 1:
        network = nn.DataParallel(network)
    logits: Tensor = network(pictures)
    return logits


@torch.no_grad()
def _average(average: PPTSMv2, network: PPTSMv2, decay: float) -> None:
    now = network.state_dict()
    for name, value in average.state_dict().items():
        value.lerp_(now[name], 1 - decay)


def _save(state: _State, recipe: Recipe, num_classes: int, out: Path, saved: int) -> None:
    """saved: epochs that are in the logs."""
    rows = [asdict(row) for row in state.history]
    _write_logs(rows, out, saved)
    content = {
        "networks": [network.state_dict() for network in state.networks],
        "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
        "average": None if state.average is None else state.average.state_dict(),
        "best": state.best,
        "best_top1": state.best_top1,
        "history": rows,
    }
    save_state(out / STATE_FILE, _asked(recipe, num_classes), content)


def _asked(recipe: Recipe, num_classes: int) -> dict[str, Any]:
    return {**asdict(recipe), "num_classes": num_classes}


def _write_logs(rows: list[dict[str, Any]], out: Path, saved: int) -> None:
    with (out / LOG_FILE).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    # What a killed run wrote of an epoch that is now run again is not shown twice.
    with SummaryWriter(out / "tensorboard", purge_step=saved + 1) as board:
        for row in rows[saved:]:
            for name in row.keys() - {"epoch"}:
                board.add_scalar(name, row[name], row["epoch"])


def _resume(state: _State, recipe: Recipe, num_classes: int, file: Path) -> None:
    content = read_state(file, _asked(recipe, num_classes))
    if content is None:
        return
    for network, values in zip(state.networks, content["networks"], strict=True):
        network.load_state_dict(values)
    for optimizer, values in zip(state.optimizers, content["optimizers"], strict=True):
        optimizer.load_state_dict(values)
    if state.average is not None:
        state.average.load_state_dict(content["average"])
    state.best, state.best_top1 = content["best"], content["best_top1"]
    state.history = [EpochLog(**row) for row in content["history"]]
