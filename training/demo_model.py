"""Rebuild the model that `ppsdk demo` shows: python -m training.demo_model OUT

Renders the work cell, trains, quantizes, and measures on scenes that no training has seen. A run
that was killed goes on where it was.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from converters.convert import ConvertOptions, convert
from converters.quantize import ClipFiles, QuantizeOptions, quantize_with_files
from ppsdk import Recognizer
from ppsdk.demo.film import GOOD, POOR, film_scene
from ppsdk.demo.render import Scene
from ppsdk.demo.run import DemoResult, watch
from training.memory import keep_freed_memory
from training.network import load_network
from training.scenes import MANIFEST
from training.weights import TrainedAs, save_weights
from training.work_cell import (
    ACTIONS,
    HELD_OUT,
    MOVES,
    PLACES,
    SCENE_S,
    SCENES,
    train_work_cell,
)

UNSEEN = range(10)  # scenes that are measured on, a minute each
WEIGHTS = "work_cell.safetensors"
CARD = """# The work-cell model

PP-TSMv2 (8 frames, LTA, shift before stage 3, 112 x 112 pixels, windows of 2 s) for the rendered
work cell of `ppsdk demo`: idle, insert, loosen, pick, place, remove, tighten. It is there to show
the whole way and to be fine-tuned from; it knows nothing of real benches.

- `model.xml`, `model.bin`: INT8, by `ppsdk quantize`, recipe "{recipe}".
- `work_cell.safetensors`: float16, in training form, for `ppsdk train --init`.

| {minutes} minutes of unseen scenes | windows covered to 75 % | other windows | event F1 |
|---|---|---|---|
{rows}

Windows are right in so many of all; covered: by one action. Event F1: right label and a temporal
IoU of 0.5, idling left out; events are merged equal windows.

Data: {scenes} rendered scenes of {length_s:g} s, and {held_out} more to choose the best epoch by
({top1:.1f} % of their windows). The unseen scenes have other colours, cameras and seeds than all
of these. Rebuilt by `python -m training.demo_model OUT`, which needs nothing but the extras `train`
and `convert`. First where hand, part and wrench are and how they move (`training/whereabouts.py`),
then, from those weights, the actions:

```json
{places}
{moves}
{actions}
```
"""


@dataclass(frozen=True)
class Scores:
    """Over scenes of the split "demo", a minute each. See DemoResult for what is counted."""

    results: tuple[DemoResult, ...]

    @property
    def window_top1(self) -> float:
        return sum(r.windows_right for r in self.results) / sum(r.windows for r in self.results)

    @property
    def mixed_top1(self) -> float:
        return sum(r.mixed_right for r in self.results) / sum(r.mixed for r in self.results)

    @property
    def event_f1(self) -> float:
        """Of all events together: 2 TP / (events + truth)."""
        matched = sum(r.event_f1 * (len(r.events) + len(r.truth)) for r in self.results)
        return matched / sum(len(r.events) + len(r.truth) for r in self.results)

    def to_dict(self) -> dict[str, Any]:
        return {
            "minutes": len(self.results),
            "window_top1": round(self.window_top1, 4),
            "windows": sum(r.windows for r in self.results),
            "mixed_window_top1": round(self.mixed_top1, 4),
            "mixed_windows": sum(r.mixed for r in self.results),
            "event_f1": round(self.event_f1, 4),
        }


def rebuild(out: Path) -> dict[str, Any]:
    """Write the bundled folder's files to out/bundled; returns the scores of FP32 and INT8."""
    trained = train_work_cell(out, show_progress=_progress)
    fp32, int8 = out / "fp32", out / "bundled"
    convert(trained.best_weights, fp32, ConvertOptions(force=True))
    shutil.rmtree(int8, ignore_errors=True)
    files = ClipFiles(out / "scenes" / MANIFEST)
    done = quantize_with_files(fp32, files, int8, QuantizeOptions(force=True), progress=_progress)
    scores = {name: measure(folder, UNSEEN) for name, folder in (("FP32", fp32), ("INT8", int8))}
    said = f"{SCENES - HELD_OUT} rendered work-cell scenes, python -m training.demo_model"
    trained_as = TrainedAs(
        trained.labels, ACTIONS.length_s, ACTIONS.stride_s, said, image_size=ACTIONS.image_size
    )
    network = load_network(trained.best_weights)
    save_weights(network, int8 / WEIGHTS, trained_as, dtype=torch.float16)
    card = model_card(trained.top1, scores, recipe=done.facts.recipe)
    (int8 / "MODEL_CARD.md").write_text(card, "utf-8")
    return {name: of_model.to_dict() for name, of_model in scores.items()}


def model_card(held_out_top1: float, scores: dict[str, Scores], *, recipe: str) -> str:
    rows = []
    for name, of_model in scores.items():
        told = of_model.to_dict()
        rows.append(
            f"| {name} | {100 * told['window_top1']:.1f} % of {told['windows']} | "
            f"{100 * told['mixed_window_top1']:.1f} % of {told['mixed_windows']} | "
            f"{told['event_f1']:.2f} |"
        )
    return CARD.format(
        rows="\n".join(rows),
        recipe=recipe,
        minutes=len(UNSEEN),
        scenes=SCENES - HELD_OUT,
        length_s=SCENE_S,
        held_out=HELD_OUT,
        top1=100 * held_out_top1,
        places=json.dumps(asdict(PLACES)),
        moves=json.dumps(asdict(MOVES)),
        actions=json.dumps(asdict(ACTIONS)),
    )


def measure(model_dir: Path, seeds: range, length_s: float = 60.0) -> Scores:
    """On the scenes that `ppsdk demo --seed` shows."""
    results = []
    with Recognizer(model_dir) as recognizer, tempfile.TemporaryDirectory() as folder:
        for seed in _progress(seeds, "measuring"):
            scene = Scene.from_seed("demo", seed, length_s)
            quality = int(np.random.default_rng(seed).integers(GOOD, POOR + 1))
            film_scene(scene, Path(folder, "scene.mp4"), quality=quality)
            results.append(watch(recognizer, Path(folder, "scene.mp4"), scene))
    return Scores(tuple(results))


def _progress(items: Iterable[Any], label: str) -> Iterator[Any]:
    with click.progressbar(items, label=label) as bar:
        yield from bar


@click.command(help=__doc__)
@click.argument("out", type=click.Path(path_type=Path))
def main(out: Path) -> None:
    keep_freed_memory()
    click.echo(json.dumps(rebuild(out), indent=1))


if __name__ == "__main__":
    main()
