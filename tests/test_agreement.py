"""The distance of two models, by hand."""

import math

import numpy as np
import pytest

from converters.agreement import Target, agreement

LN = math.log
# Scores (3/4, 1/4), (1/2, 1/2) with the first best, (1/5, 4/5), and (1/4, 3/4).
FP32 = np.array([[LN(3), 0], [0, 0], [0, LN(4)], [0, LN(3)]], np.float32)
# (1/2, 1/2) with the first best, (1/3, 2/3), (1/5, 4/5), (1/4, 3/4).
INT8 = np.array([[0, 0], [0, LN(2)], [0, LN(4)], [0, LN(3)]], np.float32)


def test_by_hand():
    seen = agreement(FP32, INT8, np.array([0, 0, 1, 0]))
    assert (seen.clips, seen.top1) == (4, 0.75), "the second clip changes its answer"
    # The best label's score moves by 1/4, 1/2 - 1/3 = 1/6, 0 and 0.
    assert seen.score_mean == pytest.approx((1 / 4 + 1 / 6) / 4)
    assert seen.score_max == pytest.approx(1 / 4)
    # Linear between the two largest of four: 0.85 of the way from 1/6 to 1/4.
    assert seen.score_p95 == pytest.approx(1 / 6 + 0.85 * (1 / 4 - 1 / 6))
    assert seen.logit_max == pytest.approx(LN(3))
    assert seen.logit_mean == pytest.approx((LN(3) + LN(2)) / 8)
    # FP32 is right on clips 1, 2 and 3; INT8 on 1 and 3.
    assert (seen.fp32_right, seen.int8_right) == (0.75, 0.5)
    assert seen.drop == 0.25


def test_without_labels_what_fp32_says_is_right():
    seen = agreement(FP32, INT8)
    assert seen.fp32_right is None and seen.drop == 0.25


def test_a_target_tells_all_that_it_misses():
    seen = agreement(FP32, INT8, np.array([0, 0, 1, 0]))
    missed = Target(0.01, 1.0, 0.2, 0.1).missed(seen)
    assert [text.split(" 0.")[0] for text in missed] == [
        "top-1 drop",
        "agreement",
        "p95 score difference",
    ]
    assert not Target(0.25, 0.75, 0.2, 0.25).missed(seen)


@pytest.mark.parametrize(
    ("clips", "flips", "agrees"),
    [(17, 1, True), (17, 2, False), (36, 1, True), (36, 2, False), (100, 3, True), (100, 4, False)],
)
def test_one_clip_near_a_tie_may_differ_however_few_there_are(clips, flips, agrees):
    fp32 = np.tile(np.array([[0.01, 0]], np.float32), (clips, 1))
    int8 = fp32.copy()
    int8[:flips, 1] = 0.02
    assert (not Target(max_drop=1).missed(agreement(fp32, int8))) == agrees
    assert Target(max_drop=1, min_agreement=1.0).missed(agreement(fp32, int8))


def test_nan_meets_nothing():
    seen = agreement(FP32, np.full_like(INT8, np.nan))
    assert len(Target(1, 0, 1, 1).missed(seen)) == 2, "both score differences are not numbers"


def test_logits_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="must be the same"):
        agreement(FP32, INT8[:2])
