"""What `run` prints of its events, beside what sinks get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ppsdk.cli.shared import print_json
from ppsdk.cli.stderr import fail

if TYPE_CHECKING:
    from ppsdk.records import ActionEvent
    from ppsdk.sinks import Sinks


class Printed:
    """Called with each event. Where there are other sinks, a stdout that fails (a full disk, a
    reader that has gone) harms none of them; nor does one that nobody reads, where cameras would
    not wait for it: it is one of them then. has_failed: whether something could not be printed.
    """

    def __init__(self, sinks: Sinks, sources: Sequence[str], *, realtime: bool) -> None:
        from ppsdk.sinks import StdoutLines

        self.has_failed = False
        self._stdout = StdoutLines()
        self._is_alone = not sinks.sinks
        is_live = realtime or any("://" in source or source.isdecimal() for source in sources)
        self._is_sink = is_live and not self._is_alone
        if self._is_sink:
            sinks.add(self._stdout)

    def __call__(self, event: ActionEvent) -> None:
        if self._is_alone:
            print_json(event.to_dict())
        elif not (self._is_sink or self.has_failed):
            try:
                self._stdout(event)
            except OSError as error:
                self.has_failed = True
                fail(f"stdout: takes no more records: {error.strerror}", 1)
