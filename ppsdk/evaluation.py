"""How often a model is right on labelled clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppsdk.manifest import LabelledClip
from ppsdk.records import WindowScores


@dataclass(frozen=True, eq=False)
class Evaluation:
    """clips and their scores, in step. confusion: int64 (classes, classes), truth by prediction."""

    labels: tuple[str, ...]
    clips: tuple[LabelledClip, ...]
    scores: tuple[WindowScores, ...]

    @property
    def confusion(self) -> NDArray[np.int64]:
        matrix = np.zeros((len(self.labels), len(self.labels)), np.int64)
        for clip, scores in zip(self.clips, self.scores, strict=True):
            matrix[self.labels.index(clip.label), scores.label_id] += 1
        return matrix

    @property
    def correct(self) -> int:
        return int(np.trace(self.confusion))

    def top_accuracy(self, k: int) -> float:
        """The share of clips whose label is among the k best, 0 to 1."""
        hits = [
            clip.label in [label for label, _ in scores.top(k)]
            for clip, scores in zip(self.clips, self.scores, strict=True)
        ]
        return float(np.mean(hits))

    def per_class(self) -> dict[str, dict[str, float]]:
        """For each label that occurs: its clips, how many are right, and the recall."""
        return {
            label: {"clips": int(row.sum()), "correct": int(row[i]), "recall": row[i] / row.sum()}
            for i, (label, row) in enumerate(zip(self.labels, self.confusion, strict=True))
            if row.sum()
        }

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-ready values, the logits of every clip included."""
        return {
            "clips": len(self.clips),
            "correct": self.correct,
            "top1": round(self.top_accuracy(1), 6),
            "top5": round(self.top_accuracy(5), 6),
            "per_class": {
                label: {**row, "recall": round(row["recall"], 6)}
                for label, row in self.per_class().items()
            },
            "labels": list(self.labels),
            "confusion": self.confusion.tolist(),
            "predictions": [
                {
                    "path": clip.name,
                    "label": clip.label,
                    "predicted": scores.label,
                    "score": round(scores.score, 6),
                    "logits": [round(float(x), 6) for x in scores.logits],
                }
                for clip, scores in zip(self.clips, self.scores, strict=True)
            ],
        }


def as_text(evaluation: Evaluation) -> str:
    """For people: accuracies, recall of each class, and the confusion matrix where it fits."""
    e = evaluation
    width = max(len(label) for label in e.labels)
    lines = [
        f"clips  {len(e.clips)}",
        f"top-1  {e.top_accuracy(1):.4f}  ({e.correct} of {len(e.clips)})",
        f"top-5  {e.top_accuracy(5):.4f}",
        "",
        "recall by class",
    ]
    for label, row in e.per_class().items():
        lines.append(
            f"  {label:{width}}  {row['recall']:.4f}  ({row['correct']} of {row['clips']})"
        )
    if len(e.labels) <= 20:
        lines += ["", "confusion (rows: truth, columns: prediction, in the order above)"]
        lines += _matrix_lines(e.labels, e.confusion, width)
    return "\n".join(lines)


def _matrix_lines(labels: Sequence[str], matrix: NDArray[np.int64], width: int) -> list[str]:
    cell = len(str(matrix.max())) + 1
    return [
        f"  {label:{width}} " + "".join(f"{count:{cell}d}" for count in row)
        for label, row in zip(labels, matrix, strict=True)
    ]
