"""How the work-cell model learns: first where things are, then how they move, then the actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ppsdk.demo.render import Scene
from training.recipe import Recipe
from training.scenes import PARTS_MANIFEST, film_scenes, scene_name
from training.train import Training, train
from training.whereabouts import learn_whereabouts

ShowProgress = Callable[[Iterable[Any], str], Iterable[Any]]

SCENES, SCENE_S, HELD_OUT = 240, 20.0, 8
# From nothing: no weights that others may not have are started from. AdamW gets it going; VideoMix
# is for sets that are smaller than this one. Not mirrored: that makes tightening of loosening. Even
# frames: a wrench's turns and its way back differ by pace. Another light on each clip: from few
# scenes a network learns their colours. Eight segments of a window of 2 s: a
# hand moves enough between two frames for the shift to see where it goes.
# First where things are and how they move (`training/whereabouts.py`), then the actions. How things
# move is hardly learned while where they are still changes under it: the stages before the temporal
# shift, which see one frame, stand still from then on.
PLACES = Recipe(
    epochs=2,
    batch_size=8,
    peak_rate=4e-3,
    warmup_epochs=0.5,
    optimizer="adamw",
    weight_decay=0.02,
    videomix_alpha=0.0,
    scales=(1.0, 0.875),
    flip=False,
    even_frames=True,
    num_segments=8,
    image_size=112,
    length_s=2.0,
    stride_s=0.5,
)
MOVES = replace(
    PLACES, frozen_stages=2, epochs=6, batch_size=16, peak_rate=1.5e-3, colour_jitter=0.15
)
# Ten epochs of these in place of five know their scenes' looks by heart: of unseen ones 94.7 % of
# the windows and an event F1 of 0.82, in place of 96.7 % and 0.86.
ACTIONS = replace(MOVES, epochs=5, frame_loss=1.0, peak_rate=1e-3, ema_decay=0.99)


def train_work_cell(
    out: Path, *, ordered: bool = True, show_progress: ShowProgress = lambda items, label: items
) -> Training:
    """Render the scenes to out/scenes and learn from them in out/; a killed run goes on.

    ordered: False leaves out temporal shift and attention: what is learned then is what single
    frames tell, which is not which way an action goes.
    """
    manifest = film_scenes(
        out / "scenes",
        range(SCENES),
        length_s=SCENE_S,
        held_out=HELD_OUT,
        progress=lambda items: show_progress(items, "rendering"),
    )
    changes: dict[str, Any] = {} if ordered else {"shift_stages": (), "lta": False}
    parts, cache = manifest.with_name(PARTS_MANIFEST), out / "cache"
    scenes = {scene_name(seed): Scene.from_seed("train", seed, SCENE_S) for seed in range(SCENES)}
    weights = None
    for name, recipe in (("places", PLACES), ("moves", MOVES)):
        weights = learn_whereabouts(
            parts,
            scenes,
            out / _folder(name, ordered),
            replace(recipe, **changes),
            cache,
            init=weights,
            progress=_labelled(show_progress, name),
        )
    return train(
        manifest,
        out / _folder("actions", ordered),
        replace(ACTIONS, **changes),
        init=weights,
        cache=cache,
        show_progress=show_progress,
    )


def _labelled(show_progress: ShowProgress, label: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
    return lambda items: show_progress(items, label)


def _folder(name: str, ordered: bool) -> str:
    return name if ordered else f"{name}-unordered"
