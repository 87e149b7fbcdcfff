"""Action recognition with PP-TSMv2 on OpenVINO: `from ppsdk import Recognizer`.

Names are loaded on first use, so that `import ppsdk` costs no NumPy, OpenVINO, OpenCV or FFmpeg.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ppsdk.errors import ModelError, VideoError
from ppsdk.version import __version__

if TYPE_CHECKING:
    from ppsdk.clips import sample_clip
    from ppsdk.event_options import EventOptions
    from ppsdk.events import EventDetector, detect_events
    from ppsdk.recognizer import Recognizer
    from ppsdk.records import ActionEvent, Clip, Frame, WindowScores
    from ppsdk.sources import LiveOptions, open_source
    from ppsdk.statistics import StreamStatistics
    from ppsdk.status import StreamStatus
    from ppsdk.stream_options import StreamOptions
    from ppsdk.streams import Streams, StreamWindow

# At each import OpenVINO tells Google Analytics of it, from a thread and a process of its own, and
# keeps an id in the home folder; so does NNCF at work. Both do without where it is not installed.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

_HOME = {
    "ActionEvent": "ppsdk.records",
    "Clip": "ppsdk.records",
    "EventDetector": "ppsdk.events",
    "EventOptions": "ppsdk.event_options",
    "Frame": "ppsdk.records",
    "LiveOptions": "ppsdk.sources",
    "Recognizer": "ppsdk.recognizer",
    "StreamOptions": "ppsdk.stream_options",
    "StreamStatistics": "ppsdk.statistics",
    "StreamStatus": "ppsdk.status",
    "StreamWindow": "ppsdk.streams",
    "Streams": "ppsdk.streams",
    "WindowScores": "ppsdk.records",
    "detect_events": "ppsdk.events",
    "open_source": "ppsdk.sources",
    "sample_clip": "ppsdk.clips",
}

__all__ = [
    "ActionEvent",
    "Clip",
    "EventDetector",
    "EventOptions",
    "Frame",
    "LiveOptions",
    "ModelError",
    "Recognizer",
    "StreamOptions",
    "StreamStatistics",
    "StreamStatus",
    "StreamWindow",
    "Streams",
    "VideoError",
    "WindowScores",
    "__version__",
    "detect_events",
    "open_source",
    "sample_clip",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ppsdk' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
