"""FP32 to INT8: recipes in turn until one keeps the answers, or an error with what each gave."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from converters.agreement import Agreement, Target, agreement, all_logits
from converters.calibration import (
    CALIBRATION_CLIPS,
    HeldOut,
    checked,
    fingerprint,
    held_out_of,
    list_held_out,
    read_calibration,
    read_held_out,
)
from converters.convert import refuse_existing, run_f32, written_whole
from converters.finish import finished
from converters.recipes import (
    ACCURACY_CONTROL,
    RECIPE_NAMES,
    RECIPES,
    quantized_by,
    quantized_under_control,
)
from ppsdk.errors import ModelError
from ppsdk.facts import ModelFacts
from ppsdk.model import load_model, save_model, self_test_crops
from ppsdk.preprocess import normalize
from ppsdk.records import Image
from ppsdk.result_files import check_folder
from ppsdk.sampling import Sampling

log = logging.getLogger(__name__)

Progress = Callable[[Iterable[Any], str], Iterable[Any]]


@dataclass(frozen=True)
class QuantizeOptions:
    """recipe: one of RECIPE_NAMES, or "" for all of them in turn. force: replace the model in
    `out`, and do with few calibration clips.
    """

    target: Target = Target()
    recipe: str = ""
    force: bool = False

    def __post_init__(self) -> None:
        if self.recipe and self.recipe not in RECIPE_NAMES:
            raise ModelError(f"recipe is {self.recipe!r}: must be one of {', '.join(RECIPE_NAMES)}")


@dataclass(frozen=True)
class Trial:
    """A recipe, and what came of it. missed: what of the target it does not meet."""

    recipe: str
    seen: Agreement
    missed: tuple[str, ...]


@dataclass(frozen=True)
class Quantization:
    """What was written. trials: every recipe that was tried, the one that is written last."""

    folder: Path
    facts: ModelFacts
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class ClipFiles:
    """calibration: a folder of videos, a manifest.csv or a recording; split: which of a manifest's,
    "train" where there is one; at_most: so many clips of it. held_out: a manifest, that of the
    calibration where it has a split for it; held_out_split: "val" or "test" unless given.
    """

    calibration: Path
    split: str | None = None
    at_most: int = CALIBRATION_CLIPS
    held_out: Path | None = None
    held_out_split: str | None = None
    sampling: Sampling = "full"


def quantize_with_files(
    model_dir: Path,
    files: ClipFiles,
    out: Path,
    options: QuantizeOptions = QuantizeOptions(),
    *,
    progress: Progress = lambda items, label: items,
) -> Quantization:
    """`quantize`, with clips read as inference reads them. VideoError where they cannot be."""
    refuse_existing(out.resolve(), force=options.force)
    if out.resolve().parent.exists():
        check_folder(out.resolve().parent)
    # What can be told before clips are decoded.
    facts = _float_model(model_dir)[1]
    manifest = files.held_out or held_out_of(files.calibration)
    if manifest is not None:
        list_held_out(manifest, facts, split=files.held_out_split)
    clips = read_calibration(
        files.calibration,
        facts,
        split=files.split,
        at_most=files.at_most,
        sampling=files.sampling,
        progress=lambda items: progress(items, "calibration clips"),
    )
    held_out = None
    if manifest is not None:
        held_out = read_held_out(
            manifest,
            facts,
            split=files.held_out_split,
            sampling=files.sampling,
            progress=lambda items: progress(items, "held-out clips"),
        )
    else:
        log.warning("no held-out clips: judged by those of the calibration")
    return quantize(model_dir, clips, out, options, held_out=held_out, progress=progress)


def _float_model(model_dir: Path) -> tuple[ov.Model, ModelFacts]:
    model, facts = load_model(model_dir)
    if count_quantized(model) and facts.precision == "FP32":
        raise ModelError(f"{model_dir}: is quantized already, though it says FP32")
    if facts.precision != "FP32":
        raise ModelError(f"{model_dir}: is {facts.precision} already: quantize the FP32 model")
    return model, facts


def quantize(
    model_dir: Path,
    calibration_clips: Sequence[Image],
    out: Path,
    options: QuantizeOptions = QuantizeOptions(),
    *,
    held_out: HeldOut | None = None,
    progress: Progress = lambda items, label: items,
) -> Quantization:
    """Write the INT8 model to `out`: of the first recipe that meets the target on the held-out
    clips, or on those of the calibration where no others are given.

    calibration_clips: uint8 (num_segments, S, S, 3) each, what the network would see; those that
    are held out too are not used. Raises ModelError, with nothing written: for a model that is INT8
    already, for clips that cannot be calibrated with, where NNCF gives back a float model, which it
    does without a word, and where no recipe meets the target.
    """
    refuse_existing(out.resolve(), force=options.force)
    model, facts = _float_model(model_dir)
    judged_by = () if held_out is None else held_out.crops
    clips = checked(calibration_clips, facts, held_out=judged_by, force=options.force)
    held_out = held_out or HeldOut(clips)
    fp32 = all_logits(model, facts, held_out.crops, lambda items: progress(items, "FP32"))
    if not np.isfinite(fp32).all():
        raise ModelError(f"{model_dir}: its own logits are not finite: nothing to compare with")
    label_ids = fp32.argmax(1) if held_out.label_ids is None else held_out.label_ids
    trials: list[Trial] = []
    for name in [options.recipe] if options.recipe else RECIPE_NAMES:
        quantized = finished(_tried(name, model, clips, held_out.crops, label_ids, options.target))
        if not count_quantized(quantized):
            raise ModelError(f"{model_dir}: NNCF left every layer in float ({name}): not saved")
        int8 = all_logits(quantized, facts, held_out.crops, lambda items: progress(items, name))
        trial = _judged(name, fp32, int8, held_out, options.target)
        trials.append(trial)
        log.info("%s: %s", name, "; ".join(trial.missed) or "meets the target")
        if not trial.missed:
            facts = _saved(quantized, facts, name, clips, out, options)
            return Quantization(out, facts, tuple(trials))
    tried = "; ".join(f"{trial.recipe}: {', '.join(trial.missed)}" for trial in trials)
    raise ModelError(f"{model_dir}: no recipe meets the target: not saved: {tried}")


def count_quantized(model: ov.Model) -> int:
    """FakeQuantize nodes of a model as NNCF makes it."""
    return sum(node.get_type_name() == "FakeQuantize" for node in model.get_ops())


def _tried(
    name: str,
    model: ov.Model,
    clips: Sequence[Image],
    held_out: Sequence[Image],
    label_ids: NDArray[np.int64],
    target: Target,
) -> ov.Model:
    try:
        if name == ACCURACY_CONTROL:
            return quantized_under_control(
                model, clips, held_out, label_ids, max_drop=target.max_drop
            )
        recipe = next(recipe for recipe in RECIPES if recipe.name == name)
        return quantized_by(recipe, model, clips)
    except RuntimeError as error:
        what = " ".join(str(error).split())[:200]
        raise ModelError(f"NNCF cannot quantize it by {name!r} ({what})") from None


def _judged(
    name: str,
    fp32: NDArray[np.float32],
    int8: NDArray[np.float32],
    held_out: HeldOut,
    target: Target,
) -> Trial:
    seen = agreement(fp32, int8, held_out.label_ids)
    missed = target.missed(seen)
    if not math.isfinite(seen.logit_max):
        missed.append("logits are not finite")
    return Trial(name, seen, tuple(missed))


def _saved(
    quantized: ov.Model,
    facts: ModelFacts,
    recipe: str,
    clips: Sequence[Image],
    out: Path,
    options: QuantizeOptions,
) -> ModelFacts:
    logits = run_f32(quantized, normalize(self_test_crops(facts)))
    facts = replace(
        facts,
        precision="INT8",
        self_test=tuple(float(x) for x in logits[:16]),
        recipe=recipe,
        calibration_clips=len(clips),
        calibrated_with=tuple(fingerprint(clip) for clip in clips),
    )
    with written_whole(out.resolve(), force=options.force) as folder:
        save_model(quantized, facts, folder)
    return facts
