"""Labelled clips for training: found, and checked all at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from ppsdk import VideoError
from ppsdk.intervals import LabelledSpan, background_windows
from ppsdk.manifest import VIDEO_SUFFIXES, LabelledClip, read_manifest
from ppsdk.sources import open_file

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
    Without splits every fifth group, or clip of a class where there are no groups, is held out.

    Intervals of a recording are one group, unless the manifest says otherwise. What they leave free
    of it, in stretches of length_s, is of the class `background`; "" leaves it out.

    Raises VideoError that lists everything that is wrong with it: empty classes, labels that are in
    one of the sets only, groups that are in both, and then also clips that cannot be opened.
    """
    manifest = data / "manifest.csv" if data.is_dir() else data
    clips = read_manifest(manifest) if manifest.is_file() else _read_folders(data)
    clips = [_with_group(clip) for clip in clips]
    if not any(clip.split for clip in clips):
        clips = _hold_out(clips)
    problems = _missing_files(clips)
    if background and not problems:
        clips += _background_clips(clips, background, length_s)
    held_out_split = "val" if any(clip.split == "val" for clip in clips) else "test"
    train = tuple(clip for clip in clips if clip.split == "train")
    held_out = tuple(clip for clip in clips if clip.split == held_out_split)
    labels = tuple(sorted({clip.label for clip in train + held_out}))
    problems += _set_problems(labels, {"train": train, held_out_split: held_out})
    if problems:
        problems += _unreadable(train + held_out)
        raise VideoError(f"{data}: cannot train on it: {'; '.join(problems)}")
    return ClipSets(labels, train, held_out)


def _read_folders(data: Path) -> list[LabelledClip]:
    if not data.is_dir():
        raise VideoError(f"{data}: must be a manifest.csv, or a folder with one folder a class")
    clips, empty = [], []
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
        clips += [LabelledClip(f"{folder.name}/{f.name}", f, folder.name) for f in files]
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
    splits_of: dict[str, set[str]] = defaultdict(set)
    files_of: dict[Path, set[bool]] = defaultdict(set)
    for split, clips in sets.items():
        for clip in clips:
            files_of[clip.path].add(clip.span_s is None)
            if clip.group:
                splits_of[clip.group].add(split)
    leaking = sorted(group for group, splits in splits_of.items() if len(splits) > 1)
    if leaking:
        problems.append(f"groups in both splits: {', '.join(leaking)}")
    both = sorted(path.name for path, kinds in files_of.items() if len(kinds) > 1)
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
