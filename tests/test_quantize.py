"""INT8 is INT8: layers are really quantized, but not the gates; and nothing else gets that name."""

import numpy as np
import pytest

pytest.importorskip("nncf", reason="needs the extra 'convert'")

from converters.quantize import count_quantized, quantize  # noqa: E402
from ppsdk import ModelError, Recognizer  # noqa: E402
from ppsdk.model import load_model  # noqa: E402


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (8, 224, 224, 3), dtype=np.uint8) for _ in range(4)]


@pytest.fixture(scope="module")
def int8_dir(small_dir, clips, tmp_path_factory):
    out = tmp_path_factory.mktemp("int8") / "model"
    assert quantize(small_dir, clips, out).precision == "INT8"
    return out


def quantized_inputs(model):
    """Names of convolutions and matrix products with a quantized input."""
    names = set()
    for op in model.get_ops():
        if op.get_type_name() in ("Convolution", "GroupConvolution", "MatMul"):
            source = op.input_value(0).get_node()
            if source.get_type_name() in ("FakeQuantize",):
                names.add(op.get_friendly_name())
    return names


def test_convolutions_are_quantized_and_gates_are_not(int8_dir):
    model, facts = load_model(int8_dir)
    assert facts.precision == "INT8" and count_quantized(model) >= 40
    names = quantized_inputs(model)
    assert len(names) > 30
    assert not [name for name in names if ".se." in name or "global_attention" in name]


def test_it_answers_as_the_float_model_does_and_is_smaller(small_dir, int8_dir, clips):
    with Recognizer(small_dir) as exact, Recognizer(int8_dir) as quick:
        one, other = exact.logits(clips[0]), quick.logits(clips[0])
    assert np.abs(one - other).max() < 0.3 * np.abs(one).max()
    sizes = [(folder / "model.bin").stat().st_size for folder in (small_dir, int8_dir)]
    # A quarter, and the SE blocks, which stay in float.
    assert 0.25 * sizes[0] < sizes[1] < 0.4 * sizes[0]


def test_what_cannot_be_quantized_is_refused(small_dir, int8_dir, clips, tmp_path):
    with pytest.raises(ModelError, match="is INT8 already"):
        quantize(int8_dir, clips, tmp_path / "x")
    with pytest.raises(ModelError, match="no calibration clips"):
        quantize(small_dir, [], tmp_path / "x")
    with pytest.raises(ModelError, match="exists: choose another folder"):
        quantize(small_dir, clips, int8_dir)
    assert not (tmp_path / "x").exists()
