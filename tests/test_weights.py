"""Every weight is accounted for, under whatever prefix it stands."""

from pathlib import Path

import numpy as np
import pytest

from converters.seeded import seeded_weights
from converters.weights import check_weights, read_architecture, strip_prefix
from ppsdk import ModelError

PATH = Path("x.pdparams")
SEEDED = seeded_weights(0, num_classes=5)


def checked(arrays, num_segments=None):
    arrays = strip_prefix(arrays, PATH)
    return check_weights(arrays, architecture(arrays, num_segments), PATH)


def prefixed(prefix, arrays=SEEDED):
    return {prefix + name: array for name, array in arrays.items()}


@pytest.mark.parametrize(
    "prefix", ["", "backbone.", "Student.0.", "0.", "_layers.", "_layers.backbone."]
)
def test_prefixes(prefix):
    weights = checked(prefixed(prefix))
    assert weights.keys() == SEEDED.keys()
    assert np.array_equal(weights["fc.weight"], SEEDED["fc.weight"])


@pytest.mark.parametrize("outer", ["", "_layers."])
def test_a_teacher_is_ignored_even_of_the_same_architecture(outer):
    teacher = prefixed(outer + "Teacher.0.", seeded_weights(9, num_classes=5))
    other = {outer + "Teacher.1.conv1_1.conv.weight": np.zeros((32, 3, 3, 3), np.float32)}
    weights = checked(teacher | prefixed(outer + "Student.0.") | other)
    assert np.array_equal(weights["fc.weight"], SEEDED["fc.weight"])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        (prefixed("Teacher.0."), "prefixes found: 'Teacher.0.'"),
        ({"conv2d_0.w_0": np.zeros(3)}, "names like 'conv2d_0.w_0'"),
        (prefixed("a.") | prefixed("b."), "several networks, under 'a.', 'b.'"),
    ],
)
def test_without_a_student_there_is_nothing_to_convert(arrays, says):
    with pytest.raises(ModelError, match=says):
        checked(arrays)


def test_all_problems_are_listed_at_once():
    arrays = dict(SEEDED)
    del arrays["stages.2.3.pw_conv_1.bn._mean"]
    arrays["extra.bias"] = np.zeros(3, np.float32)
    arrays["fc.weight"] = arrays["fc.weight"].T
    arrays["last_conv.weight"] = np.where(
        np.arange(1280 * 1024).reshape(1280, 1024, 1, 1) == 7, np.nan, 0.0
    )
    arrays["stem.0.bn._variance"] = np.float32([-1e-3] + [1] * 31)
    arrays["stem.0.bn.bias"] = np.zeros(32, np.uint16)
    arrays["stages.3.0.dw_conv.bias"] = np.full(512, np.inf, np.float32)
    with pytest.raises(ModelError) as caught:
        checked(arrays)
    told = str(caught.value)
    for part in (
        "1 missing: stages.2.3.pw_conv_1.bn._mean",
        "1 unknown: extra.bias",
        "1 wrong shape: fc.weight (5, 1280) (must be (1280, 5))",
        "1 not float16, float32 or float64: stem.0.bn.bias (uint16)",
        "2 not finite: ",
        "1 negative variance: stem.0.bn._variance",
        "x.pdparams",
    ):
        assert part in told
    assert "last_conv.weight" in told and "stages.3.0.dw_conv.bias" in told and "\n" not in told


def test_a_branch_that_is_missing_is_not_made_up_for_by_the_stale_convolution():
    arrays = {k: v for k, v in SEEDED.items() if not k.startswith("stages.2.1.dw_conv_list.1.")}
    with pytest.raises(ModelError, match="5 missing: stages.2.1.dw_conv_list.1.conv.weight"):
        checked(arrays)


def test_float16_that_overflows_is_not_finite():
    with pytest.raises(ModelError, match="1 not finite: fc.bias"):
        checked(SEEDED | {"fc.bias": np.float64([1e300, 0, 0, 0, 0])})


def test_a_stray_array_outside_the_prefix_is_unknown():
    arrays = prefixed("backbone.") | {"fc.bias": np.zeros(5, np.float32)}
    with pytest.raises(ModelError, match="1 unknown: fc.bias .outside 'backbone.'."):
        checked(arrays)


def architecture(arrays, num_segments=None):
    return read_architecture(arrays, PATH, said_segments={"--num-segments": num_segments})


def test_segments_come_from_the_attention_or_from_the_option():
    eight = seeded_weights(0, num_segments=8, num_classes=3)
    none = seeded_weights(0, num_classes=3, lta=False)
    assert (architecture(eight).num_segments, architecture(eight).has_lta) == (8, True)
    assert architecture(eight, 8).num_segments == 8
    assert (architecture(none).num_segments, architecture(none).has_lta) == (16, False)
    assert architecture(none, 8).num_segments == 8
    assert architecture(none).num_classes == 3
    with pytest.raises(ModelError, match="--num-segments says 16, its temporal attention says 8"):
        architecture(eight, 16)
    with pytest.raises(ModelError, match="1 segments: must be 2 to 64"):
        architecture(none, 1)
