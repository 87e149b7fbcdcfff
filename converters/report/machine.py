"""What figures of speed belong to."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import openvino as ov
import openvino.properties as props

# Instruction sets that decide how fast INT8 and bf16 are, as Linux names them.
ISA = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
INT8_ISA = ("avx512_vnni", "avx_vnni", "amx_int8")
PACKAGES = ("openvino", "nncf", "av", "opencv-python", "numpy")


@dataclass(frozen=True)
class Machine:
    """isa: of ISA, what the CPU has; None where the system does not tell. cores: that this process
    may use. governor: of frequencies, "" where there is none to see. is_vm: under a hypervisor,
    None where the system does not tell. notes: what to bear in mind with its figures.
    """

    cpu: str
    isa: tuple[str, ...] | None
    cores: int
    governor: str
    is_vm: bool | None
    system: str
    python: str
    packages: dict[str, str]
    date: str
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        isa = "instruction sets unknown" if self.isa is None else " ".join(self.isa) or "no AVX2"
        where = "" if self.is_vm is None else ", virtual machine" if self.is_vm else ", bare metal"
        governor = f", governor {self.governor}" if self.governor else ""
        versions = ", ".join(f"{name} {text}" for name, text in self.packages.items())
        return (
            f"{self.cpu} ({isa}), {self.cores} cores{where}{governor}, {self.system}, "
            f"Python {self.python}, {versions}, {self.date}"
        )


def this_machine() -> Machine:
    flags = _cpu_flags()
    cpu = str(ov.Core().get_property("CPU", props.device.full_name))
    isa = None if flags is None else tuple(name for name in ISA if name in flags)
    return Machine(
        cpu=cpu,
        isa=isa,
        cores=_cores(),
        governor=_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        is_vm=None if flags is None else "hypervisor" in flags,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages=_versions(),
        date=date.today().isoformat(),
        notes=notes_on(cpu, isa),
    )


def notes_on(cpu: str, isa: tuple[str, ...] | None) -> tuple[str, ...]:
    """What a reader has to know before these figures are carried to another CPU, or believed."""
    notes = []
    if "intel" not in cpu.lower():
        notes.append(
            f"{cpu} is not Intel's: OpenVINO is tuned for Intel CPUs, and speed there may differ"
        )
    if isa is None:
        notes.append("the system does not tell the CPU's instruction sets")
    elif not set(isa) & set(INT8_ISA):
        notes.append(
            "no VNNI: 8-bit products are added up in 16 bits, which is slower, and may saturate: "
            "quantize with NNCF's overflow_fix (weights of 7 bits) where INT8 answers look wrong"
        )
    return tuple(notes)


def _cpu_flags() -> set[str] | None:
    for line in _text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return set(value.split())
    return None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError:
        return ""
