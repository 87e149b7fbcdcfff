"""FP32 to INT8 with NNCF: plain post-training quantization, checked to be one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import openvino as ov

from converters.convert import run_f32, written_whole
from ppsdk.errors import ModelError
from ppsdk.facts import ModelFacts
from ppsdk.model import load_model, save_model, self_test_crops
from ppsdk.preprocess import normalize
from ppsdk.records import Image

# Named by its place in the graph; its values decide how much of a frame is seen at all.
LTA_SCOPE = "global_attention"


def quantize(
    model_dir: Path, calibration_clips: Sequence[Image], out: Path, *, force: bool = False
) -> ModelFacts:
    """Write the INT8 model to `out`; returns its facts.

    calibration_clips: uint8 (num_segments, S, S, 3) each, what the network would see. Raises
    ModelError, with nothing written, for a model that is INT8 already, for no clips, and where
    NNCF gives back a model without quantized layers, which it does without a word.
    """
    model, facts = load_model(model_dir)
    if facts.precision != "FP32":
        raise ModelError(f"{model_dir}: is {facts.precision} already: quantize the FP32 model")
    if not calibration_clips:
        raise ModelError("no calibration clips: some of each class are needed")
    quantized = _quantized(model, calibration_clips)
    if not count_quantized(quantized):
        raise ModelError(f"{model_dir}: NNCF left every layer in float: not saved")
    logits = run_f32(quantized, normalize(self_test_crops(facts)))
    facts = replace(facts, precision="INT8", self_test=tuple(float(x) for x in logits[:16]))
    with written_whole(out.resolve(), force=force) as folder:
        save_model(quantized, facts, folder)
    return facts


def count_quantized(model: ov.Model) -> int:
    """FakeQuantize nodes of a model as NNCF makes it."""
    return sum(node.get_type_name() == "FakeQuantize" for node in model.get_ops())


def _quantized(model: ov.Model, clips: Sequence[Image]) -> ov.Model:
    import nncf

    # nncf.set_log_level would set the level of the app's own handlers too.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    gate = [op.get_friendly_name() for op in model.get_ops()]
    gate = [name for name in gate if name.startswith(LTA_SCOPE)]
    ignored = nncf.IgnoredScope(names=gate, validate=False) if gate else None
    samples = nncf.Dataset(clips, normalize)
    return nncf.quantize(
        model,
        samples,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(clips),
        ignored_scope=ignored,
    )
