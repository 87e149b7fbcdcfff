"""Accuracies by hand."""

from pathlib import Path

import numpy as np
import pytest

from ppsdk import WindowScores
from ppsdk.evaluation import Evaluation, as_text
from ppsdk.manifest import LabelledClip

LABELS = ("a", "b", "c")


def evaluation():
    rows = [("a", [3, 1, 0]), ("a", [1, 3, 0]), ("b", [0, 2, 1]), ("b", [1, 2, 3])]
    clips = tuple(
        LabelledClip(f"{i}.mp4", Path(f"{i}.mp4"), r[0], "", "") for i, r in enumerate(rows)
    )
    scores = tuple(
        WindowScores(np.float32(logits), LABELS, 0, 1, np.arange(16)) for _, logits in rows
    )
    return Evaluation(LABELS, clips, scores)


def test_figures_by_hand():
    told = evaluation()
    assert told.confusion.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert (told.correct, told.top_accuracy(1), told.top_accuracy(2)) == (2, 0.5, 1.0)
    assert told.per_class() == {
        "a": {"clips": 2, "correct": 1, "recall": pytest.approx(0.5)},
        "b": {"clips": 2, "correct": 1, "recall": pytest.approx(0.5)},
    }


def test_text_for_people():
    text = as_text(evaluation())
    assert "top-1  0.5000  (2 of 4)" in text and "  b  0.5000  (1 of 2)" in text
    assert "  a  1 1 0" in text
