"""INT8 is INT8: layers are really quantized, but not the gates; and nothing else gets that name."""

import json
import shutil
from dataclasses import replace

import numpy as np
import openvino as ov
import openvino.properties.hint as hints
import pytest

pytest.importorskip("nncf", reason="needs the extra 'convert'")

from conftest import SYNTH  # noqa: E402
from test_cli import assert_refused, run  # noqa: E402

from converters import quantize as quantize_module  # noqa: E402
from converters.agreement import Target, all_logits  # noqa: E402
from converters.calibration import HeldOut  # noqa: E402
from converters.quantize import (  # noqa: E402
    ClipFiles,
    QuantizeOptions,
    count_quantized,
    quantize,
    quantize_with_files,
)
from converters.recipes import RECIPE_NAMES, RECIPES, quantized_by  # noqa: E402
from converters.sensitivity import quantized_layers, released  # noqa: E402
from ppsdk import ModelError, Recognizer, VideoError  # noqa: E402
from ppsdk.model import load_model, save_model, with_uint8_input  # noqa: E402
from ppsdk.preprocess import normalize  # noqa: E402

# A seeded network answers noise with nearly equal scores: labels may flip, scores hardly move.
LOOSE = Target(max_drop=1, min_agreement=0)
MIXED = QuantizeOptions(LOOSE, recipe="mixed")


def noise(count):
    """Clips for tiny_dir."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def clips():
    return noise(16)


def test_convolutions_are_quantized_and_gates_are_not(tiny_int8_dir):
    model, facts = load_model(tiny_int8_dir)
    assert facts.precision == "INT8" and count_quantized(model) >= 40
    layers = set(quantized_layers(model))
    assert len(layers) > 35
    assert {"stem.0", "stages.2.0.dw_conv", "stages.2.3.pw_conv_1", "last_conv"} <= layers
    assert not layers & {"consensus", "fc", "global_attention.fc"}
    squeezes = [name for name in layers if ".se.conv" in name]
    assert len(squeezes) == 12
    assert not [name for name in squeezes if quantized_layers(model)[name]], "their weights alone"


def executed(folder):
    """What the CPU really runs: its graph's nodes by name."""
    model, facts = load_model(folder)
    with_uint8_input(model, facts)
    config = {hints.inference_precision: ov.Type.f32}
    runtime = ov.Core().compile_model(model, "CPU", config).get_runtime_model()
    return {node.get_friendly_name(): node for node in runtime.get_ops()}


def told(node, what):
    return str(node.get_rt_info()[what].value)


def test_the_cpu_computes_in_8_bits_but_for_squeeze_blocks_attention_and_classifier(tiny_int8_dir):
    """One stray float constant on the way, such as a zero of the shift, and the layers behind it
    are executed in float without a word.
    """
    nodes = executed(tiny_int8_dir)
    kinds = {name: told(node, "layerType") for name, node in nodes.items()}
    precisions = {name: told(node, "runtimePrecision") for name, node in nodes.items()}
    heavy = [name for name, kind in kinds.items() if kind in ("Convolution", "GroupConvolution")]
    squeezes = {f"stages.2.{i}.se.conv{part}" for i in range(6) for part in (1, 2)}
    assert {name for name in heavy if precisions[name] not in ("u8", "i8")} == squeezes
    assert len(heavy) == 1 + 13 + 13 + 6 + 12 + 1
    parts = ("", ".previous", ".next", ".concat")
    assert {precisions[f"temporal_shift.3{part}"] for part in parts} == {"u8"}


def test_pixels_reach_the_first_convolution_without_being_moved(tiny_dir, tiny_int8_dir):
    for folder in (tiny_dir, tiny_int8_dir):
        node, path = executed(folder)["stem.0"], []
        while node.inputs():
            node = node.input_value(0).get_node()
            path.append(node)
        kinds = [told(node, "layerType") for node in path]
        assert kinds == ["Reorder", "Reshape", "Subgraph", "Reshape", "Input"], folder
        assert path[0].get_friendly_name().endswith("_fake"), "another name for the same memory"


def test_it_answers_as_the_float_model_does_and_is_smaller(tiny_dir, tiny_int8_dir, clips):
    with Recognizer(tiny_dir) as exact, Recognizer(tiny_int8_dir) as quick:
        one, other = exact.logits(clips[0]), quick.logits(clips[0])
    assert np.abs(one - other).max() < 0.3 * np.abs(one).max()
    sizes = [(folder / "model.bin").stat().st_size for folder in (tiny_dir, tiny_int8_dir)]
    assert 0.25 * sizes[0] < sizes[1] < 0.26 * sizes[0]


def test_what_was_done_is_kept_in_the_model(tiny_int8):
    _, facts = load_model(tiny_int8.folder)
    assert (facts.recipe, facts.calibration_clips) == ("mixed", 16)
    assert len(set(facts.calibrated_with)) == 16
    (trial,) = tiny_int8.trials
    assert trial.recipe == "mixed" and not trial.missed and trial.seen.clips == 16


@pytest.mark.slow
def test_the_same_clips_in_another_order_or_repeated_give_the_same_model(
    tiny_dir, tiny_int8_dir, clips, tmp_path
):
    again = quantize(tiny_dir, [*clips[::-1], clips[3]], tmp_path / "again", MIXED)
    assert again.facts.calibration_clips == 16
    weights = [(folder / "model.bin").read_bytes() for folder in (tiny_int8_dir, again.folder)]
    assert weights[0] == weights[1]


def test_what_cannot_be_quantized_is_refused(tiny_dir, tiny_int8_dir, clips, tmp_path):
    with pytest.raises(ModelError, match="is INT8 already"):
        quantize(tiny_int8_dir, clips, tmp_path / "x")
    with pytest.raises(ModelError, match="no calibration clips"):
        quantize(tiny_dir, [], tmp_path / "x")
    with pytest.raises(ModelError, match="exists: choose another folder"):
        quantize(tiny_dir, clips, tiny_int8_dir, MIXED)
    with pytest.raises(ModelError, match="recipe is 'best': must be one of performance, mixed"):
        QuantizeOptions(recipe="best")
    assert not (tmp_path / "x").exists()


def test_what_is_wrong_is_told_before_clips_are_decoded(
    tiny_dir, tiny_int8_dir, folder_of_clips, tmp_path
):
    def decoding(items, label):
        pytest.fail(f"{label}: decoded before it was refused")

    def refused(model_dir, says, **files):
        with pytest.raises((ModelError, VideoError), match=says):
            given = ClipFiles(folder_of_clips, **files)
            quantize_with_files(model_dir, given, tmp_path / "x", progress=decoding)

    (tmp_path / "m.csv").write_text("path,label\na.mp4,jump\n")
    refused(tiny_int8_dir, "is INT8 already")
    refused(tiny_dir, "none.csv", held_out=tmp_path / "none.csv")
    refused(
        tiny_dir, "cannot choose split 'tset'", held_out=tmp_path / "m.csv", held_out_split="tset"
    )
    refused(tiny_dir, "'jump' are not among the model's", held_out=tmp_path / "m.csv")


def test_an_int8_graph_under_an_fp32_name_is_refused(tiny_dir, tiny_int8_dir, clips, tmp_path):
    model, facts = load_model(tiny_int8_dir)
    (tmp_path / "lie").mkdir()
    save_model(model, replace(facts, precision="FP32"), tmp_path / "lie")
    with pytest.raises(ModelError, match="is quantized already"):
        quantize(tmp_path / "lie", clips, tmp_path / "x")


def test_a_target_out_of_reach_is_an_error_that_says_how_far_each_recipe_came(
    tiny_dir, clips, tmp_path
):
    impossible = QuantizeOptions(replace(LOOSE, max_score_mean=0.0), recipe="mixed", force=True)
    with pytest.raises(ModelError, match=r"mixed: mean score difference 0\.0\d+ \(asked <= 0\)"):
        quantize(tiny_dir, clips[:2], tmp_path / "x", impossible)
    assert not (tmp_path / "x").exists()


def test_a_model_that_stayed_float_is_not_saved(tiny_dir, clips, tmp_path, monkeypatch):
    """NNCF gives back the float model, without a word, where its scope leaves nothing to quantize:
    the real NNCF is asked to leave everything.
    """
    import nncf

    everything = nncf.IgnoredScope(patterns=[".*"], validate=False)

    def leave_all(recipe, model, some):
        return nncf.quantize(model, nncf.Dataset(some, normalize), ignored_scope=everything)

    monkeypatch.setattr(quantize_module, "quantized_by", leave_all)
    with pytest.raises(ModelError, match="left every layer in float"):
        quantize(tiny_dir, clips[:2], tmp_path / "x", replace(MIXED, force=True))
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_recipes_are_tried_in_turn_until_one_will_do(tiny_dir, clips, tmp_path):
    """The first one asks more than "performance" gives: the figures of both are told."""
    model, facts = load_model(tiny_dir)
    exact = all_logits(model, facts, clips)
    by_recipe = {}
    for recipe in RECIPES[:2]:
        rough = all_logits(quantized_by(recipe, model, clips), facts, clips)
        by_recipe[recipe.name] = float(np.abs(exact - rough).mean())
    assert tuple(by_recipe) == RECIPE_NAMES[:2]
    done = quantize(tiny_dir, clips, tmp_path / "x", QuantizeOptions(LOOSE))
    assert [trial.recipe for trial in done.trials] == ["performance"]


@pytest.mark.slow
def test_held_out_labels_decide_where_there_are_any(tiny_dir, clips, tmp_path):
    others = [255 - clip for clip in clips[:4]]
    with Recognizer(tiny_dir) as exact:
        right = [int(exact.logits(clip).argmax()) for clip in others]
    wrong = np.array([(label + 1) % 5 for label in right])
    done = quantize(tiny_dir, clips, tmp_path / "x", MIXED, held_out=HeldOut(others, wrong))
    seen = done.trials[0].seen
    assert seen.clips == 4 and seen.fp32_right == 0.0


def test_a_released_layer_is_the_float_one(tiny_dir, tiny_int8_dir, clips):
    """With all layers released the model is FP32 again, but for weights stored as float16."""
    fp32, facts = load_model(tiny_dir)
    int8, _ = load_model(tiny_int8_dir)
    layers = list(quantized_layers(int8))
    exact = all_logits(fp32, facts, clips[:2])
    free = all_logits(released(int8, fp32, layers), facts, clips[:2])
    assert np.abs(free - exact).max() < 2e-3
    one = all_logits(released(int8, fp32, layers[:1]), facts, clips[:2])
    assert not np.array_equal(one, all_logits(int8, facts, clips[:2]))


@pytest.fixture(scope="module")
def folder_of_clips(tmp_path_factory):
    """Eighteen clips to calibrate with and two to judge by: a recording, cut at different times."""
    folder = tmp_path_factory.mktemp("clips")
    rows = ["path,label,split,start_s,end_s"]
    for i in range(20):
        split = "train" if i < 18 else "test"
        rows.append(f"a.mp4,class_00{i % 5},{split},{0.08 * i:.2f},{0.08 * i + 1:.2f}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    shutil.copy(SYNTH / "base_64.mp4", folder / "a.mp4")
    return folder


@pytest.mark.slow
def test_the_command_that_ranks_layers(tiny_dir, tiny_int8_dir, folder_of_clips, tmp_path):
    """As docs/int8.md has it."""
    out = tmp_path / "report"
    done = run("sensitivity", tiny_dir, tiny_int8_dir, folder_of_clips, out, "--num-clips", 2)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    layers = json.loads((out / "sensitivity.json").read_text())["layers"]
    moved = [layer["alone"]["score_mean"] for layer in layers]
    assert len(moved) > 30 and moved == sorted(moved, reverse=True)
    assert layers[0]["layer"] in done.stdout
    assert (out / "sensitivity.svg").read_text().startswith("<svg")


@pytest.mark.slow
def test_the_command(tiny_dir, folder_of_clips, tmp_path):
    loose = ["--max-drop", 1, "--min-agreement", 0, "--recipe", "mixed"]
    given = ["quantize", tiny_dir, folder_of_clips, tmp_path / "int8", *loose]
    few = "14 different calibration clips: 16 or more are needed"
    assert_refused(run(*given, "--num-clips", 14), few)
    done = run(*given, "--num-clips", 14, "--force")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no progress bar in a pipe"
    assert "calibrated with 14 different clips" in done.stdout
    assert "held out   2 clips" in done.stdout
    told = json.loads(run("inspect", tmp_path / "int8", "--json").stdout)
    assert (told["precision"], told["calibration_clips"]) == ("INT8", 14)


@pytest.mark.slow
def test_convert_and_quantize_in_one_go(folder_of_clips, tmp_path):
    from converters.seeded import seeded_weights, write_pdparams

    write_pdparams(tmp_path / "w.pdparams", seeded_weights(5, num_segments=4, num_classes=5))
    (tmp_path / "labels.txt").write_text("\n".join(f"class_{i:03d}" for i in range(5)))
    given = ["convert", tmp_path / "w.pdparams", tmp_path / "int8", "--length-s", 1]
    given += ["--labels", tmp_path / "labels.txt", "--int8", folder_of_clips]
    done = run(*given)
    assert done.returncode == 0, done.stderr
    assert "verified   max_abs_diff" in done.stdout and "meets the target" in done.stdout
    told = json.loads(run("inspect", tmp_path / "int8", "--json").stdout)
    assert (told["precision"], told["calibration_clips"]) == ("INT8", 18)
    assert_refused(run(*given), "exists: choose another folder")
