"""What windows share is computed once, and every logit is that of the whole model."""

import functools
import json
import logging
import threading
import tracemalloc
from collections import Counter
from dataclasses import replace

import barcode
import numpy as np
import openvino as ov
import pytest

from ppsdk import Frame, Recognizer, cut
from ppsdk.demo.run import BUNDLED
from ppsdk.model import Network, load_model, save_model
from ppsdk.preprocess import crop_for_model
from ppsdk.reuse import StreamScorer

SEGMENTS = 8
KINDS = ("attention", "attention-int8", "plain", "plain-int8")


def seeded_dir(folder, *, lta, shift_stages=(3,)):
    from safetensors.numpy import save_file

    from converters.convert import ConvertOptions, convert
    from converters.seeded import seeded_weights

    told = {
        "image_size": "64",
        "labels": json.dumps([f"class_{i}" for i in range(5)]),
        "length_s": "1.0",
        "num_segments": str(SEGMENTS),
        "shift_stages": json.dumps(shift_stages),
        "stride_s": "0.25",
    }
    weights = folder / "seeded.safetensors"
    save_file(seeded_weights(5, num_segments=SEGMENTS, num_classes=5, lta=lta), weights, told)
    return convert(weights, folder / "model", ConvertOptions()).folder


def quantized_dir(model_dir, out):
    pytest.importorskip("nncf", reason="needs the extra 'convert'")
    from converters.agreement import Target
    from converters.quantize import QuantizeOptions, quantize

    clips = [pictures(SEGMENTS, 64, seed=seed) for seed in range(4)]
    loose = QuantizeOptions(Target(max_drop=1, min_agreement=0), recipe="mixed", force=True)
    return quantize(model_dir, clips, out, loose).folder


@pytest.fixture(scope="module")
def model_dirs(tmp_path_factory):
    @functools.cache
    def get(kind):
        folder = tmp_path_factory.mktemp(kind)
        if kind.endswith("-int8"):
            return quantized_dir(get(kind.removesuffix("-int8")), folder / "model")
        return seeded_dir(folder, lta=kind == "attention")

    return get


@pytest.fixture(scope="module")
def networks(model_dirs):
    return functools.cache(lambda kind: Network(model_dirs(kind)))


def pictures(count, size, *, seed):
    """Blocks of colour: noise alone is averaged away, and then all windows are alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, size // 16, size // 16, 3), dtype=np.uint8)
    return coarse.repeat(16, 1).repeat(16, 2)


class Counted:
    """A part that really computes, and tells for how many frames, or rows, it was asked."""

    def __init__(self, part):
        self.part = part
        self.items = part.items
        self.asked = []

    def __call__(self, inputs, *, out=None):
        self.asked.append(len(inputs[0]))
        return self.part(inputs, out=out)


def counted(scorer):
    assert isinstance(scorer, StreamScorer), "cut, not whole"
    parts = {"trunk": Counted(scorer._trunk)}
    scorer._trunk = parts["trunk"]
    for name in ("_head", "_frames", "_tail"):
        if hasattr(scorer._head, name):
            parts[name] = Counted(getattr(scorer._head, name))
            setattr(scorer._head, name, parts[name])
    return parts


def windows_of(count, stride):
    return [np.arange(first, first + SEGMENTS) for first in range(0, count - SEGMENTS + 1, stride)]


@pytest.mark.parametrize("stride", [1, 2, 5, SEGMENTS + 1])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_whole_model(networks, kind, stride):
    network = networks(kind)
    scorer = network.stream_scorer(stride_segments=stride)
    assert isinstance(scorer, StreamScorer)
    frames = pictures(30, 64, seed=stride)
    told = [network.logits(frames[window]) for window in windows_of(30, stride)]
    seen = [scorer.logits(frames[window], window) for window in windows_of(30, stride)]
    assert np.abs(told[0] - told[1]).max() > 0.01
    assert np.abs(np.array(seen) - told).max() <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_goes_through_the_trunk_once_and_the_head_runs_once_a_window(networks, kind):
    scorer = networks(kind).stream_scorer(stride_segments=2)
    parts = counted(scorer)
    frames = pictures(30, 64, seed=0)
    windows = windows_of(30, 2)
    for window in windows:
        scorer.logits(frames[window], window)
    assert parts["trunk"].asked == [4, 4] + [2] * (len(windows) - 1)
    if "attention" in kind:
        assert parts["_head"].asked == [8] * len(windows)
    else:
        # Places for 4 rows: 8 rows at first, then the first, the last but two, and two new ones.
        assert len(parts["_frames"].asked) == len(windows) + 1
        assert parts["_tail"].asked == [8] * len(windows)


@pytest.mark.parametrize("kind", ["attention-int8", "plain-int8"])
def test_the_parts_are_the_whole(model_dirs, kind):
    whole, facts = load_model(model_dirs(kind))
    model = cut.with_levels(whole)

    def layers(part):
        kinds = Counter(op.get_type_name() for op in part.get_ops())
        return {kind: kinds[kind] for kind in ("Convolution", "GroupConvolution", "FakeQuantize")}

    def total(*parts):
        return dict(sum((Counter(layers(part)) for part in parts), Counter()))

    trunk = cut.trunk(model, facts)
    # The stem with two, and four blocks with one convolution and one depthwise.
    assert (layers(trunk)["Convolution"], layers(trunk)["GroupConvolution"]) == (6, 5)
    assert total(trunk, cut.head(model, facts)) == layers(whole)
    assert trunk.output(0).get_element_type() == ov.Type.u8
    if not facts.has_lta:
        rows = cut.frame_head(model, facts, num_rows=3)
        assert total(trunk, rows, cut.tail(model)) == layers(whole)
        assert tuple(rows.output(0).get_shape()) == (3, 1280, 1, 1)


@pytest.mark.parametrize("kind", ["attention", "plain"])
@pytest.mark.parametrize("fps", [40, 5])
def test_a_stream_through_the_recognizer(model_dirs, monkeypatch, kind, fps):
    """Segments of .125 s: at 40 frames/s one of five is kept, at 5/s frames stand for two or one.
    The last window, from 3 s to 3.85 s or 3.8 s, is partial: its last frame is repeated.
    """
    frames = [Frame(barcode.make_frame(i, 64, 48), i / fps) for i in range(round(3.83 * fps))]
    with Recognizer(model_dirs(kind)) as recognizer:
        made = []
        real = recognizer._network.stream_scorer

        def stream_scorer(**stride):
            scorer = real(**stride)
            made.append(counted(scorer))
            return scorer

        monkeypatch.setattr(recognizer._network, "stream_scorer", stream_scorer)
        windows = list(recognizer.windows(frames))
        assert windows[-1].partial and len(windows) > 10
        for window in windows:
            images = [frames[i].image for i in window.frame_indices]
            crops = [crop_for_model(image, image_size=64, short_side=73) for image in images]
            told = recognizer.logits(np.stack(crops))
            assert np.abs(window.logits - told).max() <= 1e-5
    kept = {int(index) for window in windows for index in window.frame_indices}
    (parts,) = made
    assert sum(parts["trunk"].asked) == len(kept)
    assert any(len(set(window.frame_indices)) < SEGMENTS for window in windows[:-1]) == (fps == 5)


@pytest.mark.parametrize("kind", ["attention", "plain"])
def test_inference_that_fails_leaves_the_scorer_right(networks, kind):
    """A trunk that fails has written nonsense; a head that fails comes after a sound trunk."""
    network = networks(kind)
    scorer = network.stream_scorer(stride_segments=2)
    parts = counted(scorer)
    frames = pictures(30, 64, seed=3)

    def failing(inputs, *, out=None):
        for place in out or []:
            place[:] = np.nan
        raise RuntimeError("no memory")

    for turn, window in enumerate(windows_of(30, 2)):
        broken = parts[("trunk", "_head" if kind == "attention" else "_frames")[turn // 2 % 2]]
        if turn % 2:
            whole, broken.part = broken.part, failing
            with pytest.raises(RuntimeError, match="no memory"):
                scorer.logits(frames[window], window)
            broken.part = whole
        told = network.logits(frames[window])
        assert np.abs(scorer.logits(frames[window], window) - told).max() <= 1e-5


@pytest.mark.parametrize("kind", ["attention", "plain"])
def test_streams_do_not_disturb_each_other(networks, kind):
    """Their frames have the same positions; a stream that starts anew has a scorer of its own."""
    network = networks(kind)
    wrong = []

    def watch(seed):
        scorer = network.stream_scorer(stride_segments=2)
        frames = pictures(30, 64, seed=seed)
        for window in windows_of(30, 2):
            if np.abs(scorer.logits(frames[window], window) - told[seed][window[0]]).max() > 1e-5:
                wrong.append((seed, window))

    told = {}
    for seed in range(3):
        frames = pictures(30, 64, seed=seed)
        told[seed] = {w[0]: network.logits(frames[w]) for w in windows_of(30, 2)}
    threads = [threading.Thread(target=watch, args=(seed,)) for seed in (0, 1, 2, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_thread_that_classifies_does_not_keep_streams_from_sharing_work(model_dirs, caplog):
    """OpenVINO gives no memory back while a request runs, which was taken for a model that cannot
    be cut.
    """
    folder = model_dirs("plain")
    networks = [Network(folder, num_threads=1) for _ in range(4)]
    crops = np.zeros((SEGMENTS, 64, 64, 3), np.uint8)
    is_over = threading.Event()

    def classify(network):
        while not is_over.is_set():
            network.logits(crops)

    for network in networks:
        threads = [threading.Thread(target=classify, args=(network,)) for _ in range(3)]
        is_over.clear()
        for thread in threads:
            thread.start()
        network.stream_scorer(stride_segments=2)
        is_over.set()
        for thread in threads:
            thread.join()
    assert "share no work" not in caplog.text


@pytest.mark.parametrize("kind", ["attention", "plain"])
def test_answers_are_copies(networks, kind):
    scorer = networks(kind).stream_scorer(stride_segments=1)
    frames = pictures(SEGMENTS + 1, 64, seed=0)
    first, second = windows_of(SEGMENTS + 1, 1)
    seen = scorer.logits(frames[first], first)
    kept = seen.copy()
    scorer.logits(frames[second], second)
    assert np.array_equal(seen, kept)
    seen[:] = np.nan
    anew = networks(kind).stream_scorer(stride_segments=1)
    assert np.array_equal(anew.logits(frames[first], first), kept)
    with pytest.raises(ValueError, match="from frame 0 on comes after one from 1 on"):
        scorer.logits(frames[first], first)


@pytest.mark.parametrize("kind", ["attention", "plain"])
def test_memory_does_not_grow_with_the_stream(networks, kind):
    scorer = networks(kind).stream_scorer(stride_segments=3)
    frames = pictures(SEGMENTS, 64, seed=0)
    tracemalloc.start()
    try:
        sizes = []
        for first in range(0, 180, 3):
            scorer.logits(frames, np.arange(first, first + SEGMENTS))
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # Features of a frame are 66 kB, those that a frame leaves for the mean 5 kB.
    assert abs(sizes[-1] - sizes[10]) < 40_000


def test_a_model_whose_shift_is_elsewhere_runs_uncut_and_says_so_once(tmp_path, caplog):
    network = Network(seeded_dir(tmp_path, lta=False, shift_stages=(2, 3)))
    check_uncut(network, caplog, "its temporal shift is before stage 2, 3, not before 3 alone")


def test_a_graph_of_another_make_runs_uncut_and_says_so(model_dirs, tmp_path, caplog):
    model, facts = load_model(model_dirs("plain"))
    for node in model.get_ops():
        if node.get_friendly_name() == "stages.2.0.dw_conv":
            node.set_friendly_name("conv_27")
    save_model(model, facts, tmp_path)
    check_uncut(Network(tmp_path), caplog, "its graph has no 'stages.2.0.dw_conv'")


def test_a_model_that_hides_its_attention_runs_uncut_and_says_so(model_dirs, tmp_path, caplog):
    """Its parts give the right answer for a first window, and a wrong one for the second."""
    model, facts = load_model(model_dirs("attention"))
    save_model(model, replace(facts, has_lta=False), tmp_path)
    check_uncut(Network(tmp_path), caplog, "in parts its logits differ by ")


def check_uncut(network, caplog, says):
    frames = pictures(10, 64, seed=0)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            scorer = network.stream_scorer(stride_segments=2)
            for window in windows_of(10, 2):
                told = network.logits(frames[window])
                assert np.array_equal(scorer.logits(frames[window], window), told)
    (record,) = caplog.records
    assert "windows share no work" in record.message and says in record.message


def test_in_bf16_parts_are_as_far_off_as_bf16_itself(networks, model_dirs):
    """Parts hand float32 on where the whole model rounds to 8 bits."""
    network = Network(model_dirs("attention"), precision="bf16")
    if network.precision_executed != "bf16":
        pytest.skip("needs a CPU with bf16")
    scorer = network.stream_scorer(stride_segments=2)
    assert isinstance(scorer, StreamScorer)
    frames = pictures(30, 64, seed=0)
    for window in windows_of(30, 2):
        exact = networks("attention").logits(frames[window])
        difference = np.abs(scorer.logits(frames[window], window) - exact).max()
        assert difference < 0.02 * np.abs(exact).max()


def test_the_bundled_model():
    check_model(BUNDLED, windows=16)


@pytest.mark.slow
def test_the_trained_model_at_its_full_size(shared, tmp_path):
    from converters.convert import ConvertOptions, convert

    weights = shared / "weights"
    options = ConvertOptions(weights / "labels.txt")
    folder = convert(weights / "ut_interaction_16f.pdparams", tmp_path / "fp32", options).folder
    check_model(folder, windows=5)
    pytest.importorskip("nncf", reason="needs the extra 'convert'")
    from converters.agreement import Target
    from converters.quantize import QuantizeOptions, quantize

    clips = [pictures(16, 224, seed=seed) for seed in range(4)]
    loose = QuantizeOptions(Target(max_drop=1, min_agreement=0), recipe="mixed", force=True)
    check_model(quantize(folder, clips, tmp_path / "int8", loose).folder, windows=12)


def check_model(folder, *, windows):
    network = Network(folder)
    length, size = network.facts.num_segments, network.facts.image_size
    scorer = network.stream_scorer(stride_segments=length // 4)
    parts = counted(scorer)
    frames = pictures(length + (windows - 1) * length // 4, size, seed=1)
    for first in range(0, windows * length // 4, length // 4):
        window = np.arange(first, first + length)
        told = network.logits(frames[window])
        assert np.abs(scorer.logits(frames[window], window) - told).max() <= 1e-5
    assert sum(parts["trunk"].asked) == len(frames)
