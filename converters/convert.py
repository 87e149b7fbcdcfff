"""Load, validate, fuse, build, verify, save: a checkpoint to a folder that `Recognizer` opens."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.properties.hint as hints
from numpy.typing import NDArray

from converters.architecture import Architecture
from converters.checkpoint import Checkpoint, read_checkpoint
from converters.fuse import fuse
from converters.graph import build_model
from converters.labels import check_labels, read_labels
from converters.metadata import TrainedFacts, read_trained_facts
from converters.reference import reference_logits
from converters.weights import Weights, check_weights, read_architecture, strip_prefix
from ppsdk.errors import ModelError
from ppsdk.facts import ModelFacts
from ppsdk.model import file_sha256, read_rt_info, save_model, self_test_crops
from ppsdk.preprocess import normalize
from ppsdk.version import __version__

TOLERANCE = 1e-4
# Kinetics clips, which the published checkpoints were trained on, last 10 s.
DEFAULT_LENGTH_S = 10.0


@dataclass(frozen=True)
class ConvertOptions:
    """labels: a label file; None where the checkpoint has its own. num_segments: for checkpoints
    without temporal attention, 16 unless given. length_s, stride_s: the default window; 10 s and
    half the length unless given or in the checkpoint.
    """

    labels: Path | None = None
    num_segments: int | None = None
    length_s: float | None = None
    stride_s: float | None = None
    force: bool = False


@dataclass(frozen=True)
class Conversion:
    """What was written, and how far the saved graph is from the unfused network."""

    folder: Path
    facts: ModelFacts
    num_weights: int
    segments_from: str
    max_abs_diff: float


def convert(checkpoint_path: Path, out: Path, options: ConvertOptions) -> Conversion:
    """Raises ModelError, with nothing written, unless all of it is in order."""
    out = out.resolve()
    refuse_existing(out, force=options.force)
    checkpoint = read_checkpoint(checkpoint_path)
    trained = read_trained_facts(checkpoint)
    weights, architecture = _network(checkpoint, trained, options)
    labels = _labels(checkpoint, trained, options, architecture.num_classes)
    length_s, stride_s = _window(trained, options)
    facts = ModelFacts(
        labels=labels,
        num_segments=architecture.num_segments,
        length_s=length_s,
        stride_s=stride_s,
        source=checkpoint_path.name,
        source_sha256=file_sha256(checkpoint_path),
        ppsdk_version=__version__,
        self_test=(),
        has_lta=architecture.has_lta,
        shift_stages=architecture.shift_stages,
        image_size=architecture.image_size,
        short_side=round(architecture.image_size * 256 / 224),
    )
    facts.check(str(checkpoint_path))
    model = build_model(fuse(weights, architecture), architecture)
    logits, difference = verify(model, weights, architecture, facts, checkpoint_path)
    facts = replace(facts, self_test=tuple(float(x) for x in logits[:16]))
    with written_whole(out, force=options.force) as folder:
        save_model(model, facts, folder)
    return Conversion(out, facts, len(weights), _segments_from(facts, trained, options), difference)


def verify(
    model: ov.Model,
    weights: Weights,
    architecture: Architecture,
    facts: ModelFacts,
    path: Path,
) -> tuple[NDArray[np.float32], float]:
    """Run seeded noise through the graph (f32) and the unfused network: the graph's logits, and the
    largest difference.

    Raises ModelError where that is above 1e-4 (so that decisions can only differ at a tie). Above
    logits of 10 the bound is 1e-5 of the largest, for float32 carries no more.
    """
    clip = normalize(self_test_crops(facts))
    logits = run_f32(model, clip)
    with np.errstate(over="ignore", invalid="ignore"):  # checked right below
        expected = reference_logits(weights, architecture, clip)
    if not np.isfinite(expected).all():
        raise ModelError(f"{path}: its weights overflow on a test picture: logits are not finite")
    difference = float(np.abs(logits - expected).max())
    bound = TOLERANCE * max(1.0, float(np.abs(expected).max()) / 10)
    # "not <=" also catches NaN.
    if not difference <= bound:
        raise ModelError(
            f"{path}: the fused graph differs from the network by {difference:.2e} on logits, "
            f"at most {bound:.0e} is accepted: not saved"
        )
    return logits, difference


def run_f32(model: ov.Model, clip: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised float32 (num_segments, 3, S, S) -> float32 logits (classes,)."""
    compiled = ov.Core().compile_model(model, "CPU", {hints.inference_precision: ov.Type.f32})
    return np.array(compiled(clip)[0][0], np.float32)


def _segments_from(facts: ModelFacts, trained: TrainedFacts, options: ConvertOptions) -> str:
    if facts.has_lta:
        return "from its temporal attention"
    if options.num_segments is not None:
        return "as given"
    if trained.num_segments is not None:
        return "from its metadata"
    return "the default: nothing in the file tells"


def _network(
    checkpoint: Checkpoint, trained: TrainedFacts, options: ConvertOptions
) -> tuple[Weights, Architecture]:
    path = checkpoint.path
    arrays = strip_prefix(checkpoint.arrays, path)
    architecture = read_architecture(
        arrays,
        path,
        said_segments={
            "--num-segments": options.num_segments,
            "its metadata": trained.num_segments,
        },
        shift_stages=(3,) if trained.shift_stages is None else trained.shift_stages,
        image_size=trained.image_size or 224,
    )
    return check_weights(arrays, architecture, path), architecture


def _labels(
    checkpoint: Checkpoint, trained: TrainedFacts, options: ConvertOptions, num_classes: int
) -> tuple[str, ...]:
    if options.labels is not None:
        labels = read_labels(options.labels, num_classes)
        if trained.labels is not None and trained.labels != labels:
            raise ModelError(
                f"{options.labels}: not the labels that {checkpoint.path} was trained with: "
                "leave --labels out"
            )
        return labels
    if trained.labels is None:
        raise ModelError(f"{checkpoint.path}: has no labels of its own: --labels FILE is needed")
    return check_labels(list(trained.labels), num_classes, checkpoint.path)


def _window(trained: TrainedFacts, options: ConvertOptions) -> tuple[float, float]:
    length_s = _first(options.length_s, trained.length_s, DEFAULT_LENGTH_S)
    # A stride belongs to its length: one from the file does not outlive a new length.
    trained_stride_s = trained.stride_s if options.length_s is None else None
    return length_s, _first(options.stride_s, trained_stride_s, length_s / 2)


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def refuse_existing(out: Path, *, force: bool) -> None:
    """Only a model folder, or an empty one, gives way: nothing else that is the user's is lost."""
    if not out.exists():
        return
    if not force:
        raise ModelError(f"{out}: exists: choose another folder, or --force to replace it")
    if not out.is_dir():
        raise ModelError(f"{out}: is not a model folder: --force replaces only those")
    foreign = sorted({path.name for path in out.iterdir()} - {"model.xml", "model.bin"})
    if foreign:
        raise ModelError(
            f"{out}: is not a model folder, {', '.join(foreign[:5])} is in it: "
            "--force replaces only those"
        )
    if (out / "model.xml").exists():
        read_rt_info(out / "model.xml")


@contextmanager
def written_whole(out: Path, *, force: bool) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place at the end, or leaves nothing."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise ModelError(f"{out}: cannot write there ({error.strerror})") from None
    new, old = aside / "new", aside / "old"
    try:
        new.mkdir()
        yield new
        refuse_existing(out, force=force)
        if out.exists():
            os.replace(out, old)
        try:
            os.replace(new, out)
        except OSError:
            if old.exists():
                os.replace(old, out)
            raise
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{out}: cannot write it ({error})") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
