"""The pictures of a training: how it went, and what it takes for what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from training.learners import EpochLog
from training.pretrain_options import PretrainLog

# Okabe and Ito's palette, which colour-blind people tell apart.
BLUE, ORANGE = "#0072B2", "#D55E00"
NAMED_CLASSES, LARGEST_INCHES = 60, 28.6  # what 60 classes take


def draw_curves(history: tuple[EpochLog, ...], file: Path) -> None:
    """Losses, and the held-out top-1, by epoch."""
    epochs = [row.epoch for row in history]
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    losses, accuracy = figure.subplots(1, 2)
    losses.plot(epochs, [row.train_loss for row in history], color=BLUE, label="training")
    losses.plot(
        epochs, [row.held_out_loss for row in history], color=ORANGE, ls="--", label="held out"
    )
    losses.set(title="cross-entropy", xlabel="epoch", ylim=(0, None))
    losses.legend(frameon=False)
    accuracy.plot(epochs, [100 * row.top1 for row in history], color=ORANGE)
    best = max(history, key=lambda row: (row.top1, row.epoch))
    accuracy.plot(best.epoch, 100 * best.top1, "o", color=ORANGE)
    accuracy.set(title=f"held-out top-1, best {100 * best.top1:.1f} %", xlabel="epoch")
    accuracy.set_ylim(0, 102)
    for axes in (losses, accuracy):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, file)


def draw_explained(history: list[PretrainLog], file: Path) -> None:
    """How much of what the teacher sees the student tells, by epoch."""
    epochs = [row.epoch for row in history]
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(epochs, [100 * row.explained for row in history], color=BLUE, label="learned from")
    held_out = (row.explained_held_out for row in history)
    unseen = [100 * share for share in held_out if share is not None]
    if unseen:
        axes.plot(epochs, unseen, color=ORANGE, ls="--", label="held out")
    axes.set(title="teacher's features explained, %", xlabel="epoch")
    axes.set_ylim(min(0, axes.get_ylim()[0]), 102)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, file)


def draw_confusion(labels: tuple[str, ...], confusion: NDArray[np.int64], file: Path) -> None:
    """Truth by prediction: counts, shaded by the share of the row; of many classes shades alone."""
    count = len(labels)
    side = min(max(3.6, 1.6 + 0.45 * count), LARGEST_INCHES)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if count <= 30:
        for (row, column), value in np.ndenumerate(confusion):
            if value:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(value), ha="center", va="center", color=colour)
    if count <= NAMED_CLASSES:
        # Labels are names, not formulas, whatever $ they have.
        names: dict[str, Any] = {"parse_math": False}
        axes.set_xticks(
            range(count), labels, rotation=45, ha="right", rotation_mode="anchor", **names
        )
        axes.set_yticks(range(count), labels, **names)
    axes.set(xlabel="predicted", ylabel="truth")
    figure.suptitle(f"held out: {np.trace(confusion)} of {confusion.sum()} right")
    _save(figure, file)


def _save(figure: Figure, file: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(file, dpi=120)
