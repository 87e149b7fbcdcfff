"""An OpenVINO model and what it says of a clip. But for this file, cut.py and reuse.py, nothing in
ppsdk imports openvino.
"""

from __future__ import annotations

import hashlib
import logging
import queue
from collections.abc import Callable
from contextlib import suppress
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Literal
from xml.etree import ElementTree

import numpy as np
import openvino as ov
import openvino.properties as props
import openvino.properties.hint as hints
from numpy.typing import NDArray
from openvino import opset13

from ppsdk.errors import ModelError
from ppsdk.facts import ModelFacts
from ppsdk.records import Image
from ppsdk.reuse import CutNetwork, Indices, WindowScorer

log = logging.getLogger(__name__)

Precision = Literal["f32", "bf16", "f16"]
_PRECISIONS = {"f32": ov.Type.f32, "bf16": ov.Type.bf16, "f16": ov.Type.f16}
_RT_INFO = "ppsdk"


class Network:
    """A compiled model. `logits` may be called from several threads: each call has a request of
    its own, and results are copies.
    """

    def __init__(
        self,
        model_dir: str | PathLike[str],
        *,
        device: str = "CPU",
        num_threads: int | None = None,
        precision: Precision = "f32",
        cache_dir: str | PathLike[str] | None = None,
    ) -> None:
        config = _config(device, num_threads, precision, cache_dir)
        model, self.facts = load_model(model_dir)
        core = ov.Core()
        try:
            with_uint8_input(model, self.facts)
            self._compiled = core.compile_model(model, device, config)
        except RuntimeError as error:
            raise ModelError(
                f"{model_dir}: cannot run on device {device!r} ({_line(error)})"
            ) from None
        # The requests that no caller is using; more are made when more threads call at once.
        self._idle: queue.LifoQueue[ov.InferRequest] = queue.LifoQueue()
        if cache_dir is not None and self._compiled.get_property("LOADED_FROM_CACHE"):
            self._check_cached(model_dir, cache_dir)
        self._model_dir = model_dir
        self._model = model
        self._compile: Callable[[ov.Model], ov.CompiledModel] = lambda part: core.compile_model(
            part, device, config
        )
        self._cut: CutNetwork | None = None
        self._is_cut_tried = False
        self._cutting = Lock()

    @property
    def precision_executed(self) -> str:
        """The floating-point precision the device really uses: "f32", "bf16" or "f16"."""
        return str(self._compiled.get_property(hints.inference_precision).get_type_name())

    def logits(self, crops: Image) -> NDArray[np.float32]:
        """uint8 (num_segments, size, size, 3) RGB -> float32 (classes,).

        Raises ValueError for another shape or dtype.
        """
        crops = np.asarray(crops)
        size = self.facts.image_size
        expected = (self.facts.num_segments, size, size, 3)
        if crops.shape != expected or crops.dtype != np.uint8:
            raise ValueError(f"crops are {crops.dtype} {crops.shape}: must be uint8 {expected} RGB")
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            # share_outputs would hand out memory that the next caller's answer is written to.
            outputs = request.infer([np.ascontiguousarray(crops)], share_outputs=False)
            return np.array(outputs[0][0], np.float32)
        finally:
            self._idle.put(request)

    def stream_scorer(self, *, stride_segments: int) -> WindowScorer:
        """What scores the windows of one stream, mostly so many segments apart: as `logits` does,
        but what windows share is computed once. For one thread at a time, and one stream only.

        The model is cut and compiled in parts for the first of them; one that cannot be cut runs as
        it is, and a warning says why.
        """
        with self._cutting:
            if not self._is_cut_tried:
                self._is_cut_tried = True
                try:
                    self._cut = self._checked_cut(stride_segments)
                except (ValueError, LookupError, RuntimeError) as error:
                    log.warning("%s: windows share no work: %s", self._model_dir, _line(error))
        if self._cut is None:
            return _Uncut(self)
        return self._cut.scorer(stride_segments=stride_segments)

    def _checked_cut(self, stride_segments: int) -> CutNetwork:
        """Raises RuntimeError where the parts, on this machine, do not give what the whole does."""
        cut = CutNetwork(self._model, self.facts, self._compile)
        scorer = cut.scorer(stride_segments=stride_segments)
        crops = self_test_crops(self.facts)
        # The second window is the first moved on by a frame.
        for first in range(2):
            told = self.logits(crops)
            seen = scorer.logits(crops, np.arange(first, first + len(crops)))
            # Above 10, float32 carries no more. In 16 bits parts round where the whole does not.
            bound = 1e-5 if self.precision_executed == "f32" else 0.2
            bound *= max(1.0, float(np.abs(told).max()) / 10)
            difference = float(np.abs(seen - told).max())
            if not difference <= bound:
                raise RuntimeError(f"in parts its logits differ by {difference:.3g}")
            crops = np.roll(crops, -1, axis=0)
        # Whoever has streams may never ask the whole model again.
        self._idle = queue.LifoQueue()
        if hasattr(self._compiled, "release_memory"):  # since OpenVINO 2025.0
            with suppress(RuntimeError):  # another thread asks the whole model right now
                self._compiled.release_memory()
        return cut

    def _check_cached(self, model_dir: str | PathLike[str], cache_dir: str | PathLike[str]) -> None:
        """OpenVINO loads a blob that something has overwritten without a word."""
        told = np.array(self.facts.self_test, np.float32)
        seen = self.logits(self_test_crops(self.facts))[: len(told)]
        exact = self.precision_executed == "f32" and self.facts.precision == "FP32"
        bound = 1e-3 if exact else 0.25 * max(1.0, float(np.abs(told).max()))
        difference = float(np.abs(seen - told).max())
        if not difference <= bound:
            raise ModelError(
                f"{cache_dir}: the cached model is not that of {model_dir} (logits differ by "
                f"{difference:.3g}, at most {bound:.3g} is accepted): empty the cache"
            )


class _Uncut:
    """Scores windows one by one."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def logits(self, crops: Image, frame_indices: Indices) -> NDArray[np.float32]:
        return self._network.logits(crops)


def read_facts(model_dir: str | PathLike[str]) -> ModelFacts:
    """What a model says of itself; ModelError where a file is missing, foreign or damaged."""
    xml, weights = _files(model_dir)
    if Path(model_dir).is_file():
        raise ModelError(f"{model_dir}: is a file: must be the folder of model.xml and model.bin")
    try:
        for file in (xml, weights):
            if not file.is_file():
                raise ModelError(f"{model_dir}: not a ppsdk model: {file.name} is missing")
            file.open("rb").close()
    except OSError as error:
        raise ModelError(f"{model_dir}: cannot read the model ({error.strerror})") from None
    # The digest first: OpenVINO takes zeroed weights without a word, or fails far from the cause.
    texts = read_rt_info(xml)
    facts = ModelFacts.from_rt_info(texts, where=str(xml))
    digest = file_sha256(weights)
    if digest != texts.get("bin_sha256"):
        raise ModelError(
            f"{weights}: damaged or of another model: sha256 {digest[:12]}..., "
            f"model.xml says {str(texts.get('bin_sha256'))[:12]}..."
        )
    return facts


def load_model(model_dir: str | PathLike[str]) -> tuple[ov.Model, ModelFacts]:
    """Read and check model.xml, model.bin; ModelError where missing, foreign or damaged."""
    facts = read_facts(model_dir)
    xml, weights = _files(model_dir)
    try:
        core = ov.Core()
        # Mapped weights would change under a running model when the file is replaced.
        core.set_property({props.enable_mmap: False})
        model = core.read_model(xml, weights)
    except RuntimeError as error:
        raise ModelError(f"{xml}: damaged: OpenVINO cannot read it ({_line(error)})") from None
    _check_shapes(model, facts, xml)
    return model, facts


def save_model(model: ov.Model, facts: ModelFacts, folder: Path) -> None:
    """Write model.xml and model.bin as the model is, with the facts and the sha256 of the .bin."""
    xml, weights = folder / "model.xml", folder / "model.bin"
    for name, text in facts.to_rt_info().items():
        model.set_rt_info(text, [_RT_INFO, name])
    model.set_rt_info("0" * 64, [_RT_INFO, "bin_sha256"])
    ov.save_model(model, xml, compress_to_fp16=False)
    digest = file_sha256(weights)
    # The digest is of a file that the text naming it is saved with: put it in afterwards.
    xml.write_text(xml.read_text("utf-8").replace("0" * 64, digest, 1), "utf-8")


def with_uint8_input(model: ov.Model, facts: ModelFacts) -> None:
    """Put mean, std and layout into the graph: uint8 (N, S, S, 3) in, as crops come.

    A row of pixels is one axis to the arithmetic, the quantizer of an INT8 model included, and the
    transposition comes last, where it is only another name for the same memory. PrePostProcessor
    puts it first: the CPU then does it, and undoes it for the first convolution.
    """
    clip = model.input(0)
    frames, _, height, width = clip.shape
    pixels = opset13.parameter([frames, height, width, 3], np.uint8, name="clip")
    pixels.output(0).set_names(clip.names)
    # 0: as many frames as come, where the trunk is cut off too.
    rows = opset13.reshape(pixels, [0, height, width * 3], True)
    mean, std = (np.tile(255 * np.array(v, np.float32), width) for v in (facts.mean, facts.std))
    values = opset13.divide(opset13.subtract(opset13.convert(rows, "f32"), mean), std)
    ends = clip.get_target_inputs()
    first = next(iter(ends)).get_node()
    if first.get_type_name() == "FakeQuantize":
        bounds = [first.input_value(i).get_node().data.reshape(()) for i in range(1, 5)]
        values = opset13.fake_quantize(values, *bounds, first.get_attributes()["levels"])
        ends = first.output(0).get_target_inputs()
    frame = opset13.reshape(values, [0, height, width, 3], True)
    planes = opset13.transpose(frame, [0, 3, 1, 2])
    for end in ends:
        end.replace_source_output(planes.output(0))
    model.add_parameters([pixels])
    model.remove_parameter(clip.get_node())


def self_test_crops(facts: ModelFacts) -> Image:
    """Noise, uint8 (num_segments, S, S, 3), the same on every machine."""
    shape = (facts.num_segments, facts.image_size, facts.image_size, 3)
    return np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _files(model_dir: str | PathLike[str]) -> tuple[Path, Path]:
    return Path(model_dir) / "model.xml", Path(model_dir) / "model.bin"


def _config(
    device: str,
    num_threads: int | None,
    precision: str,
    cache_dir: str | PathLike[str] | None,
) -> dict[str, object]:
    if precision not in _PRECISIONS:
        raise ValueError(f"precision is {precision!r}: must be one of {', '.join(_PRECISIONS)}")
    if num_threads is not None and not (isinstance(num_threads, int) and 1 <= num_threads <= 1024):
        raise ValueError(f"num_threads is {num_threads!r}: must be 1 to 1024")
    if num_threads is not None and device != "CPU":
        raise ValueError(f"num_threads is {num_threads}: it is for device 'CPU', not {device!r}")
    config: dict[str, object] = {
        hints.inference_precision: _PRECISIONS[precision],
        hints.performance_mode: hints.PerformanceMode.LATENCY,
    }
    if num_threads is not None:
        config[props.inference_num_threads] = num_threads
        # Two processes with capped threads would otherwise pin themselves to the same cores.
        config[hints.enable_cpu_pinning] = False
    if cache_dir is not None:
        config[props.cache_dir] = str(cache_dir)
    return config


def read_rt_info(xml: Path) -> dict[str, str]:
    """The model's rt_info by name, without loading it."""
    try:
        section = ElementTree.parse(xml).getroot().find(f"rt_info/{_RT_INFO}")
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise ModelError(f"{xml}: damaged: not whole XML ({error})") from None
    if section is None:
        raise ModelError(
            f"{xml}: not a ppsdk model: its rt_info has no {_RT_INFO!r} section; "
            "make one with `ppsdk convert`"
        )
    return {fact.tag: fact.get("value", "") for fact in section}


def _check_shapes(model: ov.Model, facts: ModelFacts, xml: Path) -> None:
    expected = {
        "input": (facts.num_segments, 3, facts.image_size, facts.image_size),
        "output": (1, len(facts.labels)),
    }
    for what, port in (("input", model.input(0)), ("output", model.output(0))):
        shape = tuple(port.shape) if port.partial_shape.is_static else port.partial_shape
        if shape != expected[what]:
            raise ModelError(
                f"{xml}: damaged: {what} is {shape}, its rt_info says {expected[what]}"
            )


def _line(error: Exception) -> str:
    """OpenVINO's errors span lines, places in its sources first: the last line says what."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
