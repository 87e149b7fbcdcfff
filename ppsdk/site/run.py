"""A site at work, and how it changes while it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from ppsdk.recognizer import Recognizer
from ppsdk.records import ActionEvent
from ppsdk.sinks import Sinks
from ppsdk.sinks.clips import EventClips
from ppsdk.site.cameras import CameraSetup
from ppsdk.site.changeable import Changeable
from ppsdk.site.load import ModelSetup, Site
from ppsdk.site.sinks import SinkSetup
from ppsdk.site.tap import CurrentTap
from ppsdk.sources import LiveOptions

log = logging.getLogger(__name__)


class RunningSite:
    """The cameras of a site, and its sinks; a context manager.

    `run` is for one thread; `change` for another, one at a time; `stop` for any.
    """

    def __init__(self, site: Site, recognizer: Recognizer) -> None:
        self._model = site.model
        self._going_on: set[str] = set()
        self._changeables: dict[str, Changeable] = {}
        self.stopped = False
        timeout_s = site.model.timeout_s
        live = LiveOptions(open_timeout_s=timeout_s, read_timeout_s=timeout_s, wait=True)
        with ExitStack() as opened:
            for setup in site.sinks:
                sink = opened.enter_context(Changeable(setup))
                self._changeables[setup.kind] = sink
            self.streams = opened.enter_context(
                recognizer.streams(
                    [camera.stream() for camera in site.cameras],
                    live=live,
                    tap=CurrentTap(self._clips),
                )
            )
            self.sinks = Sinks(self._changeables.values())
            opened.pop_all()
        self._cameras = {camera.name: camera for camera in site.cameras}

    def run(self, on_event: Callable[[ActionEvent], None]) -> None:
        """Until all cameras are over, or `stop`. on_event: called with what the sinks are given."""
        for event in self.streams.events():
            if event.phase == "end":
                self._going_on.discard(event.id)
            else:
                self._going_on.add(event.id)
            self.sinks(event)
            on_event(event)

    def change(self, site: Site) -> str:
        """Be what a changed file says, and say what has changed. Cameras and sinks that stay as
        they are notice nothing. Raises ValueError where only a restart can do that, and does
        nothing then: options of events may be for labels that the model of the moment has not.
        """
        changed = _changed(self._model, site.model)
        if changed:
            raise ValueError(f"{', '.join(changed)}: changed, which takes a restart")
        done = [*self._change_sinks(site.sinks), *self._change_cameras(site.cameras)]
        return ", ".join(done) or "nothing has changed"

    def failed(self) -> list[str]:
        """Names of the cameras that are over for good, other than by their end."""
        return [name for name, fare in self.streams.statistics().items() if fare.error]

    def stop(self) -> None:
        """End what goes on; `run` returns when that has been told."""
        self.stopped = True
        self.streams.close()

    def close(self) -> None:
        """Give the sinks their time for what they have not done."""
        self.streams.close()
        self.sinks.close()

    def __enter__(self) -> RunningSite:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _clips(self) -> EventClips | None:
        """Those of the moment."""
        changeable = self._changeables.get("clips")
        sink = None if changeable is None else changeable.sink
        return sink if isinstance(sink, EventClips) else None

    def _change_sinks(self, setups: Iterable[SinkSetup]) -> Iterable[str]:
        wanted = {setup.kind: setup for setup in setups}
        for kind in [kind for kind in self._changeables if kind not in wanted]:
            self.sinks.remove(kind)
            del self._changeables[kind]
            yield f"without sink {kind}"
        for kind, setup in wanted.items():
            known = self._changeables.get(kind)
            if known is not None and known.is_open and known.setup == setup:
                continue
            try:
                if known is not None:
                    known.change(setup)
                else:
                    self._changeables[kind] = Changeable(setup, going_on=set(self._going_on))
                    self.sinks.add(self._changeables[kind])
            except (OSError, ValueError) as error:
                log.error("sink %s cannot be opened: %s", kind, error)
                yield f"sink {kind} {'stays as it was' if known else 'is not there'}"
            else:
                yield f"{'another' if known else 'new'} sink {kind}"

    def _change_cameras(self, cameras: Iterable[CameraSetup]) -> Iterable[str]:
        wanted = {camera.name: camera for camera in cameras}
        failed = self.failed()
        for name, camera in wanted.items():
            known = self._cameras.get(name)
            if known != camera or name in failed:
                # Replaced in one go: without any, the streams would be over.
                self.streams.add(camera.stream(), replace=True)
                self._cameras[name] = camera
                yield f"{_how(known, camera)} camera {name}"
        for name in [name for name in self._cameras if name not in wanted]:
            self.streams.remove(name)
            del self._cameras[name]
            yield f"without camera {name}"


def _how(known: CameraSetup | None, camera: CameraSetup) -> str:
    if known is None:
        return "new"
    return "another" if known != camera else "once more"


def _changed(before: ModelSetup, after: ModelSetup) -> list[str]:
    """As the site's file calls it."""
    changed = []
    if before.folder != after.folder:
        changed.append("model")
    elif before.sha256 != after.sha256:
        changed.append(f"the files in {after.folder}")
    settings = ("precision", "threads", "timeout_s")
    return changed + [key for key in settings if getattr(before, key) != getattr(after, key)]
