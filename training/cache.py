"""Clips decoded once, so that the CPU trains and does not decode."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import get_ident
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ppsdk import VideoError
from ppsdk.clips import read_chosen
from ppsdk.intervals import LabelledSpan, windows_around
from ppsdk.manifest import LabelledClip
from ppsdk.preprocess import centre_crop, scale_for_model
from ppsdk.records import Image, Roi
from ppsdk.sampling import span_indices
from ppsdk.sources.protocol import FrameTimes
from training.recipe import Recipe

# Frames kept of each segment, for training to draw one of.
CANDIDATES = 4
# Of `span_indices`; another one makes what was decoded before of no use.
SAMPLING_RULE = 2

Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class StoredFrames:
    """uint8 (frames, H, W, 3), indexed like an array. The file is open only while frames are taken
    of it: there may be more recordings than a process may have files open.
    """

    file: Path
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, places: Any) -> Image:
        return np.array(np.memmap(self.file, np.uint8, "r", shape=self.shape)[places])


@dataclass(frozen=True, eq=False)
class CachedClip:
    """frames: uint8 (frames, H, W, 3), those of its recording that are needed, scaled as for
    evaluation, to be cropped. candidates: int64 (windows, num_segments, CANDIDATES), places in
    frames, of which training draws a window, and then one in each segment. centres: int64 (windows,
    num_segments), what inference takes. frame_labels: int64 (frames,), what is done in each frame,
    -1 where nothing tells. pts_s: float64 (frames,), when each is shown.
    """

    label_id: int
    frames: Image | StoredFrames
    candidates: NDArray[np.int64]
    centres: NDArray[np.int64]
    frame_labels: NDArray[np.int64]
    pts_s: NDArray[np.float64]
    image_size: int

    def crops(self, window: int) -> Image:
        """uint8 (num_segments, S, S, 3), exactly what inference gives the network."""
        images = self.frames[self.centres[window]]
        return np.stack([centre_crop(image, self.image_size) for image in images])


def cache_clips(
    clips: tuple[LabelledClip, ...],
    labels: tuple[str, ...],
    recipe: Recipe,
    folder: Path,
    progress: Progress = iter,
) -> list[CachedClip]:
    """Decode each recording once; later calls find the files in `folder`.

    Raises VideoError that lists all recordings that cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recordings: dict[tuple[Path, Roi | None], list[int]] = defaultdict(list)
    for place, clip in enumerate(clips):
        recordings[clip.path, clip.roi].append(place)
    cached: dict[int, CachedClip] = {}
    unreadable: list[str] = []

    def decode(places: list[int]) -> Path | VideoError:
        try:
            return _decoded([clips[place] for place in places], recipe, folder)
        except VideoError as error:
            return error

    # Decoders and resizers let go of the interpreter: threads do.
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        decoded = pool.map(decode, recordings.values())
        for places in progress(list(recordings.values())):
            stem = next(decoded)
            if isinstance(stem, VideoError):
                unreadable.append(str(stem))
                continue
            inside = [clips[place] for place in places]
            cached.update(zip(places, _load(stem, inside, labels, recipe), strict=True))
    finally:
        pool.shutdown(cancel_futures=True)
    if unreadable:
        raise VideoError(f"{len(unreadable)} clips cannot be read: {'; '.join(unreadable)}")
    return [cached[place] for place in range(len(clips))]


@dataclass
class _Plan:
    """Which frames are wanted: of each window its candidates, then its centres."""

    clips: list[LabelledClip]
    recipe: Recipe
    windows: list[int] = field(default_factory=list)  # of each clip

    def choose(self, times: FrameTimes) -> NDArray[np.int64]:
        spans = [self._spans_of(clip, times.end_s) for clip in self.clips]
        self.windows = [len(of_clip) for of_clip in spans]
        num_segments = self.recipe.num_segments
        wanted = [
            span_indices(times.pts_s, span.start_s, span.end_s, count)
            for of_clip in spans
            for span in of_clip
            for count in (num_segments * CANDIDATES, num_segments)
        ]
        return np.concatenate(wanted)

    def _spans_of(self, clip: LabelledClip, end_s: float) -> list[LabelledSpan]:
        if clip.span_s is None:
            return [LabelledSpan(clip.label, 0.0, end_s)]
        own = LabelledSpan(clip.label, *clip.span_s)
        if own.start_s >= end_s:
            raise VideoError(
                f"{clip.name}: an interval starts at {own.start_s:g} s, it ends at {end_s:g} s"
            )
        others = [LabelledSpan(c.label, *c.span_s) for c in self.clips if c.span_s]
        lengths = {"length_s": self.recipe.length_s, "stride_s": self.recipe.stride_s}
        return windows_around(own, others, end_s=end_s, **lengths)


def _decoded(clips: list[LabelledClip], recipe: Recipe, folder: Path) -> Path:
    """Where the frames (.bin) and their places (.npz) are."""
    status = clips[0].path.stat()
    facts: list[Any] = [str(clips[0].path.resolve()), status.st_size, status.st_mtime_ns]
    facts += [clips[0].roi, [clip.span_s for clip in clips], recipe.length_s, recipe.stride_s]
    facts += [recipe.num_segments, recipe.short_side, CANDIDATES, SAMPLING_RULE]
    stem = folder / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
    if stem.with_suffix(".npz").exists():
        return stem
    # Several trainings may share a cache, and decode the same at the same time; so may two names
    # of one file.
    temporary = stem.with_suffix(f".{os.getpid()}-{get_ident()}.part")
    plan = _Plan(clips, recipe)
    try:
        with temporary.open("wb") as out:
            writer = _Writer(out, recipe.short_side)
            chosen = read_chosen(clips[0].path, plan.choose, writer.keep, roi=clips[0].roi)
        os.replace(temporary, stem.with_suffix(".bin"))
        places = np.array([writer.places[i] for i in chosen.decoded.tolist()])
        pts_s = chosen.times.pts_s[list(writer.places)]
        with temporary.open("wb") as out:
            np.savez(out, places=places, windows=plan.windows, shape=writer.shape, pts_s=pts_s)
        os.replace(temporary, stem.with_suffix(".npz"))
    except OSError as error:  # of a file that is written Python does not say which
        raise OSError(error.errno, error.strerror, error.filename or str(folder)) from None
    finally:
        temporary.unlink(missing_ok=True)
    return stem


class _Writer:
    """Frames go to disk as they are decoded: those of an hour do not fit into memory."""

    def __init__(self, out: BinaryIO, short_side: int) -> None:
        self._out, self._short_side = out, short_side
        self.places: dict[int, int] = {}
        self._size: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.places), *self._size

    def keep(self, index: int, image: Image) -> None:
        scaled = scale_for_model(image, short_side=self._short_side)
        self._size = scaled.shape
        self._out.write(scaled.tobytes())
        self.places[index] = len(self.places)


def _load(
    stem: Path, clips: list[LabelledClip], labels: tuple[str, ...], recipe: Recipe
) -> list[CachedClip]:
    with np.load(stem.with_suffix(".npz")) as file:
        places, windows, shape = file["places"], file["windows"], tuple(file["shape"].tolist())
        pts_s = file["pts_s"]
    frames = StoredFrames(stem.with_suffix(".bin"), shape)
    # places: (windows, CANDIDATES + 1 of each segment)
    by_window = places.reshape(windows.sum(), -1)
    split_at = recipe.num_segments * CANDIDATES
    candidates = by_window[:, :split_at].reshape(-1, recipe.num_segments, CANDIDATES)
    centres = by_window[:, split_at:]
    ends = np.cumsum(windows)
    frame_labels = _frame_labels(clips, labels, pts_s)
    return [
        CachedClip(
            labels.index(clip.label),
            frames,
            candidates[end - count : end],
            centres[end - count : end],
            frame_labels if clip.span_s else np.full(len(pts_s), labels.index(clip.label)),
            pts_s,
            recipe.image_size,
        )
        for clip, count, end in zip(clips, windows.tolist(), ends.tolist(), strict=True)
    ]


def _frame_labels(
    clips: list[LabelledClip], labels: tuple[str, ...], pts_s: NDArray[np.float64]
) -> NDArray[np.int64]:
    frame_labels = np.full(len(pts_s), -1)
    for clip in clips:
        if clip.span_s is not None:
            inside = (clip.span_s[0] <= pts_s) & (pts_s < clip.span_s[1])
            frame_labels[inside] = labels.index(clip.label)
    return frame_labels
