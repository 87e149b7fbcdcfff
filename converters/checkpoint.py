"""Read a checkpoint file: arrays by name and its metadata. No Paddle, and no code is run."""

from __future__ import annotations

import codecs
import io
import json
import pickle
import re
import struct
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ppsdk.errors import ModelError

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
    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    return Checkpoint(path, _arrays(_unpickle(path), path))


class _StoredType:
    """What a pickle says of a numpy dtype. numpy is not given it unchecked: a damaged or malicious
    state crashes the interpreter.
    """

    _CODE = re.compile(r"[fiu][1248]|b1")

    def __init__(self, code: object, *_flags: object) -> None:
        if not (isinstance(code, str) and self._CODE.fullmatch(code)):
            raise ModelError(f"holds an array of type {code!r}: only plain numbers are accepted")
        self._code = code
        self._order = "="

    def __setstate__(self, state: tuple[object, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise ModelError(f"holds an array of byte order {state[1]!r}")
        self._order = str(state[1])

    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self._order + self._code)


class _StoredArray:
    """What a pickle says of a numpy array, in either of the two ways that numpy pickles one."""

    def __init__(self, *_ignored: object) -> None:
        self._set((0,), _StoredType("f4"), "C", b"")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, stored_type, is_fortran, data = state
        self._set(shape, stored_type, "F" if is_fortran else "C", data)

    @classmethod
    def from_buffer(
        cls,
        data: Any,
        stored_type: Any,
        shape: Any,
        order: Any,
        axes: tuple[int, ...] | None = None,
    ) -> _StoredArray:
        array = cls()
        array._set(shape, stored_type, order, data, axes)
        return array

    def array(self) -> NDArray[Any]:
        # Python 2 pickled bytes as text, which is read as latin1.
        data = self._data.encode("latin1") if isinstance(self._data, str) else bytes(self._data)
        flat = np.frombuffer(data, self._type.dtype())
        if self._axes is None:
            return flat.reshape(self._shape, order=self._order)
        return flat.reshape(self._shape).transpose(self._axes)

    def _set(
        self,
        shape: tuple[int, ...],
        stored_type: _StoredType,
        order: Any,
        data: Any,
        axes: tuple[int, ...] | None = None,
    ) -> None:
        self._shape, self._type, self._order = shape, stored_type, order
        self._data, self._axes = data, axes


class _ArrayUnpickler(pickle._Unpickler):
    """Builds arrays and containers only: a pickle can name any function to run.

    The one in Python, whose memo is a dict: that in C takes 16 bytes a number up to the highest
    that an object is remembered under, and a forged one (2^31) would take the machine's memory.
    """

    _ALLOWED = {
        ("collections", "OrderedDict"): OrderedDict,
        ("numpy", "dtype"): _StoredType,
        ("numpy", "ndarray"): _StoredArray,
        # numpy 2 moved these from core to _core.
        ("numpy.core.multiarray", "_reconstruct"): _StoredArray,
        ("numpy._core.multiarray", "_reconstruct"): _StoredArray,
        ("numpy.core.numeric", "_frombuffer"): _StoredArray.from_buffer,
        ("numpy._core.numeric", "_frombuffer"): _StoredArray.from_buffer,
        # Paddle writes a tensor as tuple((name, array)); protocol 2 writes bytes as encoded text.
        ("builtins", "tuple"): tuple,
        ("__builtin__", "tuple"): tuple,
    }

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")

    def load_bytearray8(self) -> None:
        """As inherited, but a length that is not there takes no memory before it is found out."""
        (length,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        data = self.read(length)  # type: ignore[attr-defined]
        if len(data) < length:
            raise pickle.UnpicklingError("pickle data was truncated")
        self.append(bytearray(data))  # type: ignore[attr-defined]

    dispatch = {
        **pickle._Unpickler.dispatch,
        pickle.BYTEARRAY8[0]: load_bytearray8,  # type: ignore[dict-item]
    }

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
    # In memory, a read of more bytes than there are takes no more than those.
    content = path.read_bytes()
    if content.startswith(b"PK\x03\x04"):
        raise ModelError(f"{path}: is a zip file (PyTorch?): must be .pdparams or .safetensors")
    try:
        return _ArrayUnpickler(io.BytesIO(content)).load()
    except ModelError as error:
        raise ModelError(f"{path}: {' '.join(str(error).split())}") from None
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
        if isinstance(name, str) and isinstance(value, _StoredArray):
            arrays[name] = _to_numpy(name, value, path)
        else:
            what = "array" if isinstance(value, _StoredArray) else type(value).__name__
            foreign.append(f"{name!r} ({what})")
    if foreign:
        raise ModelError(
            f"{path}: not weights alone: {', '.join(foreign[:5])} "
            "are no arrays (optimizer state, .pdopt, passed by mistake?)"
        )
    if not arrays:
        raise ModelError(f"{path}: holds no weights: must be a trained checkpoint")
    return arrays


def _to_numpy(name: str, stored: _StoredArray, path: Path) -> NDArray[Any]:
    try:
        return stored.array()
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ModelError(f"{path}: array {name!r} is damaged ({error})") from None


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
            dtypes = {str(file.get_slice(name).get_dtype()) for name in file.keys()}
            if "BF16" in dtypes:
                raise ModelError(f"{path}: holds bfloat16: must be saved as float32 or float16")
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, TypeError, OSError, json.JSONDecodeError) as error:
        raise ModelError(f"{path}: not a .safetensors file, or damaged ({error})") from None
    if not arrays:
        raise ModelError(f"{path}: holds no weights: must be a trained checkpoint")
    return Checkpoint(path, arrays, metadata)
