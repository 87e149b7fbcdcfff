"""Labelled clips for training: found, and checked all at once."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from ppsdk import VideoError
from ppsdk.intervals import LabelledSpan, background_windows
from ppsdk.manifest import VIDEO_SUFFIXES, LabelledClip, composed, read_manifest
from ppsdk.records import Roi
from ppsdk.sources import open_file

log = logging.getLogger(__name__)

HELD_OUT_SHARE = 5  # where nothing says what is held out, every fifth is
SHOWN = 20  # of many problems of a kind


@dataclass(frozen=True)
class ClipSets:
    """labels: sorted class names. train: what is learned from. held_out: what is only looked at."""

    labels: tuple[str, ...]
    train: tuple[LabelledClip, ...]
    held_out: tuple[LabelledClip, ...]


def read_clip_sets(data: Path, *, length_s: float = 2.0, background: str = "") -> ClipSets:
    """From a manifest.csv (or a folder with one), by its column split: "train" is learned from,
    "val", or where there is none "test", is held out; or from a folder with one folder a class.
    Without splits every fifth group is held out, and of clips without one every fifth of a class.

    Intervals of a recording are one group, unless the manifest says otherwise. What they leave free
    of it, in stretches of length_s, is of the class `background`, where both sets have such
    stretches; "" leaves it out.

    Raises VideoError that lists everything that is wrong with it: empty classes, labels that are in
    one of the sets only, groups or files that are in both, and then also clips that cannot be
    opened.
    """
    manifest = data / "manifest.csv" if data.is_dir() else data
    clips = read_manifest(manifest) if manifest.is_file() else _read_folders(data)
    clips = [_with_group(clip) for clip in clips]
    if not any(clip.split for clip in clips):
        clips = _hold_out(clips)
    problems = _missing_files(clips)
    held_out_split = "val" if any(clip.split == "val" for clip in clips) else "test"
    if background and not problems:
        free = _background_clips(clips, background, length_s)
        named = [clip for clip in clips if clip.label == background]
        if {"train", held_out_split} <= {clip.split for clip in free + named}:
            clips += free
        elif free:
            log.warning("no class %r: one of the splits leaves nothing free for it", background)
    train = tuple(clip for clip in clips if clip.split == "train")
    held_out = tuple(clip for clip in clips if clip.split == held_out_split)
    labels = tuple(sorted({clip.label for clip in train + held_out}))
    sets = {"train": train, held_out_split: held_out}
    problems += _set_problems(labels, sets) + _leaks(sets)
    if problems:
        problems += _unreadable(train + held_out)
        raise VideoError(f"{data}: cannot train on it: {'; '.join(problems)}")
    return ClipSets(labels, train, held_out)


def _read_folders(data: Path) -> list[LabelledClip]:
    if not data.is_dir():
        raise VideoError(f"{data}: must be a manifest.csv, or a folder with one folder a class")
    clips, empty = [], []
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        there = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
        files = [p for p in there if p.suffix.lower() in VIDEO_SUFFIXES]
        if len(files) < len(there):
            others = sorted({p.suffix or p.name for p in there} - {p.suffix for p in files})
            log.warning(
                "%s: %d are no videos by their names: %s",
                *(folder.name, len(there) - len(files), ", ".join(others[:5])),
            )
        label = composed(folder.name)
        clips += [LabelledClip(f"{folder.name}/{f.name}", f, label) for f in files]
        if not files:
            empty.append(repr(folder.name))
    if empty:
        raise VideoError(f"{data}: classes without clips: {', '.join(empty)}")
    if not clips:
        raise VideoError(f"{data}: has neither a manifest.csv nor folders with clips")
    return clips


def _with_group(clip: LabelledClip) -> LabelledClip:
    return clip if clip.group or clip.span_s is None else replace(clip, group=clip.name)


def _hold_out(clips: list[LabelledClip]) -> list[LabelledClip]:
    """Every fifth group, and of the clips without one every fifth of each class, as "test"."""
    groups = sorted({clip.group for clip in clips if clip.group})
    held_out = set(groups[HELD_OUT_SHARE - 1 :: HELD_OUT_SHARE])
    seen: Counter[str] = Counter()
    divided = []
    for clip in clips:
        is_held_out = clip.group in held_out
        if not clip.group:
            seen[clip.label] += 1
            is_held_out = seen[clip.label] % HELD_OUT_SHARE == 0
        divided.append(replace(clip, split="test" if is_held_out else "train"))
    return divided


def _background_clips(
    clips: list[LabelledClip], background: str, length_s: float
) -> list[LabelledClip]:
    """At most as many stretches of a recording as it has intervals, so that they do not drown."""
    recordings = defaultdict(list)
    for clip in clips:
        if clip.span_s is not None:
            recordings[clip.path].append(clip)
    free = []
    for path, inside in recordings.items():
        try:
            times = open_file(path).expected_times()
        except VideoError:
            continue  # decoding it says what is wrong
        intervals = [LabelledSpan(clip.label, *clip.span_s) for clip in inside if clip.span_s]
        end_s = max(interval.end_s for interval in intervals) if times is None else times.end_s
        for span in background_windows(
            intervals, background, length_s=length_s, end_s=end_s, at_most=len(inside)
        ):
            span_s = (span.start_s, span.end_s)
            free.append(replace(inside[0], label=background, span_s=span_s))
    return free


def _set_problems(labels: tuple[str, ...], sets: dict[str, tuple[LabelledClip, ...]]) -> list[str]:
    problems = []
    for split, clips in sets.items():
        present = Counter(clip.label for clip in clips)
        absent = [label for label in labels if not present[label]]
        if absent:
            problems.append(f"split {split!r} has no clips of {', '.join(map(repr, absent))}")
    if len(labels) < 2:
        problems.append(f"{len(labels)} classes: at least two are needed")
    if "" in labels:
        unnamed = [clip.name for clips in sets.values() for clip in clips if not clip.label]
        problems.append(f"without a label: {', '.join(unnamed[:SHOWN])}")
    return problems


def _leaks(sets: dict[str, tuple[LabelledClip, ...]]) -> list[str]:
    """What would be learned from and looked at, and recordings that are listed in two ways."""
    problems = []
    splits_of_group: dict[str, set[str]] = defaultdict(set)
    splits_of_file: dict[tuple[Path, Roi | None], set[str]] = defaultdict(set)
    kinds_of: dict[Path, set[bool]] = defaultdict(set)
    for split, clips in sets.items():
        for clip in clips:
            kinds_of[clip.path].add(clip.span_s is None)
            if clip.group:
                splits_of_group[clip.group].add(split)
            if clip.span_s is None:
                splits_of_file[clip.path.resolve(), clip.roi].add(split)
    groups = sorted(group for group, splits in splits_of_group.items() if len(splits) > 1)
    if groups:
        problems.append(f"groups in both splits: {', '.join(groups)}")
    files = sorted(path.name for (path, _), splits in splits_of_file.items() if len(splits) > 1)
    if files:
        problems.append(f"files in both splits: {', '.join(files[:SHOWN])}")
    both = sorted(path.name for path, kinds in kinds_of.items() if len(kinds) > 1)
    if both:
        problems.append(f"listed with and without an interval: {', '.join(both[:SHOWN])}")
    return problems


def _missing_files(clips: list[LabelledClip]) -> list[str]:
    missing = sorted({clip.name for clip in clips if not clip.path.is_file()})
    return [f"{len(missing)} files are missing: {', '.join(missing[:SHOWN])}"] if missing else []


def _unreadable(clips: tuple[LabelledClip, ...]) -> list[str]:
    """Those that do not even begin, so that they are told of together with the rest."""
    errors = []
    for path in sorted({clip.path for clip in clips if clip.path.is_file()}):
        try:
            next(iter(open_file(path).pictures()))
        except VideoError as error:
            errors.append(str(error))
    return errors
