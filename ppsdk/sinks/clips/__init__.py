"""A short film of each event, from frames that were decoded anyway."""

from ppsdk.sinks.clips.options import ClipOptions, look_back_s
from ppsdk.sinks.clips.sink import ClipCounts, EventClips, clip_counts

__all__ = ["ClipCounts", "ClipOptions", "EventClips", "clip_counts", "look_back_s"]
