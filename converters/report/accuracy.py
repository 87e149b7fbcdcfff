"""Both models' answers on the same clips: asked once, kept, and compared."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.agreement import Agreement, agreement, softmax
from converters.calibration import fingerprint, read_recording
from converters.report.statistics import group_interval, mcnemar, wilson
from ppsdk.errors import ModelError, VideoError
from ppsdk.manifest import LabelledClip, by_recording
from ppsdk.model import Network
from ppsdk.sampling import Sampling

Progress = Callable[[Iterable[Any]], Iterable[Any]]

ANSWERS, CLIPS_ASKED = "answers.f32", "answers.json"
WORST_SHOWN = 20
Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Answers:
    """clips that could be read, and both models' logits for them, float32 (clips, classes).
    unreadable: what was wrong with the others, a line each. calibrated: how many of the clips INT8
    was calibrated with, as far as it tells.
    """

    labels: tuple[str, ...]
    clips: tuple[LabelledClip, ...]
    fp32: NDArray[np.float32]
    int8: NDArray[np.float32]
    unreadable: tuple[str, ...]
    calibrated: int = 0

    @property
    def label_ids(self) -> NDArray[np.int64]:
        return np.array([self.labels.index(clip.label) for clip in self.clips])


@dataclass(frozen=True)
class ModelAccuracy:
    """Shares are 0 to 1, intervals 95 %. confusion: clips, truth by answer."""

    top1: float
    top1_interval: Interval
    top5: float
    mean_class_recall: float
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ClassChange:
    label: str
    clips: int
    fp32_recall: float
    int8_recall: float


@dataclass(frozen=True)
class Flip:
    """A clip with another answer in INT8. moved: by how much the score of FP32's answer fell."""

    path: str
    label: str
    fp32: str
    int8: str
    fp32_score: float
    moved: float


@dataclass(frozen=True)
class Accuracy:
    """difference: of top-1, INT8 less FP32, and its paired 95 % interval, by bootstrap of groups.
    fp32_only, int8_only: clips that one alone has right. p: McNemar's exact test on those.
    """

    clips: int
    groups: int
    fp32: ModelAccuracy
    int8: ModelAccuracy
    agreement: Agreement
    difference: float
    difference_interval: Interval
    fp32_only: int
    int8_only: int
    p: float
    classes: tuple[ClassChange, ...]
    flips: tuple[Flip, ...]


def ask_both(
    models: dict[str, Network],
    clips: list[LabelledClip],
    folder: Path,
    *,
    sampling: Sampling = "full",
    key: str,
    progress: Progress = iter,
) -> Answers:
    """models: "fp32" and "int8". What is asked is kept in `folder`, and a run that was killed goes
    on there; clips of a recording are read some at a time. key: names the models; another one
    starts anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts, seen = models["fp32"].facts, set(models["int8"].facts.calibrated_with)
    asked = [[str(c.path), c.label, c.span_s, c.roi, _state(c.path)] for c in clips]
    digest = hashlib.sha256(json.dumps([key, sampling, asked]).encode()).hexdigest()
    together = by_recording(clips)  # rows are in this order
    clips = [clips[i] for of_file in together for i in of_file]
    rows = _Rows(folder, digest, classes=len(facts.labels))
    first = 0
    for of_file in progress(together):
        places = range(max(first, rows.done), first + len(of_file))
        first += len(of_file)
        if not places:
            continue
        read = read_recording([clips[i] for i in places], facts, sampling=sampling)
        for i, crops in zip(places, read, strict=True):
            if isinstance(crops, VideoError):
                rows.add_error(i, str(crops))
                continue
            if fingerprint(crops) in seen:
                rows.add_calibrated(i)
            rows.add(np.stack([models[name].logits(crops) for name in ("fp32", "int8")]))
    values, errors, calibrated = rows.read()
    good = [i for i in range(len(clips)) if i not in errors]
    if not good:
        raise VideoError(f"none of {len(clips)} clips can be read: {errors[0]}")
    if not np.isfinite(values[good]).all():
        raise ModelError("logits are not finite: the models cannot be compared")
    return Answers(
        labels=facts.labels,
        clips=tuple(clips[i] for i in good),
        fp32=values[good, 0],
        int8=values[good, 1],
        unreadable=tuple(errors.values()),
        calibrated=len(calibrated),
    )


def _state(file: Path) -> tuple[int, int] | None:
    """Other where the file has changed, or has come since."""
    try:
        seen = file.stat()
    except OSError:
        return None
    return seen.st_size, seen.st_mtime_ns


class _Rows:
    """A row of float32 a clip, (2, classes), appended to a file as it is known."""

    def __init__(self, folder: Path, digest: str, *, classes: int) -> None:
        self._file, self._told = folder / ANSWERS, folder / CLIPS_ASKED
        self._shape = (2, classes)
        self._bytes = 2 * classes * 4
        self._errors: dict[int, str] = {}
        self._calibrated: set[int] = set()
        told = json.loads(self._told.read_text("utf-8")) if self._told.exists() else {}
        if told.get("digest") == digest and self._file.exists():
            self._errors = {int(i): text for i, text in told["errors"].items()}
            self._calibrated = set(told.get("calibrated", ()))
            # What was cut off in the middle of a row is asked again.
            whole = self._file.stat().st_size // self._bytes * self._bytes
            os.truncate(self._file, whole)
        else:
            self._file.write_bytes(b"")
        self._digest = digest
        self._tell()

    @property
    def done(self) -> int:
        return self._file.stat().st_size // self._bytes

    def add(self, row: NDArray[np.float32]) -> None:
        with self._file.open("ab") as file:
            file.write(row.astype("<f4").tobytes())

    def add_calibrated(self, i: int) -> None:
        """Before its row: what is done twice does no harm, what is left out would."""
        self._calibrated.add(i)
        self._tell()

    def add_error(self, i: int, text: str) -> None:
        self._errors[i] = text
        self._tell()
        self.add(np.full(self._shape, np.nan, np.float32))

    def read(self) -> tuple[NDArray[np.float32], dict[int, str], set[int]]:
        values = np.fromfile(self._file, "<f4").astype(np.float32)
        return values.reshape(-1, *self._shape), self._errors, self._calibrated

    def _tell(self) -> None:
        temporary = self._told.with_suffix(".part")
        told = {
            "digest": self._digest,
            "errors": self._errors,
            "calibrated": sorted(self._calibrated),
        }
        temporary.write_text(json.dumps(told), "utf-8")
        os.replace(temporary, self._told)


def compare(answers: Answers) -> Accuracy:
    truth = answers.label_ids
    fp32_right = answers.fp32.argmax(1) == truth
    int8_right = answers.int8.argmax(1) == truth
    groups = [clip.group for clip in answers.clips]
    difference = int8_right.astype(np.float64) - fp32_right
    fp32_only = int((fp32_right & ~int8_right).sum())
    int8_only = int((int8_right & ~fp32_right).sum())
    fp32 = _model_accuracy(answers.fp32, truth, groups)
    int8 = _model_accuracy(answers.int8, truth, groups)
    return Accuracy(
        clips=len(truth),
        groups=len(set(groups) - {""}),
        fp32=fp32,
        int8=int8,
        agreement=agreement(answers.fp32, answers.int8, truth),
        difference=float(difference.mean()),
        difference_interval=group_interval(difference, groups),
        fp32_only=fp32_only,
        int8_only=int8_only,
        p=mcnemar(fp32_only, int8_only),
        classes=_class_changes(answers.labels, fp32.confusion, int8.confusion),
        flips=_flips(answers),
    )


def _model_accuracy(
    logits: NDArray[np.float32], truth: NDArray[np.int64], groups: list[str]
) -> ModelAccuracy:
    classes = logits.shape[1]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (truth, logits.argmax(1)), 1)
    right = logits.argmax(1) == truth
    # Stable: of equal logits the first label counts as better, as in WindowScores.top.
    best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    seen = confusion.sum(1) > 0
    interval = (
        group_interval(right.astype(np.float64), groups)
        if any(groups)
        else wilson(int(right.sum()), len(right))
    )
    return ModelAccuracy(
        top1=float(right.mean()),
        top1_interval=interval,
        top5=float((best == truth[:, None]).any(1).mean()),
        mean_class_recall=float((confusion.diagonal()[seen] / confusion.sum(1)[seen]).mean()),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def _class_changes(
    labels: tuple[str, ...],
    fp32: tuple[tuple[int, ...], ...],
    int8: tuple[tuple[int, ...], ...],
) -> tuple[ClassChange, ...]:
    rows = []
    for i, label in enumerate(labels):
        total = sum(fp32[i])
        if total:
            rows.append(ClassChange(label, total, fp32[i][i] / total, int8[i][i] / total))
    return tuple(rows)


def _flips(answers: Answers) -> tuple[Flip, ...]:
    """The worst first: where the score of FP32's answer fell most."""
    labels, best, other = answers.labels, answers.fp32.argmax(1), answers.int8.argmax(1)
    fp32, int8 = softmax(answers.fp32), softmax(answers.int8)
    flips = [
        Flip(
            path=answers.clips[i].name,
            label=answers.clips[i].label,
            fp32=labels[best[i]],
            int8=labels[other[i]],
            fp32_score=float(fp32[i, best[i]]),
            moved=float(fp32[i, best[i]] - int8[i, best[i]]),
        )
        for i in np.flatnonzero(best != other).tolist()
    ]
    return tuple(sorted(flips, key=lambda flip: -flip.moved)[:WORST_SHOWN])
