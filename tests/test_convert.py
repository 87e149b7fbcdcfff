"""A checkpoint becomes a model folder that is whole and right, or nothing at all."""

import json
import pickle
import shutil

import numpy as np
import pytest
from conftest import SHARED

from converters.convert import ConvertOptions, convert
from converters.fuse import fuse_conv_bn, merge_branches
from converters.seeded import seeded_weights, write_pdparams
from ppsdk import ModelError, Recognizer
from ppsdk.model import load_model

SEEDED = seeded_weights(3, num_segments=8, num_classes=5)
BLOCKS = [f"stages.{stage}.{i}" for stage, depth in ((2, 6), (3, 2)) for i in range(depth)]
LABELS = [f"class_{i}" for i in range(5)]


def with_merged(arrays, blocks):
    """What a state dict looks like after Paddle's rep(): dw_conv holds the merged branches."""
    merged = dict(arrays)
    for block in blocks:
        branches = []
        for i in range(3):
            name = f"{block}.dw_conv_list.{i}"
            if f"{name}.conv.weight" in arrays:
                parts = ("conv.weight", "bn.weight", "bn.bias", "bn._mean", "bn._variance")
                values = (arrays[f"{name}.{part}"].astype(float) for part in parts)
                branches.append(fuse_conv_bn(*values))
        kernel, bias = merge_branches(branches, 5)
        merged[f"{block}.dw_conv.weight"] = kernel.astype(np.float32)
        merged[f"{block}.dw_conv.bias"] = bias.astype(np.float32)
    return merged


def without_branches(arrays, blocks):
    return {
        name: array
        for name, array in arrays.items()
        if not any(name.startswith(f"{block}.dw_conv_list.") for block in blocks)
    }


@pytest.fixture
def run(tmp_path):
    """Convert arrays in tmp_path; gives the conversion."""

    def run(arrays, **options):
        write_pdparams(tmp_path / "x.pdparams", arrays, prefix="backbone.")
        (tmp_path / "labels.txt").write_text("\n".join(LABELS))
        chosen = ConvertOptions(tmp_path / "labels.txt", **options)
        return convert(tmp_path / "x.pdparams", tmp_path / "out", chosen)

    return run


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def told(tmp_path_factory, crops):
    folder = tmp_path_factory.mktemp("told")
    write_pdparams(folder / "x.pdparams", SEEDED)
    (folder / "labels.txt").write_text("\n".join(LABELS))
    convert(folder / "x.pdparams", folder / "out", ConvertOptions(folder / "labels.txt"))
    with Recognizer(folder / "out") as recognizer:
        return recognizer.logits(crops)


@pytest.mark.parametrize(
    ("arrays", "bound"),
    [
        (with_merged(SEEDED, BLOCKS), 1e-6),  # already fused: not fused twice
        (without_branches(with_merged(SEEDED, BLOCKS), BLOCKS), 1e-4),
        (without_branches(with_merged(SEEDED, BLOCKS[::2]), BLOCKS[::2]), 1e-4),  # mixed
        ({k: v for k, v in SEEDED.items() if "dw_conv.bias" not in k}, 1e-6),  # no stale bias
        ({k: v.astype(np.float64) for k, v in SEEDED.items()}, 1e-6),
        ({k: np.asfortranarray(v).astype(">f4") for k, v in SEEDED.items()}, 1e-6),
        ({k: v.astype(np.float16) for k, v in SEEDED.items()}, 2e-2),
    ],
    ids=["fused", "deployed", "mixed", "no-stale-bias", "float64", "fortran-big-endian", "float16"],
)
def test_forms_of_the_same_weights_give_the_same_logits(run, told, crops, arrays, bound):
    conversion = run(arrays)
    assert conversion.max_abs_diff <= 1e-4
    with Recognizer(conversion.folder) as recognizer:
        assert np.abs(recognizer.logits(crops) - told).max() <= bound


def test_the_model_tells_what_it_is(run):
    _, facts = load_model(run(SEEDED, length_s=2.0).folder)
    assert facts.labels == tuple(LABELS)
    assert (facts.num_segments, facts.image_size, facts.short_side) == (8, 224, 256)
    assert (facts.length_s, facts.stride_s) == (2.0, 1.0)
    assert (facts.precision, facts.has_lta, facts.shift_stages) == ("FP32", True, (3,))
    assert facts.source == "x.pdparams" and len(facts.source_sha256) == 64
    assert facts.mean == (0.485, 0.456, 0.406) and facts.std == (0.229, 0.224, 0.225)


def test_weights_are_saved_uncompressed(run):
    folder = run(SEEDED).folder
    assert sorted(path.name for path in folder.iterdir()) == ["model.bin", "model.xml"]
    text = (folder / "model.xml").read_text()
    assert 'element_type="f16"' not in text
    assert (folder / "model.bin").stat().st_size > 4 * 5_000_000


def test_labels_with_any_characters_survive(tmp_path):
    labels = ["<b>&\"'", "视频 \\n", "a\tb", "100 %", "{}"]
    write_pdparams(tmp_path / "x.pdparams", SEEDED)
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    options = ConvertOptions(tmp_path / "labels.json")
    folder = convert(tmp_path / "x.pdparams", tmp_path / "out", options).folder
    assert load_model(folder)[1].labels == tuple(labels)


def test_an_existing_folder_is_kept_without_force(run, tmp_path):
    run(SEEDED)
    before = (tmp_path / "out" / "model.xml").read_bytes()
    other = seeded_weights(4, num_segments=8, num_classes=5)
    with pytest.raises(ModelError, match="out: exists.*--force"):
        run(other)
    assert (tmp_path / "out" / "model.xml").read_bytes() == before
    run(other, force=True)
    assert (tmp_path / "out" / "model.xml").read_bytes() != before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.txt", "out", "x.pdparams"]


def test_force_does_not_replace_what_is_no_model(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelError, match="not a model folder"):
        run(SEEDED, force=True)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_a_refusal_leaves_nothing(run, tmp_path):
    with pytest.raises(ModelError, match="2 missing: fc.weight, fc.bias"):
        run({k: v for k, v in SEEDED.items() if not k.startswith("fc.")})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.txt", "x.pdparams"]


def test_the_verifier_catches_a_wrong_graph(run, tmp_path, monkeypatch):
    """A mirrored shift, as the original TSM code has it, must not be saved."""
    from converters import convert as module

    def mirrored(fused, architecture):
        fused = dict(fused)
        for name in ("stages.2.0.dw_conv.weight", "stages.2.0.dw_conv.bias"):
            swapped = fused[name].copy()
            swapped[:32], swapped[32:64] = fused[name][32:64], fused[name][:32]
            fused[name] = swapped
        return build(fused, architecture)

    build = module.build_model
    monkeypatch.setattr(module, "build_model", mirrored)
    with pytest.raises(ModelError, match="the fused graph differs from the network by"):
        run(SEEDED)
    assert not (tmp_path / "out").exists()


def test_weights_that_overflow_are_refused(run):
    with pytest.raises(ModelError, match="logits are not finite"):
        run(SEEDED | {"last_conv.weight": np.full((1280, 1024, 1, 1), 3e38, np.float32)})


def save_safetensors(path, arrays, **metadata):
    numpy_format = pytest.importorskip("safetensors.numpy")
    numpy_format.save_file(arrays, path, metadata)
    return path


def test_safetensors_metadata_are_obeyed(tmp_path):
    no_lta = seeded_weights(3, num_classes=5, lta=False)
    path = save_safetensors(
        tmp_path / "x.safetensors",
        no_lta,
        num_segments="8",
        shift_stages="[3, 4]",
        labels=json.dumps(LABELS),
        length_s="2.5",
        stride_s="0.5",
        image_size="112",
        format="pt",
        provenance="a test",
    )
    facts = load_model(convert(path, tmp_path / "out", ConvertOptions()).folder)[1]
    assert (facts.num_segments, facts.shift_stages) == (8, (3, 4))
    assert (facts.length_s, facts.stride_s) == (2.5, 0.5)
    assert (facts.image_size, facts.short_side) == (112, 128)
    assert facts.labels == tuple(LABELS)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"num_seg": "8"}, "'num_seg' = '8' is not understood: accepted are num_segments, "),
        ({"num_segments": "eight"}, "'num_segments' = 'eight': must be a whole number"),
        ({"num_segments": "16"}, "its metadata says 16, its temporal attention says 8"),
        ({"shift_stages": "[5]"}, "must be a JSON list of stages 1 to 4"),
        ({"shift_stages": "3"}, "must be a JSON list of stages 1 to 4"),
        ({"length_s": "-1"}, "must be seconds above 0"),
        ({"labels": '["a"]'}, "1 labels"),
        ({}, "--labels FILE is needed"),
    ],
)
def test_metadata_that_contradict_are_refused_by_name(tmp_path, metadata, says):
    path = save_safetensors(tmp_path / "x.safetensors", SEEDED, **metadata)
    with pytest.raises(ModelError, match=says):
        convert(path, tmp_path / "out", ConvertOptions())
    assert not (tmp_path / "out").exists()


def test_labels_must_be_those_it_was_trained_with(tmp_path):
    path = save_safetensors(tmp_path / "x.safetensors", SEEDED, labels=json.dumps(LABELS))
    (tmp_path / "labels.txt").write_text("\n".join(reversed(LABELS)))
    with pytest.raises(ModelError, match="not the labels that"):
        convert(path, tmp_path / "out", ConvertOptions(tmp_path / "labels.txt"))


def _variants():
    """The variants of ../shared/cases/ckpts.py, each with what is right of it."""
    if not SHARED.is_dir():
        return [pytest.param(None, marks=pytest.mark.skip(reason="needs ../shared"))]
    cases = _ckpts()
    return sorted([*cases.V, *cases.RAW])


def _ckpts():
    import importlib.util

    spec = importlib.util.spec_from_file_location("ckpts", SHARED / "cases" / "ckpts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("variant", _variants())
def test_variants_against_the_reference(variant, shared, tmp_path):
    cases = _ckpts()
    golden = json.loads((shared / "cases" / "ckpts_golden.json").read_text())["logits"]
    path = tmp_path / "x.pdparams"
    cases.build(variant, path)
    num_classes = 5 if variant == "classes_5" else 400
    (tmp_path / "labels.txt").write_text("\n".join(f"class_{i}" for i in range(num_classes)))
    options = ConvertOptions(tmp_path / "labels.txt")
    if (cases.V.get(variant) or cases.RAW[variant])[1] == "refuse":
        with pytest.raises(ModelError, match="x.pdparams: "):
            convert(path, tmp_path / "out", options)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.txt", "x.pdparams"]
        return
    told = golden[variant if variant in golden else "plain"]
    crops = np.load(shared / "parity" / "crop_mmaction2_demo.npz")["crops"]
    with Recognizer(convert(path, tmp_path / "out", options).folder) as recognizer:
        bound = 1e-2 if variant == "fp16_weights" else 1e-4
        assert np.abs(recognizer.logits(crops) - np.float32(told)).max() <= bound
    shutil.rmtree(tmp_path / "out")


def test_seeded_weights_are_those_of_the_parity_generator(shared, tmp_path):
    import subprocess
    import sys

    path = tmp_path / "x.pdparams"
    for arguments, shape in (
        (["--seed", "1"], {}),
        (
            ["--seed", "3", "--num-seg", "8", "--classes", "101"],
            {"num_segments": 8, "num_classes": 101},
        ),
        (["--seed", "2", "--no-lta"], {"lta": False}),
    ):
        make = shared / "parity" / "make_checkpoint.py"
        subprocess.run([sys.executable, make, path, *arguments], check=True)
        told = pickle.loads(path.read_bytes())
        arrays = seeded_weights(int(arguments[1]), **shape)
        assert len(told) == len(arrays) + 1
        assert all(np.array_equal(told[f"backbone.{name}"], arrays[name]) for name in arrays)


def test_force_keeps_what_lies_beside_a_model(run, tmp_path):
    run(SEEDED)
    (tmp_path / "out" / "checkpoint.pdparams").write_text("mine")
    with pytest.raises(ModelError, match="checkpoint.pdparams is in it"):
        run(SEEDED, force=True)
    assert (tmp_path / "out" / "checkpoint.pdparams").read_text() == "mine"
    (tmp_path / "out" / "checkpoint.pdparams").unlink()
    (tmp_path / "out" / "model.xml").write_text("<net/>")
    with pytest.raises(ModelError, match="not a ppsdk model"):
        run(SEEDED, force=True)
    assert (tmp_path / "out" / "model.xml").read_text() == "<net/>"


def test_force_through_a_link_replaces_what_it_names(run, tmp_path):
    run(SEEDED)
    (tmp_path / "link").symlink_to(tmp_path / "out", target_is_directory=True)
    before = (tmp_path / "out" / "model.xml").read_bytes()
    write_pdparams(tmp_path / "x.pdparams", seeded_weights(4, num_segments=8, num_classes=5))
    options = ConvertOptions(tmp_path / "labels.txt", force=True)
    convert(tmp_path / "x.pdparams", tmp_path / "link", options)
    assert (tmp_path / "out" / "model.xml").read_bytes() != before
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["labels.txt", "link", "out", "x.pdparams"]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_window_that_no_model_may_have_is_not_saved(run, tmp_path, seconds):
    with pytest.raises(ModelError, match="length_s is .*: must be seconds above 0"):
        run(SEEDED, length_s=seconds)
    assert not (tmp_path / "out").exists()


def test_a_model_without_classes_is_refused(tmp_path):
    none = SEEDED | {
        "fc.bias": np.zeros(0, np.float32),
        "fc.weight": np.zeros((1280, 0), np.float32),
    }
    write_pdparams(tmp_path / "x.pdparams", none)
    (tmp_path / "labels.json").write_text("[]")
    with pytest.raises(ModelError, match="fc.bias is empty"):
        convert(tmp_path / "x.pdparams", tmp_path / "out", ConvertOptions(tmp_path / "labels.json"))
