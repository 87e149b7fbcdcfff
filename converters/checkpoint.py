"""Read a checkpoint file: arrays by name and its metadata. No Paddle, and no code is run."""

from __future__ import annotations

import codecs
import json
import pickle
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ppsdk.errors import ModelError

try:  # numpy 2 moved the module and kept the name in its pickles
    from numpy._core.multiarray import _reconstruct
    from numpy._core.numeric import _frombuffer  # type: ignore[attr-defined]
except ImportError:
    from numpy.core.multiarray import _reconstruct  # type: ignore[no-redef]
    from numpy.core.numeric import _frombuffer  # type: ignore[no-redef]

NAME_TABLE = "StructuredToParameterName@@"  # Paddle's table of parameter names, not weights


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """arrays: as stored, by their full names. metadata: of a .safetensors, else empty."""

    path: Path
    arrays: dict[str, NDArray[Any]]
    metadata: dict[str, str] = field(default_factory=dict)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read .pdparams or .safetensors; ModelError for anything else and for what is no array."""
    if not path.is_file():
        raise ModelError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return Checkpoint(path, _arrays(_unpickle(path), path))


class _ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays and containers only: a pickle can name any function to run."""

    _ALLOWED = {
        ("collections", "OrderedDict"): OrderedDict,
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        **{
            (f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")
        },
        **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
        # Paddle writes a tensor as tuple((name, array)); protocol 2 writes bytes as encoded text.
        ("builtins", "tuple"): tuple,
        ("__builtin__", "tuple"): tuple,
    }

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        if (module, name) not in self._ALLOWED:
            raise ModelError(
                f"asks to load {module}.{name}: only numpy arrays are accepted in a checkpoint"
            )
        return self._ALLOWED[module, name]


def _encode_latin1(text: str, encoding: str) -> bytes:
    if codecs.lookup(encoding).name != "iso8859-1":
        raise ModelError(f"asks to encode with {encoding!r}: only latin1 is accepted")
    return text.encode("latin1")


def _unpickle(path: Path) -> object:
    with path.open("rb") as file:
        start = file.read(4)
        if start == b"PK\x03\x04":
            raise ModelError(f"{path}: is a zip file (PyTorch?): must be .pdparams or .safetensors")
        file.seek(0)
        try:
            return _ArrayUnpickler(file).load()
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None
        except Exception as error:  # a damaged pickle can raise almost anything
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise ModelError(f"{path}: not a .pdparams file, or damaged ({what[:200]})") from None


def _arrays(content: object, path: Path) -> dict[str, NDArray[Any]]:
    if not isinstance(content, dict):
        raise ModelError(f"{path}: holds a {type(content).__name__}: must be a dict of arrays")
    arrays: dict[str, NDArray[Any]] = {}
    foreign: list[str] = []
    for name, value in content.items():
        if name == NAME_TABLE:
            continue
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
            value = value[1]
        if isinstance(name, str) and isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            foreign.append(f"{name!r} ({type(value).__name__})")
    if foreign:
        raise ModelError(
            f"{path}: not weights alone: {', '.join(foreign[:5])} "
            "are no arrays (optimizer state, .pdopt, passed by mistake?)"
        )
    if not arrays:
        raise ModelError(f"{path}: holds no weights: must be a trained checkpoint")
    return arrays


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ModelError(
            f"{path}: reading .safetensors needs safetensors: pip install 'ppsdk[convert]'"
        ) from None
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, TypeError, OSError, json.JSONDecodeError) as error:
        raise ModelError(f"{path}: not a .safetensors file, or damaged ({error})") from None
    if not arrays:
        raise ModelError(f"{path}: holds no weights: must be a trained checkpoint")
    return Checkpoint(path, arrays, metadata)
