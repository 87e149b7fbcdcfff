"""The graph: its shift, its attention, and the nodes that quantization will look for."""

import numpy as np
import openvino as ov
import openvino.properties.hint as hints
import pytest

from converters.architecture import Architecture
from converters.fuse import fuse
from converters.graph import build_model
from converters.reference import reference_logits, temporal_shift
from converters.seeded import seeded_weights


def logits_of(weights, architecture, clip):
    model = build_model(fuse(weights, architecture), architecture)
    config = {hints.inference_precision: ov.Type.f32}
    return ov.Core().compile_model(model, "CPU", config)(clip)[0][0]


@pytest.mark.parametrize("stages", [(), (1,), (2,), (3,), (4,), (1, 2), (3, 4), (1, 2, 3, 4)])
def test_graph_equals_the_unfused_network_wherever_the_shift_stands(stages):
    weights = seeded_weights(2, num_segments=4, num_classes=7)
    architecture = Architecture(4, 7, True, shift_stages=stages, image_size=64)
    clip = np.random.default_rng(0).standard_normal((4, 3, 64, 64)).astype(np.float32)
    told = reference_logits(weights, architecture, clip)
    assert logits_of(weights, architecture, clip) == pytest.approx(told, abs=1e-4)


@pytest.mark.parametrize("num_segments", [3, 8, 12, 16])
def test_graph_for_other_numbers_of_segments(num_segments):
    """256 channels do not divide by 3 or 12: the parts are int(256 / N) and int(512 / N)."""
    weights = seeded_weights(2, num_segments=num_segments, num_classes=7, lta=False)
    architecture = Architecture(num_segments, 7, False, image_size=32)
    clip = np.random.default_rng(1).standard_normal((num_segments, 3, 32, 32)).astype(np.float32)
    told = reference_logits(weights, architecture, clip)
    assert logits_of(weights, architecture, clip) == pytest.approx(told, abs=1e-4)


def test_shift_by_hand():
    """One impulse in frame 1 of 4, with 8 channels: channels 0, 1 appear a frame later, 2, 3 a
    frame earlier, the rest stays.
    """
    x = np.zeros((4, 8, 1, 1), np.float32)
    x[1, :, 0, 0] = 1
    told = np.zeros((4, 8), int)
    told[2, :2] = told[0, 2:4] = told[1, 4:] = 1
    assert np.array_equal(temporal_shift(x)[:, :, 0, 0], told)
    x = np.zeros((4, 8, 1, 1), np.float32)
    x[3, :, 0, 0] = 1  # beyond the end: channels 0, 1 are gone
    told = np.zeros((4, 8), int)
    told[2, 2:4] = told[3, 4:] = 1
    assert np.array_equal(temporal_shift(x)[:, :, 0, 0], told)


def test_what_quantization_counts_on():
    """NNCF leaves squeeze blocks in float when they pool with a ReduceMean; Slice, and zeros put in
    by Concat, would stop quantization from passing the shift, a 5-D reshape would cost reorders.
    """
    weights = seeded_weights(2)
    model = build_model(fuse(weights, Architecture(16, 400, True)), Architecture(16, 400, True))
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
    kinds = [node.get_type_name() for node in nodes.values()]
    assert nodes["stages.2.3.pw_conv_1"].get_type_name() == "Convolution"
    assert nodes["stages.3.1.dw_conv"].get_type_name() == "GroupConvolution"
    assert nodes["stages.2.3.se.pool"].get_type_name() == "ReduceMean"
    assert "Slice" not in kinds and "StridedSlice" not in kinds
    assert kinds.count("VariadicSplit") == 1 and kinds.count("Pad") == 2
    (concat,) = (node for node in nodes.values() if node.get_type_name() == "Concat")
    assert "Constant" not in [port.get_node().get_type_name() for port in concat.input_values()]
    assert (
        max(
            node.output(0).partial_shape.rank.get_length()
            for node in nodes.values()
            if node.get_output_size() and node.get_type_name() != "Constant"
        )
        == 4
    )
    # stem, 13 blocks, 6 split pointwise, 6 squeeze blocks with two, last_conv
    assert kinds.count("Convolution") == 1 + 13 + 6 + 12 + 1
    assert kinds.count("GroupConvolution") == 13
    assert kinds.count("MatMul") == 2
