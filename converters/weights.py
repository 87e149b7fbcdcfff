"""From the arrays of a checkpoint to the weights of a network, every one accounted for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.architecture import (
    Architecture,
    Shape,
    blocks,
    branch_shapes,
    merged_shapes,
    other_shapes,
)
from ppsdk.errors import ModelError

Weights = dict[str, NDArray[np.float32]]

_NETWORK_NAME = re.compile(r"(?:^|\.)((?:stem|stages|last_conv|fc|global_attention)\..+)$")
_TEACHER = re.compile(r"(?:^|\.)Teacher\.")  # the other half of a checkpoint of DML training
# "0." is a saved student, "_layers." DataParallel.
_ACCEPTED_PREFIXES = "none, 'backbone.', 'Student.0.', '0.', '_layers.'"
_LISTED = 20


def strip_prefix(arrays: dict[str, NDArray[Any]], path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the network under their own names, without those of a Teacher.

    The prefix is the one under which most names of the network stand. Raises ModelError where
    there is none, where there are only a Teacher's, or where two networks are there to choose from.
    """
    prefixes = Counter(_prefix(name) for name in arrays)
    teachers = [prefix for prefix in prefixes if prefix and _TEACHER.search(prefix)]
    students = Counter({p: n for p, n in prefixes.items() if p is not None and p not in teachers})
    if not students:
        raise ModelError(
            f"{path}: no weights of PP-TSMv2 in it: "
            + (f"prefixes found: {_quoted(teachers)}, " if teachers else "")
            + f"names like {_quoted(list(arrays)[:3])}; accepted prefixes: {_ACCEPTED_PREFIXES}"
        )
    best, count = students.most_common(1)[0]
    rivals = [p for p, n in students.items() if p != best and n > count // 2]
    if rivals:
        raise ModelError(
            f"{path}: holds several networks, under {_quoted([best, *rivals])}: keep one of them"
        )
    prefix = best or ""
    return {
        name[len(prefix) :] if name.startswith(prefix) else f"{name} (outside {prefix!r})": array
        for name, array in arrays.items()
        if not _TEACHER.search(name)
    }


def read_architecture(
    arrays: dict[str, NDArray[Any]],
    path: Path,
    *,
    said_segments: dict[str, int | None],
    shift_stages: tuple[int, ...] = (3,),
    image_size: int = 224,
) -> Architecture:
    """Classes, LTA and with it the segments come from the arrays; without LTA nothing in a file
    tells 8 segments from 16, and what said_segments has by its sources does; 16 where that is None.
    Raises ModelError where two of them contradict each other.
    """
    bias, gate = arrays.get("fc.bias"), arrays.get("global_attention.fc.bias")
    has_lta = any(name.startswith("global_attention.") for name in arrays)
    if bias is not None and bias.shape == (0,):
        raise ModelError(f"{path}: fc.bias is empty: a model needs one class or more")
    said = {source: value for source, value in said_segments.items() if value is not None}
    if gate is not None and gate.ndim == 1:
        said["its temporal attention"] = len(gate)
    if len(set(said.values())) > 1:
        told = ", ".join(f"{source} says {value}" for source, value in said.items())
        raise ModelError(f"{path}: number of segments: {told}: they must agree")
    num_segments = next(iter(said.values()), 16)
    if not 2 <= num_segments <= 64:
        raise ModelError(f"{path}: {num_segments} segments: must be 2 to 64")
    return Architecture(
        num_segments=num_segments,
        num_classes=len(bias) if bias is not None and bias.ndim == 1 else 400,
        has_lta=has_lta,
        shift_stages=shift_stages,
        image_size=image_size,
    )


def check_weights(
    arrays: dict[str, NDArray[Any]], architecture: Architecture, path: Path
) -> Weights:
    """All weights as float32 in C order and native byte order.

    Raises one ModelError that lists every missing, unknown, wrong-shaped, non-finite, non-float
    array and every negative variance.
    """
    expected, optional = _expected_shapes(arrays, architecture)
    known = expected | optional
    present = [name for name in known if name in arrays]
    shaped = [name for name in present if arrays[name].shape == known[name]]
    floats = [name for name in present if arrays[name].dtype.kind == "f"]
    with np.errstate(over="ignore"):
        weights = {name: np.ascontiguousarray(arrays[name], np.float32) for name in floats}
    problems = [
        _problem("missing", [name for name in expected if name not in arrays]),
        _problem("unknown", [name for name in arrays if name not in known]),
        _problem(
            "wrong shape",
            [
                f"{name} {arrays[name].shape} (must be {known[name]})"
                for name in present
                if name not in shaped
            ],
        ),
        _problem(
            "not float16, float32 or float64",
            [f"{name} ({arrays[name].dtype})" for name in present if name not in floats],
        ),
        _problem("not finite", [name for name, w in weights.items() if not np.isfinite(w).all()]),
        _problem(
            "negative variance",
            [name for name, w in weights.items() if name.endswith("._variance") and (w < 0).any()],
        ),
    ]
    found = [problem for problem in problems if problem]
    if found:
        raise ModelError(f"{path}: not the weights of a PP-TSMv2: {'; '.join(found)}")
    return weights


def _expected_shapes(
    names: Iterable[str], architecture: Architecture
) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """What must be there, and what may. A block with any branch must have all of them, and may
    have the merged convolution too, which is then not used; one without must have that.
    """
    expected, optional = other_shapes(architecture), dict[str, Shape]()
    names = set(names)
    for block in blocks():
        if not block.branches:
            continue
        if any(name.startswith(f"{block.name}.dw_conv_list.") for name in names):
            expected |= branch_shapes(block)
            optional |= merged_shapes(block)
        else:
            expected |= merged_shapes(block)
    return expected, optional


def _prefix(name: str) -> str | None:
    match = _NETWORK_NAME.search(name)
    return None if match is None else name[: match.start(1)]


def _problem(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {what}: {', '.join(names[:_LISTED])}{more}"


def _quoted(names: Iterable[str | None]) -> str:
    return ", ".join(repr(name) for name in names)
