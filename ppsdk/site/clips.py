"""[sinks.clips] of a site's file: a film of each event."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ppsdk.facts import ModelFacts
from ppsdk.sinks import Sink
from ppsdk.sinks.clips import ClipOptions, EventClips, look_back_s
from ppsdk.site.cameras import CameraSetup
from ppsdk.site.reading import Reading, Values
from ppsdk.site.schema import ClipsTable

_MB = 1_000_000


@dataclass(frozen=True)
class ClipsSetup:
    folder: Path
    options: ClipOptions
    kind: Literal["clips"] = "clips"

    def open(self, going_on: Collection[str]) -> EventClips:
        # Late: cameras are read already when clips come by a change of the file.
        return EventClips(self.folder, options=self.options, going_on=going_on, late_tap=True)

    def adapt(self, sink: Sink) -> bool:
        """Whether the sink that is there could take its options: it films into the same folder."""
        if not (isinstance(sink, EventClips) and sink.name == os.fspath(self.folder)):
            return False
        sink.change(self.options)
        return True


def read_clips(
    reading: Reading, given: Values, cameras: Collection[CameraSetup]
) -> ClipsSetup | None:
    """None where there is none, or something is wrong with it, which is told."""
    table = reading.table(ClipsTable, ("sinks", "clips"), given.get("clips"))
    if table is None:
        return None
    facts = reading.around.model
    late_s = [_look_back_s(camera, facts) for camera in cameras if isinstance(facts, ModelFacts)]
    options = ClipOptions(
        pre_s=table.pre_s,
        post_s=table.post_s,
        longest_s=table.longest_s,
        fps=table.fps,
        max_height=table.max_height,
        overlay=table.overlay,
        look_back_s=max(late_s, default=0.0),
        budget_bytes=max(1, round(table.budget_mb * _MB)),
    )
    return ClipsSetup(reading.around.state / table.path, options)


def _look_back_s(camera: CameraSetup, facts: ModelFacts) -> float:
    length_s = camera.length_s or facts.length_s
    grid = facts.grid(camera.length_s, camera.stride_s)
    return look_back_s(length_s, grid.stride_s, camera.events)
