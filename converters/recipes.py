"""Ways to quantize, from the cheapest on: what NNCF is asked for."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from ppsdk.preprocess import normalize
from ppsdk.records import Image

# By their places in the graph. Always in float, for they are next to nothing of the work:
# the temporal attention decides how much of a frame is seen at all;
LTA = "global_attention.fc"
# and of the 1280 features few speak, now and then, and loudly. On one range for all of them,
# averaged over the calibration, the loudest are clipped: `ppsdk sensitivity` saw that alone move
# single logits by 2.6 where all other layers together moved them by 0.4.
HEAD = ("consensus", "fc")
LAYER_TYPES = ("Convolution", "GroupConvolution", "MatMul")
FIRST_AND_LAST = ("stem.0", "last_conv")


@dataclass(frozen=True)
class QuantizationRecipe:
    """preset: "performance" is symmetric activations, "mixed" asymmetric ones. full_bias: correct
    biases layer by layer on what the quantized layers before it give, in place of all at once.
    histogram: ranges of activations from histograms, in place of their extremes. align_channels:
    scale channels of neighbouring layers alike before. float_ends: first and last layer in float.
    """

    name: str
    preset: str = "mixed"
    full_bias: bool = False
    histogram: bool = False
    align_channels: bool = False
    float_ends: bool = False


RECIPES = (
    QuantizationRecipe("performance", preset="performance"),
    QuantizationRecipe("mixed"),
    QuantizationRecipe("full-bias-correction", full_bias=True),
    QuantizationRecipe("histogram", full_bias=True, histogram=True),
    QuantizationRecipe("channel-alignment", full_bias=True, align_channels=True),
    QuantizationRecipe("float-ends", full_bias=True, float_ends=True),
)
# Last: the layers that hurt most go back to float until the target is met.
ACCURACY_CONTROL = "accuracy-control"
RECIPE_NAMES = (*(recipe.name for recipe in RECIPES), ACCURACY_CONTROL)


def quantized_by(recipe: QuantizationRecipe, model: ov.Model, clips: Sequence[Image]) -> ov.Model:
    """clips: uint8 crops. The model that is given stays as it is."""
    nncf = _nncf()
    advanced, asked = _asked(recipe, model, len(clips))
    dataset = nncf.Dataset(clips, normalize)
    with _bars_on_terminals_only():
        return nncf.quantize(model, dataset, advanced_parameters=advanced, **asked)


def quantized_under_control(
    model: ov.Model,
    clips: Sequence[Image],
    held_out: Sequence[Image],
    label_ids: NDArray[np.int64],
    max_drop: float,
) -> ov.Model:
    """By NNCF's accuracy control on top-1 of the held-out clips."""
    nncf = _nncf()

    def top1(compiled: ov.CompiledModel, pairs: Any) -> tuple[float, list[float]]:
        right = [
            float(compiled(normalize(clip))[0][0].argmax() == label_id) for clip, label_id in pairs
        ]
        return float(np.mean(right)), right

    pairs = list(zip(held_out, label_ids, strict=True))  # bytes: floats are four times as much
    advanced, asked = _asked(RECIPES[2], model, len(clips))
    with _bars_on_terminals_only():
        return nncf.quantize_with_accuracy_control(
            model,
            calibration_dataset=nncf.Dataset(clips, normalize),
            validation_dataset=nncf.Dataset(pairs),
            validation_fn=top1,
            max_drop=max_drop,
            advanced_quantization_parameters=advanced,
            **asked,
        )


@contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    """NNCF draws its progress on stdout, where results go, whatever that is."""
    with redirect_stdout(sys.stderr if sys.stderr.isatty() else io.StringIO()):
        yield


def _asked(
    recipe: QuantizationRecipe, model: ov.Model, num_clips: int
) -> tuple[Any, dict[str, Any]]:
    nncf = _nncf()
    names = [op.get_friendly_name() for op in model.get_ops()]
    in_float = [name for name in names if name == LTA or name in HEAD]
    if recipe.float_ends:
        in_float += [name for name in names if name in FIRST_AND_LAST]
    advanced = nncf.AdvancedQuantizationParameters(
        disable_channel_alignment=not recipe.align_channels
    )
    if recipe.histogram:
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        advanced.activations_range_estimator_params = RangeEstimatorParametersSet.HISTOGRAM
    return advanced, {
        "preset": nncf.QuantizationPreset(recipe.preset),
        "subset_size": num_clips,
        "fast_bias_correction": not recipe.full_bias,
        "ignored_scope": nncf.IgnoredScope(names=in_float, validate=False),
    }


def _nncf() -> Any:
    import nncf

    # nncf.set_log_level would set the level of the app's own handlers too.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf
