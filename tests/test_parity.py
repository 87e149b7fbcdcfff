"""The product's promise: PaddleVideo's own logits, from checkpoint and video to logits."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import SYNTH

from ppsdk import Recognizer

CROPS_BOUND, FILE_BOUND = 1e-4, 5e-3
# name in golden.json: segments, where nothing in the file tells them
CHECKPOINTS = {"dml_16f_lta": None, "plain_16f": 16, "plain_8f_lta": None}


def test_the_rendered_clip(seeded_dir):
    """Golden logits of the clip that may be shipped, so that a newcomer proves the same."""
    from ppsdk.selftest import HERE

    told = np.float32(json.loads((HERE / "golden.json").read_text())["logits"])
    with Recognizer(seeded_dir) as recognizer:
        seen = recognizer.classify(SYNTH / "rot90.mp4", sampling="paddlevideo")
    assert np.abs(seen.logits - told).max() <= FILE_BOUND
    assert seen.label_id == told.argmax()


@pytest.fixture(scope="module", params=CHECKPOINTS)
def golden(request, shared, tmp_path_factory):
    from converters.convert import ConvertOptions, convert

    content = json.loads((shared / "parity" / "golden.json").read_text())
    (checkpoint,) = (c for c in content["checkpoints"] if c["name"] == request.param)
    folder = tmp_path_factory.mktemp(request.param)
    make = [sys.executable, shared / "parity" / "make_checkpoint.py", folder / "x.pdparams"]
    subprocess.run([*make, *checkpoint["make"].split()], check=True)
    labels = folder / "labels.txt"
    labels.write_text("\n".join(f"class_{i}" for i in range(checkpoint["classes"])))
    options = ConvertOptions(labels, num_segments=CHECKPOINTS[request.param])
    convert(folder / "x.pdparams", folder / "model", options)
    with Recognizer(folder / "model", num_threads=1) as recognizer:
        yield recognizer, {clip: np.float32(x) for clip, x in checkpoint["logits"].items()}


def test_crops_to_logits(golden, shared):
    recognizer, told = golden
    checked = 0
    for clip, logits in told.items():
        stem = clip.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        file = shared / "parity" / f"crop_{stem}.npz"
        if not file.exists() or recognizer.num_segments != 16:
            continue
        crops = np.load(file)["crops"]
        assert np.abs(recognizer.logits(crops) - logits).max() <= CROPS_BOUND, clip
        checked += 1
    assert checked == (3 if recognizer.num_segments == 16 else 0)


def test_file_to_logits(golden, shared):
    recognizer, told = golden
    for clip, logits in told.items():
        seen = recognizer.classify(shared / "data" / clip, sampling="paddlevideo")
        assert np.abs(seen.logits - logits).max() <= FILE_BOUND, clip
        assert seen.label_id == logits.argmax(), clip
    assert len(told) == 5
