"""From labelled clips to weights, a log and pictures: what `ppsdk train` does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ppsdk.errors import ModelError
from ppsdk.manifest import LabelledClip
from training.cache import CachedClip, cache_clips
from training.data import ClipSets, read_clip_sets
from training.fit import Fitted, fit
from training.learners import STATE_FILE, EpochLog, MakePeer
from training.pictures import draw_confusion, draw_curves
from training.recipe import Recipe
from training.start import new_network, warn_of_other_pictures
from training.state import asked_of_weights, read_state
from training.weights import TrainedAs, save_weights

log = logging.getLogger(__name__)

OTHER_LENGTH = 1.5  # times as long, or as short: another pace

# Wraps what is gone through, as click.progressbar and tqdm do: (items, label) -> items.
ShowProgress = Callable[[Iterable[Any], str], Iterable[Any]]


@dataclass(frozen=True)
class Training:
    """Where everything is, and how the best network does on the held-out clips."""

    best_weights: Path
    labels: tuple[str, ...]
    history: tuple[EpochLog, ...]
    confusion: NDArray[np.int64]

    @property
    def top1(self) -> float:
        return float(np.trace(self.confusion) / self.confusion.sum())


def train(
    data: Path,
    out: Path,
    recipe: Recipe,
    *,
    init: Path | None = None,
    make_peer: MakePeer | None = None,
    cache: Path | None = None,
    show_progress: ShowProgress = lambda items, label: items,
) -> Training:
    """Read, check and decode the data, train, and write to `out`: best.safetensors and
    last.safetensors, log.csv and tensorboard/, curves.png, confusion.png, recipe.json, and cache/.

    make_peer: of recipe.dml "peer"; EfficientNet-Lite0 with a temporal shift unless given. cache:
    where decoded clips are kept, out/cache unless given; several trainings may share it.
    Bad data is a VideoError that lists all that is wrong, and unfit weights, or a training of
    something else in `out`, are a ModelError, before anything is decoded or written; which clips
    cannot be decoded is told, of all of them, before anything is learned.
    """
    sets = read_clip_sets(data, length_s=recipe.length_s, background=recipe.background)
    sided = sided_labels(sets.labels)
    if recipe.flip and sided:
        log.warning("labels name a side (%s): --no-flip is meant for those", ", ".join(sided))
    _refuse_unfit(len(sets.labels), recipe, init, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"{out}: cannot write there ({error.strerror})") from None
    clips = sets.train + sets.held_out
    cached = cache_clips(
        clips,
        sets.labels,
        recipe,
        cache or out / "cache",
        lambda items: show_progress(items, "decoding"),
    )
    _warn_of_other_lengths(sets.train, cached, recipe)
    fitted = fit(
        cached[: len(sets.train)],
        cached[len(sets.train) :],
        len(sets.labels),
        recipe,
        out,
        init=init,
        make_peer=make_peer or clip_teacher,
        progress=lambda epochs: show_progress(epochs, "training"),
    )
    return _write_results(sets, fitted, recipe, data, out)


def _refuse_unfit(num_classes: int, recipe: Recipe, init: Path | None, out: Path) -> None:
    """What can be told before clips are decoded."""
    if init is not None:
        new_network(num_classes, recipe, init)
        warn_of_other_pictures(init, recipe)
    elif recipe.frozen_stages or recipe.frozen_norms:
        raise ModelError(
            "recipe: frozen_stages and frozen_norms keep what weights know: they need --init, or "
            "must be 0 and false"
        )
    read_state(out / STATE_FILE, asked_of_weights(num_classes, recipe, init))


def _warn_of_other_lengths(
    clips: tuple[LabelledClip, ...], cached: list[CachedClip], recipe: Recipe
) -> None:
    """Whole files are learned from end to end, and what streams show is to have the same pace."""
    shown_s = [
        of.pts_s[-1] + np.diff(of.pts_s).mean()
        for clip, of in zip(clips, cached, strict=False)
        if clip.span_s is None and len(of.pts_s) > 1
    ]
    usual_s = float(np.median(shown_s)) if shown_s else recipe.length_s
    if not 1 / OTHER_LENGTH <= usual_s / recipe.length_s <= OTHER_LENGTH:
        log.warning(
            "clips usually last %.1f s, windows of streams will last %g s: length_s in the recipe, "
            "or ppsdk convert --length-s, sets that",
            *(usual_s, recipe.length_s),
        )


def clip_teacher(num_classes: int, recipe: Recipe) -> nn.Module:
    from training.teacher import ClipTeacher

    return ClipTeacher(num_classes, recipe.num_segments)


def sided_labels(labels: tuple[str, ...]) -> list[str]:
    """Labels that name a side, which a mirrored clip would turn into a lie."""
    return [label for label in labels if {"left", "right"} & set(_words(label))]


def _write_results(
    sets: ClipSets, fitted: Fitted, recipe: Recipe, data: Path, out: Path
) -> Training:
    said = f"{len(sets.train)} clips of {data.name}, recipe {json.dumps(asdict(recipe))}"
    trained_as = TrainedAs(
        sets.labels, recipe.length_s, recipe.stride_s, said, image_size=recipe.image_size
    )
    save_weights(fitted.best, out / "best.safetensors", trained_as)
    save_weights(fitted.last, out / "last.safetensors", trained_as)
    confusion = np.zeros((len(sets.labels), len(sets.labels)), np.int64)
    np.add.at(confusion, (fitted.label_ids, fitted.best_logits.argmax(1)), 1)
    draw_curves(fitted.history, out / "curves.png")
    draw_confusion(sets.labels, confusion, out / "confusion.png")
    return Training(out / "best.safetensors", sets.labels, fitted.history, confusion)


def _words(label: str) -> list[str]:
    return "".join(c if c.isalpha() else " " for c in label.lower()).split()
