"""What `ppsdk selftest` runs: a rendered clip, with the logits that the reference gave for it.

The weights are seeded, not trained, so the labels mean nothing; that the logits are those of
PaddleVideo under Paddle does: checkpoint, graph, decoder, sampling, resize and this CPU are right.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppsdk.recognizer import Recognizer
from ppsdk.records import ActionEvent

HERE = Path(__file__).parent
SEED = 1  # of the weights that golden.json belongs to
LABELS = tuple(f"class_{i:03d}" for i in range(400))
BOUND = 5e-3
LENGTH_S, STRIDE_S = 0.5, 0.25
REPEATS = 10


@dataclass(frozen=True)
class SelfTest:
    """conversion_diff, reference_diff: largest differences of logits. latency_ms: median of a
    window in the network. events: of the clip as a stream.
    """

    conversion_diff: float
    reference_diff: float
    same_label: bool
    latency_ms: float
    events: tuple[ActionEvent, ...]

    @property
    def right(self) -> bool:
        return self.same_label and self.reference_diff <= BOUND

    def to_dict(self) -> dict[str, Any]:
        return {
            "right": self.right,
            "conversion_max_abs_diff": self.conversion_diff,
            "reference_max_abs_diff": self.reference_diff,
            "same_label": self.same_label,
            "latency_ms": round(self.latency_ms, 1),
            "events": [event.to_dict() for event in self.events],
        }


def run_selftest(model_dir: Path, conversion_diff: float) -> SelfTest:
    """Classify the clip as the reference does, then run it as a stream."""
    golden = json.loads((HERE / "golden.json").read_text("utf-8"))
    clip = HERE / golden["clip"]
    told = np.array(golden["logits"], np.float32)
    with Recognizer(model_dir) as recognizer:
        seen = recognizer.classify(clip, sampling="paddlevideo")
        records = recognizer.events(clip, length_s=LENGTH_S, stride_s=STRIDE_S)
        events = tuple(record for record in records if record.phase == "end")
        latency_ms = _latency_ms(recognizer)
    return SelfTest(
        conversion_diff=conversion_diff,
        reference_diff=float(np.abs(seen.logits - told).max()),
        same_label=seen.label_id == int(told.argmax()),
        latency_ms=latency_ms,
        events=events,
    )


def as_text(result: SelfTest) -> str:
    lines = [
        "A checkpoint with seeded, untrained weights was converted and run on a rendered clip.",
        f"fused graph against the unfused network   max_abs_diff {result.conversion_diff:.1e}",
        f"this machine against PaddleVideo's logits  max_abs_diff {result.reference_diff:.1e} "
        f"(bound {BOUND:.0e}), label {'the same' if result.same_label else 'ANOTHER'}",
        f"network, 16 frames, FP32                   {result.latency_ms:.0f} ms a window (median)",
        f"as a stream, {LENGTH_S:g} s windows every {STRIDE_S:g} s (labels mean nothing yet):",
    ]
    for event in result.events:
        lines.append(
            f"  {event.start_s:5.2f} s - {event.end_s:5.2f} s  {event.label}  {event.score:.3f}"
        )
    lines.append("right" if result.right else "WRONG: do not trust this machine's answers")
    return "\n".join(lines)


def _latency_ms(recognizer: Recognizer) -> float:
    size = recognizer.facts.image_size
    crops = np.zeros((recognizer.num_segments, size, size, 3), np.uint8)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        recognizer.logits(crops)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)
