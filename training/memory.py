"""Memory that a training step frees is kept for the next one."""

from __future__ import annotations

import ctypes
import sys

# mallopt's parameters, malloc.h of glibc.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """For the rest of this process, for commands that do nothing but train on a CPU; whether it was
    possible: with glibc.

    Unless told otherwise, glibc gives each large block back to the system, which hands it out again
    page by page and cleared: a third of the processor's time of a step at 224 px, and far more of
    the clock's where the machine has other work. The process keeps the most that it ever had, which
    is not for what runs for months: that has `ppsdk.memory`, which knows nothing of training.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or not hasattr(libc, "gnu_get_libc_version"):
        return False
    return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
