"""`python -m training.demo_model`, from its scenes to the folder that is shipped."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("nncf", reason="needs the extra 'convert'")

from ppsdk import Recognizer  # noqa: E402
from ppsdk.demo.cell import LABELS  # noqa: E402
from training import demo_model, work_cell  # noqa: E402
from training.network import load_network  # noqa: E402


@pytest.mark.slow
def test_the_bundled_folder_is_made_from_nothing(tmp_path, monkeypatch):
    """All its stages, one into the other, with a few scenes and pictures too small to learn of."""
    for module in (work_cell, demo_model):
        monkeypatch.setattr(module, "SCENES", 6)
        monkeypatch.setattr(module, "HELD_OUT", 2)
        for name in ("PLACES", "MOVES", "ACTIONS"):
            small = replace(getattr(module, name), epochs=1, image_size=32)
            monkeypatch.setattr(module, name, small)
    monkeypatch.setattr(demo_model, "UNSEEN", range(1))
    told = CliRunner().invoke(demo_model.main, [str(tmp_path)], catch_exceptions=False)
    scores = json.loads(told.stdout[told.stdout.index("{") :])
    assert set(scores) == {"FP32", "INT8"}
    bundled = tmp_path / "bundled"
    assert {file.name for file in bundled.iterdir()} >= {
        "model.xml",
        "model.bin",
        "work_cell.safetensors",
        "MODEL_CARD.md",
    }
    with Recognizer(bundled) as recognizer:
        assert recognizer.labels == LABELS
        assert recognizer.facts.precision == "INT8"
    assert load_network(bundled / "work_cell.safetensors").options.num_classes == len(LABELS)
    card = (bundled / "MODEL_CARD.md").read_text()
    assert f"{100 * scores['INT8']['window_top1']:.1f} % of {scores['INT8']['windows']}" in card
    # What was learned is kept: the same command again is over soon, with the same result.
    monkeypatch.setattr("training.fit.train_epoch", lambda *a, **k: pytest.fail("learned again"))
    told = CliRunner().invoke(demo_model.main, [str(tmp_path)], catch_exceptions=False)
    assert json.loads(told.stdout[told.stdout.index("{") :]) == scores
