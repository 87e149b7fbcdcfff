"""Videos and the scores of their windows, computed once and kept in files."""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppsdk.intervals import LabelledSpan
from ppsdk.manifest import VIDEO_SUFFIXES
from ppsdk.recognizer import Recognizer
from ppsdk.records import WindowScores
from ppsdk.scoring.recordings import Truth, path_of

Progress = Callable[[Iterable[Any], str], Iterable[Any]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ScoredVideo:
    """What a model says of a video, and what happens in it. length_s: seconds that it covers."""

    name: str
    windows: tuple[WindowScores, ...]
    truth: tuple[LabelledSpan, ...]

    @property
    def length_s(self) -> float:
        return max([0.0, *(w.end_s for w in self.windows[-1:]), *(s.end_s for s in self.truth)])


def videos_of(place: Path, truth: Truth) -> list[tuple[Path, tuple[LabelledSpan, ...]]]:
    """The video, or those in a folder, each with what happens in it; nothing does in a video that
    the truth does not name, and that is logged.

    Raises ValueError where there are no videos, or the truth names one that is not there, or that
    may be several of them.
    """
    if place.is_file():
        files = [place]
    else:
        files = sorted(f for f in place.rglob("*") if f.suffix.lower() in VIDEO_SUFFIXES)
    if not files:
        raise ValueError(f"{place}: no videos ({', '.join(VIDEO_SUFFIXES)})")
    if set(truth) <= {""} and len(files) == 1:
        return [(files[0], tuple(truth.get("", ())))]
    root = place if place.is_dir() else place.parent
    by_name = {file.relative_to(root).as_posix(): file for file in files}
    spans_of = {}
    for path, spans in truth.items():
        named = path_of(path, by_name)
        if not path:
            raise ValueError(f"{place}: has {len(files)} videos: the truth must have a column path")
        if named is None:
            raise ValueError(f"{place}: the truth names {path!r}: not there")
        if named in spans_of:
            raise ValueError(
                f"{place}: the truth has {path!r} and another that may be {named!r}: not there"
            )
        spans_of[named] = tuple(spans)
    for name in by_name:
        if name not in spans_of:
            log.warning("%s: the truth has nothing that happens in it", by_name[name])
    return [(file, spans_of.get(name, ())) for name, file in by_name.items()]


def score_videos(
    recognizer: Recognizer,
    videos: Sequence[tuple[Path, tuple[LabelledSpan, ...]]],
    *,
    length_s: float | None = None,
    stride_s: float | None = None,
    cache: Path,
    progress: Progress = lambda items, label: items,
) -> list[ScoredVideo]:
    """Scores come from the cache where model, video and windows are those that it was made of.

    length_s, stride_s: as for `Recognizer.windows`.
    """
    cache.mkdir(parents=True, exist_ok=True)
    grid = recognizer.facts.grid(length_s, stride_s)
    model = hashlib.sha256((recognizer.model_dir / "model.bin").read_bytes()).hexdigest()
    scored = []
    for file, truth in progress(videos, "scoring"):
        seen = file.stat()
        of = (model, str(file.resolve()), seen.st_size, seen.st_mtime_ns, grid)
        key = hashlib.sha256(repr(of).encode()).hexdigest()[:24]
        kept = cache / f"{file.stem}-{key}.npz"
        windows = _read(kept, recognizer.labels)
        if windows is None:
            windows = tuple(recognizer.windows(file, length_s=length_s, stride_s=stride_s))
            _write(kept, windows)
        scored.append(ScoredVideo(file.name, windows, truth))
    return scored


def _read(file: Path, labels: tuple[str, ...]) -> tuple[WindowScores, ...] | None:
    """None for what is not there, or damaged."""
    no_frames = np.zeros(0, np.int64)
    try:
        with np.load(file) as arrays:
            rows = zip(arrays["logits"], arrays["start_s"], arrays["end_s"], strict=True)
            return tuple(
                WindowScores(logits, labels, float(start_s), float(end_s), no_frames)
                for logits, start_s, end_s in rows
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(file: Path, windows: Sequence[WindowScores]) -> None:
    temporary = file.with_suffix(".part.npz")
    np.savez(
        temporary,
        logits=np.array([window.logits for window in windows]),
        start_s=np.array([window.start_s for window in windows]),
        end_s=np.array([window.end_s for window in windows]),
    )
    os.replace(temporary, file)
