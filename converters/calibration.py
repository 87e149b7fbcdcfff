"""Clips to calibrate INT8 with: read as inference reads them, spread evenly, and checked."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppsdk.clips import sample_spans
from ppsdk.errors import ModelError, VideoError
from ppsdk.facts import ModelFacts
from ppsdk.manifest import VIDEO_SUFFIXES, LabelledClip, by_recording, read_manifest
from ppsdk.preprocess import crop_for_model
from ppsdk.records import Image
from ppsdk.sampling import Sampling
from ppsdk.sources import open_file

log = logging.getLogger(__name__)

Progress = Callable[[Iterable[Any]], Iterable[Any]]

CALIBRATION_CLIPS = 300  # NNCF's own default of samples
# Fewer clips than this leave ranges of activations to chance.
FEWEST_CLIPS = 16
HELD_OUT_SPLITS = ("val", "test")
# Deviation of grey levels below which a clip is one flat colour: a lens cap, or values of 0 to 1
# that were taken for grey levels.
_FLAT_LEVELS = 2.0


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Clips that decide whether a recipe will do. crops: uint8 (num_segments, S, S, 3) each.
    label_ids: int64 (clips,), None where nothing tells what is right.
    """

    crops: Sequence[Image]
    label_ids: NDArray[np.int64] | None = None


def read_calibration(
    source: Path,
    facts: ModelFacts,
    *,
    split: str | None = None,
    at_most: int = CALIBRATION_CLIPS,
    sampling: Sampling = "full",
    progress: Progress = iter,
) -> list[Image]:
    """Crops that the network would be shown, uint8 (num_segments, S, S, 3) each.

    source: a folder of videos, or with a folder a class; a manifest.csv, of which the split that is
    given counts, or "train" where there is one; or a recording, which is cut into windows of the
    model's length. At most so many are taken, by turns from each class and group.
    Files that cannot be read, and clips of one flat colour, are left out with a warning; VideoError
    where none can be read.
    """
    clips = spread(list_clips(source, facts, split=split), at_most)
    read = _readable(source, clips, facts, sampling, progress)
    pictures = [(clip, crops) for clip, crops in read if crops.std() >= _FLAT_LEVELS]
    if not pictures:  # which `checked` refuses, and says why
        return [crops for _, crops in read]
    for clip, crops in read:
        if crops.std() < _FLAT_LEVELS:
            at = "" if clip.span_s is None else f" from {clip.span_s[0]:g} s"
            log.warning("left out: %s%s: is flat, %.0f grey levels", clip.path, at, crops.mean())
    return [crops for _, crops in pictures]


def list_clips(source: Path, facts: ModelFacts, *, split: str | None = None) -> list[LabelledClip]:
    """What there is to calibrate with, unopened. Raises VideoError where there is nothing."""
    if source.is_dir() and (source / "manifest.csv").is_file():
        source = source / "manifest.csv"
    if source.is_dir():
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
        clips = [LabelledClip(str(f.relative_to(source)), f, f.parent.name) for f in files]
        if not clips:
            raise VideoError(f"{source}: has no videos to calibrate with")
        return clips
    if source.suffix.lower() == ".csv":
        if split is None and any(clip.split == "train" for clip in read_manifest(source)):
            split = "train"
        return read_manifest(source, split=split)
    return _windows_of(source, facts)


def list_held_out(
    manifest: Path, facts: ModelFacts, *, split: str | None = None
) -> list[LabelledClip]:
    """What there is to judge by, unopened: of one split of a manifest.csv, the one that is given,
    else "val", "test", or all where there are no splits. Raises VideoError where there is nothing,
    and for labels that the model does not have.
    """
    if split is None:
        there = {clip.split for clip in read_manifest(manifest)}
        split = next((name for name in HELD_OUT_SPLITS if name in there), None)
    return read_manifest(manifest, split=split, labels=facts.labels)


def read_held_out(
    manifest: Path,
    facts: ModelFacts,
    *,
    split: str | None = None,
    sampling: Sampling = "full",
    progress: Progress = iter,
) -> HeldOut:
    """The clips of `list_held_out`. Raises VideoError where none can be read; single files that
    cannot be are left out with a warning.
    """
    clips = list_held_out(manifest, facts, split=split)
    read = _readable(manifest, clips, facts, sampling, progress)
    label_ids = np.array([facts.labels.index(clip.label) for clip, _ in read])
    return HeldOut([crops for _, crops in read], label_ids)


def held_out_of(source: Path) -> Path | None:
    """The manifest of what calibrates, where it has a split to judge by."""
    manifest = source / "manifest.csv" if source.is_dir() else source
    if manifest.suffix.lower() != ".csv" or not manifest.is_file():
        return None
    splits = {clip.split for clip in read_manifest(manifest)}
    return manifest if splits & set(HELD_OUT_SPLITS) else None


def spread(clips: Sequence[LabelledClip], at_most: int) -> list[LabelledClip]:
    """By turns from each class, and within it from each group; evenly over what a group has."""
    if at_most < 1:
        raise ModelError(f"calibration clips: {at_most}: must be 1 or more")
    by_class: dict[str, dict[str, list[LabelledClip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        by_class[clip.label][clip.group].append(clip)
    classes = [_by_turns([_outside_in(g) for g in of.values()]) for of in by_class.values()]
    return _by_turns(classes)[:at_most]


def _readable(
    source: Path,
    clips: Sequence[LabelledClip],
    facts: ModelFacts,
    sampling: Sampling,
    progress: Progress,
) -> list[tuple[LabelledClip, Image]]:
    crops_of: dict[int, Image | VideoError] = {}
    for together in progress(by_recording(clips)):
        of_file = read_recording([clips[i] for i in together], facts, sampling=sampling)
        crops_of.update(zip(together, of_file, strict=True))
    read = []
    errors: dict[str, None] = {}  # one of a file, however many clips of it there are
    for i, clip in enumerate(clips):
        crops = crops_of[i]
        if isinstance(crops, VideoError):
            errors[str(crops)] = None
        else:
            read.append((clip, crops))
    for error in errors:
        log.warning("left out: %s", error)
    if not read:
        raise VideoError(f"{source}: none of its {len(clips)} clips can be read")
    return read


def read_recording(
    clips: Sequence[LabelledClip], facts: ModelFacts, *, sampling: Sampling = "full"
) -> list[Image | VideoError]:
    """Of each clip, all of one file and region, uint8 (num_segments, S, S, 3), as
    `Recognizer.classify` sees it, or why it cannot be read. The file is decoded once.
    """
    sizes = {"image_size": facts.image_size, "short_side": facts.short_side}
    try:
        read = sample_spans(
            clips[0].path,
            [clip.window_s(facts.length_s) for clip in clips],
            lambda image: crop_for_model(image, **sizes),
            num_segments=facts.num_segments,
            sampling=sampling,
            roi=clips[0].roi,
            move_inside=True,
        )
    except VideoError as error:
        return [error] * len(clips)
    return [of if isinstance(of, VideoError) else of.images for of in read]


def checked(
    clips: Sequence[Image],
    facts: ModelFacts,
    *,
    held_out: Sequence[Image] = (),
    force: bool = False,
) -> list[Image]:
    """The clips, each once, in an order that does not depend on the one that they came in, without
    those that are held out too: a model would be praised for what it has seen.

    Raises ModelError for no clips, for fewer than FEWEST_CLIPS unless `force`, for another shape,
    and for what is not uint8 grey levels: NNCF takes normalised, unnormalised and NaN floats alike,
    and gives back a model that answers the same to everything.
    """
    if not len(clips):
        raise ModelError("no calibration clips: some of each class are needed")
    for number, clip in enumerate(clips):
        _check(np.asarray(clip), facts, number)
    distinct = {fingerprint(clip): clip for clip in clips}
    if len(distinct) < len(clips):
        log.warning(
            "%d of %d calibration clips are repeated: each counts once",
            len(clips) - len(distinct),
            len(clips),
        )
    both = distinct.keys() & {fingerprint(clip) for clip in held_out}
    if both:
        log.warning("%d calibration clips are held out too: not calibrated with", len(both))
        distinct = {key: clip for key, clip in distinct.items() if key not in both}
        if not distinct:
            raise ModelError("every calibration clip is held out too: others are needed")
    if len(distinct) < FEWEST_CLIPS and not force:
        raise ModelError(
            f"{len(distinct)} different calibration clips: {FEWEST_CLIPS} or more are needed "
            f"({CALIBRATION_CLIPS} are good), or --force"
        )
    return [distinct[key] for key in sorted(distinct)]


def fingerprint(crops: Image) -> str:
    """Hexadecimal digits that no other crops have."""
    return hashlib.sha256(crops.tobytes()).hexdigest()[:16]


def _check(clip: NDArray[Any], facts: ModelFacts, number: int) -> None:
    expected = (facts.num_segments, facts.image_size, facts.image_size, 3)
    if clip.shape != expected:
        raise ModelError(f"calibration clip {number} is {clip.shape}: must be {expected}")
    if clip.dtype != np.uint8:
        finite = np.isfinite(clip) if np.issubdtype(clip.dtype, np.floating) else np.True_
        seen = f"{np.nanmin(clip):g} to {np.nanmax(clip):g}" if finite.any() else "nothing finite"
        holes = "" if finite.all() else f", {int(np.sum(~finite))} values not finite"
        raise ModelError(
            f"calibration clip {number} is {clip.dtype}, {seen}{holes}: must be uint8 RGB, 0 to "
            "255; it is normalised as inference does it"
        )
    deviation = float(clip.std())
    if deviation < _FLAT_LEVELS:
        raise ModelError(
            f"calibration clip {number} is flat, {clip.mean():.0f} +- {deviation:.1f} grey levels: "
            "must be a picture, RGB from 0 to 255"
        )


def _windows_of(recording: Path, facts: ModelFacts) -> list[LabelledClip]:
    """Windows of the model's length, side by side; a shorter recording is one."""
    times = open_file(recording).expected_times()
    end_s = facts.length_s if times is None else times.end_s
    count = max(1, int(end_s / facts.length_s + 1e-9))
    starts = [i * facts.length_s for i in range(count)]
    name = recording.name
    spans = [(start_s, start_s + facts.length_s) for start_s in starts]
    return [LabelledClip(name, recording, "", span_s=span_s) for span_s in spans]


def _outside_in(items: list[LabelledClip]) -> list[LabelledClip]:
    """Any first few of them are spread over all: halves, quarters, eighths in turn."""
    bits = max(1, (len(items) - 1).bit_length())
    order = sorted(range(1 << bits), key=lambda i: int(f"{i:0{bits}b}"[::-1], 2))
    return [items[i] for i in order if i < len(items)]


def _by_turns(lists: list[list[LabelledClip]]) -> list[LabelledClip]:
    turns = chain.from_iterable(zip_longest(*lists))
    return [clip for clip in turns if clip is not None]
