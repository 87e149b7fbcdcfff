"""Lists of labelled clips: `manifest.csv` with path, label and, maybe, group, split, start_s and
end_s (an interval of a long recording), and roi ("x0 y0 x1 y1" in fractions of the picture).
"""

from __future__ import annotations

import csv
import math
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ppsdk.errors import VideoError
from ppsdk.preprocess import check_roi
from ppsdk.records import Roi

# What is taken for a video where a folder of clips is given.
VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".mkv", ".mov", ".webm", ".gif", ".mpg", ".ts", ".wmv", ".m4v", ".mpeg"),
    *(".flv", ".m2ts", ".mts", ".3gp", ".ogv"),
)

TOGETHER = 32  # clips of 16 pictures of 224 x 224 take 80 MB


@dataclass(frozen=True)
class LabelledClip:
    """name: the path as the manifest has it. path: where the file is. group: clips of one take.

    span_s: (start_s, end_s) of an interval in a long recording; None is the whole file.
    """

    name: str
    path: Path
    label: str
    group: str = ""
    split: str = ""
    span_s: tuple[float, float] | None = None
    roi: Roi | None = None

    def window_s(self, length_s: float) -> tuple[float, float] | None:
        """The window of length_s in the middle of the interval; None for a whole file. It may reach
        over the recording's end, which is not known here.
        """
        if self.span_s is None:
            return None
        start_s = max(0.0, sum(self.span_s) / 2 - length_s / 2)
        return start_s, start_s + length_s


def composed(label: str) -> str:
    """Without blanks around it, and with accents composed (NFC): macOS decomposes names of folders,
    editors do not.
    """
    return unicodedata.normalize("NFC", label.strip())


def by_recording(clips: Sequence[LabelledClip]) -> list[list[int]]:
    """Positions in clips: those of the same file and region together, to be decoded at once; no
    more than TOGETHER, whose pictures are held meanwhile.
    """
    of_files: dict[tuple[Path, Roi | None], list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        of_files[clip.path, clip.roi].append(i)
    return [
        of_file[start : start + TOGETHER]
        for of_file in of_files.values()
        for start in range(0, len(of_file), TOGETHER)
    ]


def read_manifest(
    manifest: Path, *, split: str | None = None, labels: tuple[str, ...] | None = None
) -> list[LabelledClip]:
    """The clips of one split, or all of them; paths are relative to the manifest's folder, which
    may be given in its place.

    Raises VideoError for a manifest that cannot be read, has no such clips, or has labels that are
    not among `labels`.
    """
    if manifest.is_dir():
        manifest = manifest / "manifest.csv"
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"{manifest}: cannot read the manifest ({what})") from None
    columns = set(rows[0]) if rows else set()
    if not {"path", "label"} <= columns:
        raise VideoError(f"{manifest}: must be CSV with the columns path and label, and some rows")
    if split is not None and "split" not in columns:
        raise VideoError(f"{manifest}: has no column split: cannot choose split {split!r}")
    clips, problems = [], []
    for number, row in enumerate(rows, start=2):
        if not row["path"]:
            continue
        try:
            clips.append(_clip_of_row(row, manifest.parent))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        more = f" and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise VideoError(f"{manifest}: {'; '.join(problems[:10])}{more}")
    splits = sorted({clip.split for clip in clips})
    clips = [clip for clip in clips if split in (None, clip.split)]
    if not clips:
        where = "" if split is None else f" in split {split!r}: it has {', '.join(splits)}"
        raise VideoError(f"{manifest}: no clips{where}")
    unknown = sorted({clip.label for clip in clips} - set(labels or [c.label for c in clips]))
    if unknown:
        raise VideoError(
            f"{manifest}: labels {', '.join(map(repr, unknown[:5]))} are not among the model's: "
            f"{', '.join((labels or ())[:10])}"
        )
    return clips


def _clip_of_row(row: dict[str, str], folder: Path) -> LabelledClip:
    roi = _numbers(row, "roi", 4)
    check_roi(roi)  # type: ignore[arg-type]
    start, end = _numbers(row, "start_s", 1), _numbers(row, "end_s", 1)
    if (start is None) != (end is None):
        raise ValueError("start_s and end_s: must both be given, or neither")
    span_s = None if start is None or end is None else (start[0], end[0])
    if span_s is not None and not 0 <= span_s[0] < span_s[1]:
        raise ValueError(
            f"start_s {span_s[0]:g}, end_s {span_s[1]:g}: must be 0 <= start_s < end_s"
        )
    return LabelledClip(
        name=row["path"],
        path=folder / row["path"],
        label=composed(row["label"] or ""),
        group=(row.get("group") or "").strip(),
        split=(row.get("split") or "").strip(),
        span_s=span_s,
        roi=roi,  # type: ignore[arg-type]
    )


def _numbers(row: dict[str, str], column: str, count: int) -> tuple[float, ...] | None:
    text = (row.get(column) or "").strip()
    if not text:
        return None
    try:
        values = tuple(float(part) for part in text.split())
    except ValueError:
        values = ()
    if len(values) != count or not all(math.isfinite(value) for value in values):
        what = "a number" if count == 1 else f"{count} numbers with spaces between"
        raise ValueError(f"{column} is {text!r}: must be {what}")
    return values
