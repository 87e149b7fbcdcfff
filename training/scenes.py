"""Rendered recordings of the work cell with their truth: what the bundled model learns from."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ppsdk.demo.cell import OWN_LABELS
from ppsdk.demo.film import GOOD, POOR, film_scene
from ppsdk.demo.looks import Split
from ppsdk.demo.render import Scene

Progress = Callable[[Iterable[int]], Iterable[int]]
COLUMNS = ("path", "label", "group", "split", "start_s", "end_s")
MANIFEST, PARTS_MANIFEST = "manifest.csv", "parts.csv"


def film_scenes(
    folder: Path,
    seeds: range,
    *,
    length_s: float,
    held_out: int,
    looks: Split = "train",
    progress: Progress = iter,
) -> Path:
    """Render one mp4 a seed and a manifest.csv with an action a row; the last `held_out` scenes are
    split "test". parts.csv has the movements of the actions, one by one. Recordings that are there
    already are kept. Returns the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    film = partial(_film, folder, looks, length_s)
    # Spawned, not forked: OpenCV's threads do not survive a fork.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        waiting = [pool.submit(film, seed) for seed in seeds]
        finished = as_completed(waiting)
        for _ in progress(range(len(waiting))):
            next(finished).result()
    actions, parts = [], []
    for number, seed in enumerate(seeds):
        split = "test" if number >= len(seeds) - held_out else "train"
        for step in Scene.from_seed(looks, seed, length_s).steps:
            place = (scene_name(seed), Path(scene_name(seed)).stem, split)
            actions.append(_row(place, step.label, step.start_s, step.end_s))
            parts += [_row(place, *part) for part in step.parts()]
    _write(folder / PARTS_MANIFEST, parts)
    return _write(folder / MANIFEST, actions)


def _row(place: tuple[str, str, str], label: str, start_s: float, end_s: float) -> tuple[str, ...]:
    path, group, split = place
    return path, label, group, split, f"{start_s:.3f}", f"{end_s:.3f}"


def _write(manifest: Path, rows: list[tuple[str, ...]]) -> Path:
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return manifest


def film_own_actions(folder: Path, seeds: range) -> None:
    """A folder per class with a clip a seed: actions that the bundled model does not know. Clips
    that are there already are kept.
    """
    for number, label in enumerate(OWN_LABELS):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            file = folder / label / f"{seed:03d}.mp4"
            if not file.exists():
                film_scene(Scene.of_own_action(len(OWN_LABELS) * seed + number, label), file)


def _film(folder: Path, looks: Split, length_s: float, seed: int) -> None:
    file = folder / scene_name(seed)
    if file.exists():
        return
    scene = Scene.from_seed(looks, seed, length_s)
    quality = int(np.random.default_rng(seed).integers(GOOD, POOR + 1))
    film_scene(scene, file, quality=quality)


def scene_name(seed: int) -> str:
    return f"scene_{seed:04d}.mp4"
