"""The line that every figure needs beside it."""

from __future__ import annotations

import platform
from datetime import date
from importlib.metadata import version
from os import cpu_count
from pathlib import Path

ISA = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def machine_line() -> str:
    """CPU, its instruction sets that matter here, cores, versions, date."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("openvino", "av", "opencv-python"))
    name, flags = _cpu()
    isa = " ".join(flag for flag in ISA if flag in flags)
    python = platform.python_version()
    return f"{name} ({isa}), {cpu_count()} cores, Python {python}, {packages}, {date.today()}"


def _cpu() -> tuple[str, set[str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {key.strip(): value.strip() for key, value in facts.items()}
    return named.get("model name", platform.machine()), set(named.get("flags", "").split())
