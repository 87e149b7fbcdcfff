"""Lists of labelled clips: `manifest.csv` with path, label and, maybe, group and split."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from ppsdk.errors import VideoError


@dataclass(frozen=True)
class LabelledClip:
    """name: the path as the manifest has it. path: where the file is. group: clips of one take."""

    name: str
    path: Path
    label: str
    group: str
    split: str


def read_manifest(
    manifest: Path, *, split: str | None = None, labels: tuple[str, ...] | None = None
) -> list[LabelledClip]:
    """The clips of one split, or all of them; paths are relative to the manifest's folder.

    Raises VideoError for a manifest that cannot be read, has no such clips, or has labels that are
    not among `labels`.
    """
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
    clips = [
        LabelledClip(
            name=row["path"],
            path=manifest.parent / row["path"],
            label=row["label"] or "",
            group=row.get("group") or "",
            split=row.get("split") or "",
        )
        for row in rows
        if row["path"]
    ]
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
