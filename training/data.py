"""Labelled clips for training: found, checked all at once, and decoded once."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ppsdk import VideoError, sample_clip
from ppsdk.manifest import LabelledClip, read_manifest
from ppsdk.preprocess import crop_for_model, scale_for_model
from ppsdk.records import Image
from training.recipe import Recipe

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".gif", ".mpg", ".ts", ".wmv", ".m4v")
# Frames kept of each segment, for training to draw one of.
CANDIDATES = 4
HELD_OUT_SHARE = 5  # where nothing says what is held out, every fifth is

Progress = Callable[[Iterable[LabelledClip]], Iterable[LabelledClip]]


@dataclass(frozen=True)
class ClipSets:
    """labels: sorted class names. train: what is learned from. held_out: what is only looked at."""

    labels: tuple[str, ...]
    train: tuple[LabelledClip, ...]
    held_out: tuple[LabelledClip, ...]


@dataclass(frozen=True, eq=False)
class CachedClip:
    """frames: uint8 (num_segments, CANDIDATES, H, W, 3), scaled as for evaluation, to be cropped.
    crops: uint8 (num_segments, S, S, 3), exactly what `Recognizer.classify` would give the network.
    """

    label_id: int
    frames: Image
    crops: Image


def read_clip_sets(data: Path) -> ClipSets:
    """From a manifest.csv (or a folder with one), by its column split: "train" is learned from,
    "val", or where there is none "test", is held out; or from a folder with one folder a class.
    Without splits every fifth group, or clip of a class where there are no groups, is held out.

    Raises VideoError that lists everything that is wrong with it: empty classes, labels that are in
    one of the sets only, groups that are in both.
    """
    manifest = data / "manifest.csv" if data.is_dir() else data
    clips = read_manifest(manifest) if manifest.is_file() else _read_folders(data)
    if not any(clip.split for clip in clips):
        clips = _hold_out(clips)
    held_out_split = "val" if any(clip.split == "val" for clip in clips) else "test"
    train = tuple(clip for clip in clips if clip.split == "train")
    held_out = tuple(clip for clip in clips if clip.split == held_out_split)
    labels = tuple(sorted({clip.label for clip in train + held_out}))
    problems = _set_problems(data, labels, train, held_out, held_out_split)
    if problems:
        raise VideoError(f"{data}: cannot train on it: {'; '.join(problems)}")
    return ClipSets(labels, train, held_out)


def cache_clips(
    clips: tuple[LabelledClip, ...],
    labels: tuple[str, ...],
    recipe: Recipe,
    folder: Path,
    progress: Progress = iter,
) -> list[CachedClip]:
    """Decode each clip once; later calls map the files in `folder` into memory.

    Raises VideoError that lists all clips that cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cached: list[CachedClip] = []
    unreadable: list[str] = []
    for clip in progress(clips):
        try:
            files = _decoded(clip, recipe, folder)
        except VideoError as error:
            unreadable.append(str(error))
            continue
        frames, crops = (np.load(file, mmap_mode="r") for file in files)
        cached.append(CachedClip(labels.index(clip.label), frames, crops))
    if unreadable:
        raise VideoError(f"{len(unreadable)} clips cannot be read: {'; '.join(unreadable)}")
    return cached


def _read_folders(data: Path) -> list[LabelledClip]:
    if not data.is_dir():
        raise VideoError(f"{data}: must be a manifest.csv, or a folder with one folder a class")
    clips = []
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
        if not files:
            raise VideoError(f"{folder}: class {folder.name!r} has no clips")
        for file in files:
            clips.append(LabelledClip(f"{folder.name}/{file.name}", file, folder.name, "", ""))
    if not clips:
        raise VideoError(f"{data}: has neither a manifest.csv nor folders with clips")
    return clips


def _hold_out(clips: list[LabelledClip]) -> list[LabelledClip]:
    """Every fifth clip of each class, or where clips have groups every fifth group, as "test"."""
    if any(clip.group for clip in clips):
        groups = sorted({clip.group for clip in clips})
        held_out = set(groups[HELD_OUT_SHARE - 1 :: HELD_OUT_SHARE])
        return [replace(c, split="test" if c.group in held_out else "train") for c in clips]
    seen: Counter[str] = Counter()
    divided = []
    for clip in clips:
        seen[clip.label] += 1
        split = "test" if seen[clip.label] % HELD_OUT_SHARE == 0 else "train"
        divided.append(replace(clip, split=split))
    return divided


def _set_problems(
    data: Path,
    labels: tuple[str, ...],
    train: tuple[LabelledClip, ...],
    held_out: tuple[LabelledClip, ...],
    held_out_split: str,
) -> list[str]:
    problems = []
    sets = {"train": train, held_out_split: held_out}
    for split, clips in sets.items():
        present = Counter(clip.label for clip in clips)
        absent = [label for label in labels if not present[label]]
        if absent:
            problems.append(f"split {split!r} has no clips of {', '.join(map(repr, absent))}")
    if len(labels) < 2:
        problems.append(f"{len(labels)} classes: at least two are needed")
    splits_of: dict[str, set[str]] = defaultdict(set)
    for clip in train + held_out:
        if clip.group:
            splits_of[clip.group].add(clip.split)
    leaking = sorted(group for group, splits in splits_of.items() if len(splits) > 1)
    if leaking:
        problems.append(f"groups in both splits: {', '.join(leaking)}")
    missing = [clip.name for clip in train + held_out if not clip.path.is_file()]
    if missing:
        problems.append(f"{len(missing)} files are missing: {', '.join(missing[:20])}")
    return problems


def _decoded(clip: LabelledClip, recipe: Recipe, folder: Path) -> tuple[Path, Path]:
    status = clip.path.stat()
    facts = [str(clip.path.resolve()), status.st_size, status.st_mtime_ns]
    facts += [recipe.num_segments, recipe.image_size, CANDIDATES]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
    files = folder / f"{key}.frames.npy", folder / f"{key}.crops.npy"
    if not all(file.exists() for file in files):
        sizes = {"image_size": recipe.image_size, "short_side": recipe.short_side}
        many = sample_clip(clip.path, num_segments=recipe.num_segments * CANDIDATES)
        centres = sample_clip(clip.path, num_segments=recipe.num_segments)
        scaled = [scale_for_model(image, short_side=recipe.short_side) for image in many.images]
        frames = np.stack(scaled).reshape(recipe.num_segments, CANDIDATES, *scaled[0].shape)
        _write_array(files[0], frames)
        _write_array(
            files[1], np.stack([crop_for_model(image, **sizes) for image in centres.images])
        )
    return files


def _write_array(file: Path, array: Image) -> None:
    temporary = file.with_suffix(".part")
    with temporary.open("wb") as out:
        np.save(out, array)
    os.replace(temporary, file)
