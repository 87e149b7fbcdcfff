"""The table of what each part is worth: rows are run once, and go on after a kill."""

import csv
from dataclasses import replace

import pytest
from click.testing import CliRunner
from fading_lamps import write_set

from ppsdk.errors import ModelError

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("matplotlib", reason="needs the extra 'train'")

from training import ablation  # noqa: E402
from training.ablation import ROWS, Row, as_table, read_notes, run_rows  # noqa: E402
from training.recipe import Recipe  # noqa: E402
from training.train import train  # noqa: E402

TINY = Recipe(epochs=1, batch_size=4, peak_rate=0.02, image_size=32, flip=False)
PLAIN = Row("plain", "1.0", {"num_segments": 4}, pretrained=False)
MIXED = Row("mixed", "+2.0", {"num_segments": 4, "videomix_alpha": 0.0}, pretrained=False)


@pytest.fixture(scope="module")
def lamps(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data") / "lamps", 5)


@pytest.mark.slow
def test_a_run_that_is_noted_is_not_run_again(lamps, tmp_path, monkeypatch):
    run_rows(lamps, tmp_path, TINY, init=None, seeds=1, rows=(PLAIN,))
    trained = []

    def counted(data, out, recipe, **kwargs):
        trained.append((recipe.videomix_alpha, recipe.seed))
        return train(data, out, recipe, **kwargs)

    monkeypatch.setattr(ablation, "train", counted)
    notes = run_rows(lamps, tmp_path, TINY, init=None, seeds=2, rows=(PLAIN, MIXED))
    assert trained == [(0.0, 0), (0.2, 1), (0.0, 1)]
    with notes.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["row"], row["seed"]) for row in rows] == [
        ("plain", "0"),
        ("mixed", "0"),
        ("plain", "1"),
        ("mixed", "1"),
    ]
    assert all(row["clips"] == "2" for row in rows)


def test_rows_that_differ_by_pretraining_alone(lamps, tmp_path):
    """The second was refused as a run of other weights that was to be gone on with."""
    weights = train(lamps, tmp_path / "before", replace(TINY, num_segments=4)).best_weights
    again = replace(PLAIN, name="again", pretrained=True)
    notes = run_rows(lamps, tmp_path / "out", TINY, init=weights, seeds=1, rows=(PLAIN, again))
    assert [note["row"] for note in read_notes(notes)] == ["plain", "again"]
    for folder in ("plain-0", "again-0"):
        left = {file.name for file in (tmp_path / "out" / folder).iterdir()}
        assert left == {"recipe.json", "log.csv", "tensorboard", "curves.png", "confusion.png"}


def test_rows_of_something_else_are_not_told_as_if_they_were_of_this(lamps, tmp_path):
    run_rows(lamps, tmp_path / "out", TINY, init=None, seeds=1, rows=(PLAIN,))
    others = write_set(tmp_path / "others", 6)
    for data, recipe, what in ((others, TINY, "clips"), (lamps, replace(TINY, epochs=2), "recipe")):
        with pytest.raises(ModelError, match=f"out: its rows are of other {what}: choose another"):
            run_rows(data, tmp_path / "out", recipe, init=None, seeds=1, rows=(PLAIN,))
    done = CliRunner().invoke(ablation.main, [str(others), str(tmp_path / "out")])
    assert done.exit_code == 1 and done.output.startswith("Error: ")
    assert len(done.output.splitlines()) == 1


def test_the_table_has_means_and_spreads():
    notes = [{"row": "plain", "seed": str(i), "top1": t} for i, t in enumerate(("0.5", "0.7"))]
    table = as_table(notes, (PLAIN, MIXED)).splitlines()
    assert table[2:] == ["| plain | 60.0 ± 14.1 | 2 | 1.0 |", "| mixed | not run | 0 | +2.0 |"]


def test_rows_without_a_backbone_are_left_out(lamps, tmp_path):
    needs = Row("needs", "", {}, pretrained=True)
    assert read_notes(run_rows(lamps, tmp_path, TINY, init=None, seeds=1, rows=(needs,))) == []


def test_the_rows_are_the_papers():
    assert len(ROWS) == 15 and len({ablation._slug(row.name) for row in ROWS}) == 15
    for row in ROWS:
        Recipe(**row.changes)
