"""Where test material is, and models that several tests use."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SYNTH = HERE / "cases" / "synth"
SHARED = HERE.parent.parent / "shared"

# Two workers of pytest-xdist on two cores, each with threads that wait by spinning, would do little
# else; what they start has one too.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what runs in its background deaf to Ctrl-C, and so would be what tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def synth_cases() -> list[dict]:
    """The rendered clips with their right answers: see cases/manifest.json."""
    return json.loads((HERE / "cases" / "manifest.json").read_text("utf-8"))["cases"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with third-party clips and the reference's figures for them."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared: third-party footage, not in the repository")
    return SHARED


@pytest.fixture(scope="session")
def seeded_dir(tmp_path_factory) -> Path:
    """The seeded 16-segment model with LTA and 400 classes that golden logits exist for."""
    return _convert(tmp_path_factory.mktemp("seeded"), seed=1, num_classes=400)


@pytest.fixture(scope="session")
def small_dir(tmp_path_factory) -> Path:
    """A seeded 8-segment model with 5 classes: quick to run."""
    return _convert(tmp_path_factory.mktemp("small"), seed=5, num_segments=8, num_classes=5)


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory) -> Path:
    """A seeded 4-segment model of 64 x 64 pixels with 5 classes: quick to quantize."""
    from converters.convert import ConvertOptions, convert
    from converters.seeded import seeded_weights

    folder = tmp_path_factory.mktemp("tiny")
    labels = [f"class_{i:03d}" for i in range(5)]
    weights = folder / "seeded.safetensors"
    write_tiny(weights, seeded_weights(5, num_segments=4, num_classes=5), labels=labels)
    return convert(weights, folder / "model", ConvertOptions()).folder


@pytest.fixture(scope="session")
def tiny_int8(tiny_dir, tmp_path_factory):
    """What `quantize` says of tiny_dir by the recipe "mixed": see test_quantize."""
    from test_quantize import MIXED, noise

    from converters.quantize import quantize

    return quantize(tiny_dir, noise(16), tmp_path_factory.mktemp("int8") / "model", MIXED)


@pytest.fixture(scope="session")
def tiny_int8_dir(tiny_int8) -> Path:
    return tiny_int8.folder


@pytest.fixture(scope="session")
def recognizer():
    """The bundled model, on one thread."""
    from ppsdk import Recognizer
    from ppsdk.demo.run import BUNDLED

    with Recognizer(BUNDLED, num_threads=1) as recognizer:
        yield recognizer


def write_tiny(file: Path, weights: dict, *, image_size: int = 64, **told: object) -> None:
    """Weights that say they were trained with small pictures: quick to convert and to run."""
    from safetensors.numpy import save_file

    facts = {"length_s": 1.0, "stride_s": 0.5} | told | {"image_size": image_size}
    save_file(weights, file, metadata={name: json.dumps(fact) for name, fact in facts.items()})


def _convert(folder: Path, *, seed: int, **shape: int) -> Path:
    from converters.convert import ConvertOptions, convert
    from converters.seeded import seeded_weights, write_pdparams

    write_pdparams(folder / "seeded.pdparams", seeded_weights(seed, **shape), prefix="backbone.")
    labels = folder / "labels.txt"
    labels.write_text("\n".join(f"class_{i:03d}" for i in range(shape["num_classes"])))
    options = ConvertOptions(labels, length_s=1.0, stride_s=0.5)
    return convert(folder / "seeded.pdparams", folder / "model", options).folder
