"""A model folder is whole and its own, or one clear error; what runs is what was asked for."""

import shutil
import threading

import numpy as np
import openvino as ov
import openvino.properties as props
import openvino.properties.hint as hints
import pytest
from conftest import write_tiny

from ppsdk import ModelError, Recognizer
from ppsdk.model import Network, load_model


@pytest.fixture
def copy(tiny_dir, tmp_path):
    return shutil.copytree(tiny_dir, tmp_path / "model")


SHAPE = (4, 64, 64, 3)  # what tiny_dir takes


def crops_of(seed):
    return np.random.default_rng(seed).integers(0, 256, SHAPE, dtype=np.uint8)


def test_zeroed_weights_of_the_right_size_are_refused(copy):
    weights = copy / "model.bin"
    weights.write_bytes(bytes(weights.stat().st_size))
    with pytest.raises(ModelError, match="model.bin: damaged or of another model: sha256"):
        Recognizer(copy)


def test_one_flipped_bit_is_refused(copy):
    weights = copy / "model.bin"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match="sha256"):
        Recognizer(copy)


@pytest.mark.parametrize("keep", [0, 100, 10_000])
def test_truncated_files_are_refused(copy, keep):
    for name in ("model.bin", "model.xml"):
        file = copy / name
        whole = file.read_bytes()
        file.write_bytes(whole[:keep])
        with pytest.raises(ModelError, match=f"{name}|model.xml") as caught:
            Recognizer(copy)
        assert "\n" not in str(caught.value)
        file.write_bytes(whole)
    Recognizer(copy).close()


def test_missing_files_are_named(copy, tmp_path):
    (copy / "model.bin").unlink()
    with pytest.raises(ModelError, match="not a ppsdk model: model.bin is missing"):
        Recognizer(copy)
    with pytest.raises(ModelError, match="model.xml is missing"):
        Recognizer(tmp_path / "nowhere")


def test_a_foreign_model_is_refused(tmp_path):
    from openvino import opset13

    x = opset13.parameter([1, 3], np.float32)
    foreign = ov.Model([opset13.result(opset13.relu(x))], [x], "foreign")
    ov.save_model(foreign, tmp_path / "model.xml")
    with pytest.raises(ModelError, match="model.xml: not a ppsdk model.*ppsdk convert"):
        Recognizer(tmp_path)


def test_facts_that_do_not_fit_the_graph_are_refused(copy):
    xml = copy / "model.xml"
    xml.write_text(xml.read_text().replace('num_segments value="4"', 'num_segments value="16"'))
    with pytest.raises(ModelError, match="damaged: input is .4, 3, 64, 64."):
        Recognizer(copy)


def test_a_model_of_a_later_format_is_refused(copy):
    xml = copy / "model.xml"
    xml.write_text(xml.read_text().replace('format value="1"', 'format value="2"'))
    with pytest.raises(ModelError, match="model format 2: this ppsdk reads format 1"):
        Recognizer(copy)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"precision": "int8"}, "must be one of f32, bf16, f16"),
        ({"num_threads": 0}, "must be 1 to 1024"),
        ({"num_threads": 1.5}, "must be 1 to 1024"),
        ({"num_threads": 2, "device": "AUTO"}, "it is for device .CPU., not .AUTO."),
        ({"device": "XPU"}, "cannot run on device 'XPU'"),
    ],
)
def test_options_out_of_range(tiny_dir, options, says):
    with pytest.raises(ValueError, match=says):
        Recognizer(tiny_dir, **options)


def test_execution_is_f32_unless_asked_otherwise(tiny_dir):
    """The CPU plugin's own default is bf16 where the CPU has it."""
    with Recognizer(tiny_dir) as recognizer:
        assert recognizer.precision_executed == "f32"


def test_capped_threads_are_not_pinned(tiny_dir):
    """Two processes with one thread each would share a core, and leave the others idle."""
    network = Network(tiny_dir, num_threads=1)
    assert network._compiled.get_property(hints.enable_cpu_pinning) is False
    assert network._compiled.get_property(props.inference_num_threads) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_change_the_answer(tiny_dir, threads):
    with Recognizer(tiny_dir) as one, Recognizer(tiny_dir, num_threads=threads) as other:
        crops = crops_of(0)
        assert np.abs(one.logits(crops) - other.logits(crops)).max() < 1e-4


def test_each_thread_gets_its_own_answer(tiny_dir):
    """One shared compiled model, called directly, gave 790 of 900 answers to the wrong thread."""
    with Recognizer(tiny_dir) as recognizer:
        inputs = [crops_of(seed) for seed in range(3)]
        told = [recognizer.logits(crops) for crops in inputs]
        wrong = []
        start = threading.Barrier(3)

        def call(which):
            start.wait()
            for _ in range(20):
                if np.abs(recognizer.logits(inputs[which]) - told[which]).max() > 1e-5:
                    wrong.append(which)

        threads = [threading.Thread(target=call, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert np.abs(told[0] - told[1]).max() > 0.01
    assert not wrong


def test_answers_are_copies(tiny_dir):
    with Recognizer(tiny_dir) as recognizer:
        first = recognizer.logits(crops_of(0))
        kept = first.copy()
        recognizer.logits(crops_of(1))
        assert np.array_equal(first, kept)
        first[:] = 0
        assert np.array_equal(recognizer.logits(crops_of(0)), kept)


@pytest.mark.parametrize(
    "crops",
    [
        np.zeros(SHAPE, np.float32),
        np.zeros((16, 64, 64, 3), np.uint8),
        np.zeros((4, 3, 64, 64), np.uint8),
    ],
)
def test_crops_of_another_shape_are_refused(tiny_dir, crops):
    with Recognizer(tiny_dir) as recognizer:
        with pytest.raises(ValueError, match=r"must be uint8 \(4, 64, 64, 3\) RGB"):
            recognizer.logits(crops)


def test_crops_that_are_not_contiguous(tiny_dir):
    with Recognizer(tiny_dir) as recognizer:
        crops = crops_of(0)
        mirrored = crops[:, :, ::-1]
        told = recognizer.logits(np.ascontiguousarray(mirrored))
        assert np.array_equal(recognizer.logits(mirrored), told)


def test_a_closed_recognizer_says_so(tiny_dir):
    recognizer = Recognizer(tiny_dir)
    crops = crops_of(0)
    recognizer.close()
    with pytest.raises(ModelError, match="closed"):
        recognizer.logits(crops)


def test_a_cached_model_gives_the_same_answer(tiny_dir, tmp_path):
    told = []
    for _ in range(2):
        network = Network(tiny_dir, cache_dir=tmp_path / "cache")
        told.append(network.logits(np.zeros(SHAPE, np.uint8)))
    assert list((tmp_path / "cache").iterdir()) and np.array_equal(*told)


def test_a_cache_that_holds_another_model_is_refused(tiny_dir, tmp_path):
    """OpenVINO loads an overwritten blob silently."""
    from converters.convert import ConvertOptions, convert
    from converters.seeded import seeded_weights

    weights = seeded_weights(77, num_segments=4, num_classes=5)
    write_tiny(tmp_path / "x.safetensors", weights, labels=[*"abcde"])
    other = convert(tmp_path / "x.safetensors", tmp_path / "other", ConvertOptions()).folder
    Network(tiny_dir, cache_dir=tmp_path / "cache")
    Network(other, cache_dir=tmp_path / "cache_of_other")
    (blob,) = (tmp_path / "cache").glob("*.blob")
    (foreign,) = (tmp_path / "cache_of_other").glob("*.blob")
    blob.write_bytes(foreign.read_bytes())
    try:
        network = Network(tiny_dir, cache_dir=tmp_path / "cache")
    except ModelError as error:
        assert "empty the cache" in str(error)
    else:  # OpenVINO itself noticed, and compiled anew
        crops = np.zeros(SHAPE, np.uint8)
        assert np.array_equal(network.logits(crops), Network(tiny_dir).logits(crops))


def test_facts_come_back_as_they_were(tiny_dir):
    _, facts = load_model(tiny_dir)
    assert facts.labels == tuple(f"class_{i:03d}" for i in range(5))
    assert (facts.length_s, facts.stride_s, facts.num_segments) == (1.0, 0.5, 4)
    assert len(facts.self_test) == 5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('mean value="[0.485, 0.456, 0.406]"', 'mean value="[0.485, 0.456]"'),
        ('mean value="[0.485, 0.456, 0.406]"', 'mean value="5"'),
        ('std value="[0.229, 0.224, 0.225]"', 'std value="[0, 0, 0]"'),
        ('short_side value="73"', 'short_side value="50"'),
        ("self_test value=", "self_toast value="),
    ],
)
def test_facts_out_of_range_are_named(copy, old, new):
    xml = copy / "model.xml"
    assert old in xml.read_text()
    xml.write_text(xml.read_text().replace(old, new))
    with pytest.raises(ModelError, match="mean|std|short_side|self_test") as caught:
        Recognizer(copy)
    assert "\n" not in str(caught.value) and "model.xml" in str(caught.value)


def test_crops_that_are_no_array(tiny_dir):
    with Recognizer(tiny_dir) as recognizer, pytest.raises(ValueError, match="must be uint8"):
        recognizer.logits([[1]])
