"""Who learns, and how far they are: what a killed training goes on from exactly."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from ppsdk.errors import ModelError
from training.network import PPTSMv2
from training.optimizer import make_optimizer
from training.recipe import Recipe
from training.start import new_network
from training.state import read_state, save_state

MakePeer = Callable[[int, Recipe], nn.Module]
STATE_FILE = "state.pt"
LOG_FILE = "log.csv"


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
class Learners:
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


def begin(
    num_classes: int,
    recipe: Recipe,
    init: Path | None,
    make_peer: MakePeer | None,
    device: torch.device,
) -> Learners:
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
    return Learners(student, networks, optimizers, average, student.state_dict())


def save(learners: Learners, asked: dict[str, Any], out: Path, saved: int) -> None:
    """saved: epochs that are in the logs."""
    rows = [asdict(row) for row in learners.history]
    _write_logs(rows, out, saved)
    content = {
        "networks": [network.state_dict() for network in learners.networks],
        "optimizers": [optimizer.state_dict() for optimizer in learners.optimizers],
        "average": None if learners.average is None else learners.average.state_dict(),
        "best": learners.best,
        "best_top1": learners.best_top1,
        "history": rows,
    }
    save_state(out / STATE_FILE, asked, content)


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


def resume(learners: Learners, asked: dict[str, Any], file: Path) -> None:
    content = read_state(file, asked)
    if content is None:
        return
    for network, values in zip(learners.networks, content["networks"], strict=True):
        network.load_state_dict(values)
    for optimizer, values in zip(learners.optimizers, content["optimizers"], strict=True):
        optimizer.load_state_dict(values)
    if learners.average is not None:
        learners.average.load_state_dict(content["average"])
    learners.best, learners.best_top1 = content["best"], content["best_top1"]
    learners.history = [EpochLog(**row) for row in content["history"]]
