"""Memory of a process that runs for months."""

from __future__ import annotations

import ctypes
import os
import sys

NUM_ARENAS = 2
_M_ARENA_MAX = -8  # malloc.h of glibc


def limit_arenas() -> None:
    """Let the threads of this process share two of glibc's heaps (arenas), unless MALLOC_ARENA_MAX
    or GLIBC_TUNABLES says how many; see mallopt(3).

    There are up to eight a core otherwise, and each keeps as much as whatever thread has ever
    needed of it: where threads come and go, as those do that decode cameras which are opened again
    and again, memory grows for hours. (In half an hour of `benchmarks/soak.py` by 26 MB, all
    of them free.) Does nothing where there is no glibc.

    `training.memory` asks glibc for the contrary, to keep what is freed: what trains ends after
    hours and needs as much at each step; what watches cameras is to need little for months.
    """
    said = "MALLOC_ARENA_MAX" in os.environ or "arena_max" in os.environ.get("GLIBC_TUNABLES", "")
    if sys.platform.startswith("linux") and not said:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, NUM_ARENAS)
