"""How many of glibc's arenas the threads of a process use: counted by glibc itself."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, pathlib, sys, threading
from ppsdk import Recognizer
from ppsdk.demo.run import BUNDLED

with Recognizer(BUNDLED) as recognizer:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    together = threading.Barrier(12)

    def allocate():
        assert libc.malloc(1000)
        together.wait()

    threads = [threading.Thread(target=allocate) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    libc.fopen.restype = ctypes.c_void_p
    file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
    libc.malloc_info(0, file)
    libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize("said", [None, "6"])
def test_threads_share_two_heaps_unless_said_otherwise(tmp_path, said):
    environment = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
    if said is not None:
        environment["MALLOC_ARENA_MAX"] = said
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "arenas.xml")]
    subprocess.run(command, check=True, env=environment)
    arenas = (tmp_path / "arenas.xml").read_text().count("<heap nr=")
    # One may have been made before.
    assert arenas == 6 if said else arenas <= 3
