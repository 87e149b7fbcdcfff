"""Memory that is freed is not fetched again page by page."""

import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import numpy as np
from training.memory import keep_freed_memory

keeps = sys.argv[1] == "keep" and keep_freed_memory()
faults = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = np.empty(40_000_000, np.uint8)
    block.fill(1)
    del block
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(int(keeps), *faults)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="is about glibc")
def test_a_block_that_was_freed_is_used_again():
    """40 MB are 9,766 pages of 4 KiB, or 20 of 2 MiB where the system hands out huge ones."""

    def count(mode):
        done = subprocess.run(
            [sys.executable, "-c", COUNT, mode], capture_output=True, text=True, check=True
        )
        return [int(word) for word in done.stdout.split()]

    _, *fetched = count("fetch")
    keeps, first, *again = count("keep")
    if not keeps:
        pytest.skip("needs glibc")
    assert min(fetched) >= 19 and first >= 19
    assert max(again) <= 2
