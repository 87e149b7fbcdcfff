"""Where a window's time goes, and what INT8 and bf16 spare: contenders in turns, in one process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.properties as props
import openvino.properties.hint as hints

from ppsdk.clips import sample_clip
from ppsdk.facts import ModelFacts
from ppsdk.manifest import LabelledClip
from ppsdk.model import Network, Precision, load_model, with_uint8_input
from ppsdk.preprocess import crop_for_model
from ppsdk.records import Image

Progress = Callable[[Iterable[Any]], Iterable[Any]]

BURST = 4  # clips a request, where throughput is measured
_TYPES = {"f32": ov.Type.f32, "bf16": ov.Type.bf16, "f16": ov.Type.f16}


@dataclass(frozen=True)
class Latency:
    """Milliseconds: the median and the 95th percentile."""

    median: float
    p95: float


@dataclass(frozen=True)
class Contender:
    """A model as it is run. precision_executed: what the device really uses for what is float.
    latency_ms: compiled for latency. clips_per_s: compiled for throughput, with so many requests at
    a time.
    """

    name: str
    precision_executed: str
    latency_ms: Latency
    latency_ms_1_thread: Latency
    clips_per_s: float
    requests: int


@dataclass(frozen=True)
class Loading:
    """size_bytes: of model.bin and model.xml. load_ms: in a new process, without a cache and with
    a filled one. peak_rss_bytes: of a process that loads it and answers once; None where the system
    does not tell.
    """

    size_bytes: int
    load_ms_cold: float
    load_ms_cached: float
    peak_rss_bytes: int | None


@dataclass(frozen=True)
class Speed:
    """decode, preprocess: of one clip. contenders: "fp32", "bf16" where the CPU has it, "int8"."""

    clip: str
    repeats: int
    decode_ms: Latency
    preprocess_ms: Latency
    contenders: dict[str, Contender]
    loading: dict[str, Loading]

    @property
    def speedup(self) -> float:
        """Of INT8 over FP32 in float32, by medians of the same run."""
        fp32, int8 = self.contenders["fp32"], self.contenders["int8"]
        return fp32.latency_ms.median / int8.latency_ms.median

    def total_ms(self, contender: str) -> float:
        """Medians of decoding, preprocessing and the network together."""
        network = self.contenders[contender].latency_ms.median
        return self.decode_ms.median + self.preprocess_ms.median + network


def measure_speed(
    folders: dict[str, Path],
    clip: LabelledClip,
    *,
    repeats: int,
    progress: Progress = iter,
) -> Speed:
    """folders: of the models "fp32" and "int8"."""
    runs: dict[str, tuple[Path, Precision]] = {
        "fp32": (folders["fp32"], "f32"),
        "bf16": (folders["fp32"], "bf16"),
        "int8": (folders["int8"], "f32"),
    }
    networks = {name: Network(folder, precision=p) for name, (folder, p) in runs.items()}
    if networks["bf16"].precision_executed != "bf16":
        del networks["bf16"]  # the CPU has none: it would be measured as f32 under another name
    single = {
        name: Network(runs[name][0], precision=runs[name][1], num_threads=1) for name in networks
    }
    facts = networks["fp32"].facts
    images = _decode(clip, facts)
    crops = _preprocess(images, facts)
    tasks: dict[str, Callable[[], object]] = {
        "decode": lambda: _decode(clip, facts),
        "preprocess": lambda: _preprocess(images, facts),
    }
    tasks |= {name: _asker(network, crops) for name, network in networks.items()}
    tasks |= {f"{name} 1": _asker(network, crops) for name, network in single.items()}
    seen = in_turns(tasks, repeats, progress)
    busy = {name: _Busy(*runs[name], crops) for name in networks}
    bursts = in_turns({name: of.burst for name, of in busy.items()}, max(2, repeats // 4))
    return Speed(
        clip=clip.name,
        repeats=repeats,
        decode_ms=seen["decode"],
        preprocess_ms=seen["preprocess"],
        contenders={
            name: Contender(
                name=name,
                precision_executed=network.precision_executed,
                latency_ms=seen[name],
                latency_ms_1_thread=seen[f"{name} 1"],
                clips_per_s=1000 * busy[name].clips / bursts[name].median,
                requests=busy[name].requests,
            )
            for name, network in networks.items()
        },
        loading={name: _loading(folder, max(1, repeats // 10)) for name, folder in folders.items()},
    )


def in_turns(
    tasks: dict[str, Callable[[], object]], repeats: int, progress: Progress = iter
) -> dict[str, Latency]:
    """Each task once a round, after a round that does not count: what slows the machine down for a
    while slows all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in progress(range(repeats + 1)):
        for name, task in tasks.items():
            started = time.perf_counter()
            task()
            if turn:
                times[name].append(1000 * (time.perf_counter() - started))
    return {
        name: Latency(*(float(x) for x in np.percentile(of_task, [50, 95])))
        for name, of_task in times.items()
    }


def _asker(network: Network, crops: Image) -> Callable[[], object]:
    return lambda: network.logits(crops)


def _decode(clip: LabelledClip, facts: ModelFacts) -> Image:
    window_s = clip.window_s(facts.length_s)
    return sample_clip(
        clip.path, num_segments=facts.num_segments, span_s=window_s, roi=clip.roi
    ).images


def _preprocess(images: Image, facts: ModelFacts) -> Image:
    sizes = {"image_size": facts.image_size, "short_side": facts.short_side}
    return np.stack([crop_for_model(image, **sizes) for image in images])


class _Busy:
    """A model compiled for throughput, with as many requests at a time as it asks for."""

    def __init__(self, folder: Path, precision: Precision, crops: Image) -> None:
        model, facts = load_model(folder)
        with_uint8_input(model, facts)
        config = {
            hints.inference_precision: _TYPES[precision],
            hints.performance_mode: hints.PerformanceMode.THROUGHPUT,
        }
        compiled = ov.Core().compile_model(model, "CPU", config)
        self.requests = int(compiled.get_property(props.optimal_number_of_infer_requests))
        self.clips = BURST * self.requests
        self._queue, self._crops = ov.AsyncInferQueue(compiled, self.requests), crops

    def burst(self) -> None:
        for _ in range(self.clips):
            self._queue.start_async([self._crops])
        self._queue.wait_all()


_LOAD = """
import json, sys, time
import numpy as np
from ppsdk.model import Network, self_test_crops
started = time.perf_counter()
network = Network(sys.argv[1], cache_dir=sys.argv[2] or None)
loaded = 1000 * (time.perf_counter() - started)
network.logits(self_test_crops(network.facts))
peak = None
try:
    # Not getrusage: on Linux its maximum has the process in it that this one was started by.
    with open("/proc/self/status") as status:
        peak = next(1024 * int(row.split()[1]) for row in status if row.startswith("VmHWM:"))
except (OSError, StopIteration):
    if sys.platform == "darwin":
        import resource
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([loaded, peak]))
"""


def _loading(folder: Path, repeats: int) -> Loading:
    def load(cache: str) -> tuple[float, int | None]:
        command = [sys.executable, "-c", _LOAD, str(folder), cache]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        loaded, peak = json.loads(done.stdout.splitlines()[-1])
        return float(loaded), peak

    cold = [load("") for _ in range(repeats)]
    with tempfile.TemporaryDirectory() as cache:
        load(cache)
        cached = [load(cache) for _ in range(repeats)]
    peaks = [peak for _, peak in cold if peak is not None]
    return Loading(
        size_bytes=sum((folder / name).stat().st_size for name in ("model.xml", "model.bin")),
        load_ms_cold=float(np.median([ms for ms, _ in cold])),
        load_ms_cached=float(np.median([ms for ms, _ in cached])),
        peak_rss_bytes=max(peaks) if peaks else None,
    )
