"""How long to wait before the next try."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

# At most five tries a second.
SHORTEST_S = 0.2
LONGEST_S = 10.0


class Backoff:
    """Delays that double from try to try, up to LONGEST_S, with jitter so that cameras that went
    together are not asked together. A connection that lived longer than it was waited for starts
    again from the shortest.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._delay_s = SHORTEST_S
        self._waited_s = 0.0
        self._tried_s = -LONGEST_S

    def try_now(self) -> None:
        """To be called with each try."""
        self._tried_s = self._clock()

    def lived(self, seconds: float) -> None:
        """To be called when a connection is over: for how long it delivered."""
        if seconds >= self._waited_s:
            self._delay_s = SHORTEST_S

    def next_delay_s(self) -> float:
        """Seconds from now to the next try: the delay from the last one's end, 1 to 1.5 times."""
        self._waited_s = min(LONGEST_S, self._delay_s * random.uniform(1.0, 1.5))
        self._delay_s = min(LONGEST_S, 2 * self._delay_s)
        since_s = self._clock() - self._tried_s
        return max(self._waited_s, SHORTEST_S - since_s)
