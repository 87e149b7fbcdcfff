"""Checkpoint files are read without running code, whatever pickle wrote them."""

import collections
import io
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from converters.checkpoint import read_checkpoint
from ppsdk import ModelError

ARRAYS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.float32([1.5, -2]),
}


def read(tmp_path, content, name="x.pdparams"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 4))
    return read_checkpoint(path).arrays


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("container", [dict, collections.OrderedDict])
def test_every_pickle_protocol(tmp_path, protocol, container):
    arrays = read(tmp_path, pickle.dumps(container(ARRAYS), protocol))
    assert arrays.keys() == ARRAYS.keys()
    assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_types_byte_orders_and_layouts(tmp_path, dtype, order, protocol):
    array = np.asarray(ARRAYS["a.weight"], dtype, order=order)
    arrays = read(tmp_path, pickle.dumps({"x": array}, protocol))
    assert np.array_equal(arrays["x"], ARRAYS["a.weight"])


def test_a_checkpoint_of_python_2_and_an_old_numpy(tmp_path):
    """Protocol 2 as Python 2 wrote it: array data as a byte string, modules under old names."""
    data = b"\x80\x02}U\x01xcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    data += b"K\x00\x85U\x01b\x87R"
    data += b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
    data += b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08"
    data += struct.pack("<2f", 1.5, -2) + b"tbs."
    assert read(tmp_path, data)["x"].tolist() == [1.5, -2]


class _PaddleTensor:
    """As Paddle's `reduce_varbase` has it: a call of tuple on (name, array)."""

    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        return tuple, (("linear_0.w_0", self.array),)


def test_name_and_array_pairs_and_the_table_of_names(tmp_path):
    content = {
        "a": ("linear_0.w_0", ARRAYS["b"]),
        "c": _PaddleTensor(ARRAYS["b"]),
        "StructuredToParameterName@@": {"a": "linear_0.w_0"},
    }
    arrays = read(tmp_path, content)
    assert [arrays[name].tolist() for name in ("a", "c")] == [[1.5, -2]] * 2
    assert len(arrays) == 2


class _Call:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(
    "function", [os.system, eval, exec, getattr, __import__, io.open, np.load, bytes]
)
def test_no_code_is_run(tmp_path, function):
    mark = tmp_path / "ran"
    with pytest.raises(
        ModelError, match="asks to load .* only numpy arrays are accepted"
    ) as caught:
        read(tmp_path, {"x": _Call(function, f"touch {mark}")})
    assert not mark.exists() and "x.pdparams" in str(caught.value)


def test_encodings_other_than_latin1_are_refused(tmp_path):
    import codecs

    with pytest.raises(ModelError, match="only latin1 is accepted"):
        read(tmp_path, {"x": _Call(codecs.encode, "abc", "rot13")})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a .pdparams file, or damaged"),
        (b"<html>not found</html>", "not a .pdparams file, or damaged"),
        (b"PK\x03\x04rest", "is a zip file"),
        (pickle.dumps(ARRAYS, 4)[:-20], "not a .pdparams file, or damaged"),
        ([1, 2], "holds a list: must be a dict"),
        ({}, "holds no weights"),
        ({"x": np.zeros(2), "LR_Scheduler": {"last_epoch": 3}}, "'LR_Scheduler' .dict.*optimizer"),
        ({"x": 3.5}, "'x' .float. are no arrays"),
        ({3: np.zeros(2)}, "3 .array. are no arrays"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path, content, says):
    with pytest.raises(ModelError, match=says) as caught:
        read(tmp_path, content)
    assert "x.pdparams" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "array", [np.array([{}], object), np.array(["a"]), np.zeros(2, "f4,f4"), np.zeros(2, complex)]
)
def test_arrays_of_anything_but_plain_numbers_are_refused(tmp_path, array):
    with pytest.raises(ModelError, match="only plain numbers are accepted"):
        read(tmp_path, {"x": array})


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_damaged_bytes_are_an_error_or_arrays_and_nothing_else(tmp_path, protocol):
    """numpy's own unpickling crashes the interpreter on some of these."""
    rng = np.random.default_rng(protocol)
    whole = pickle.dumps(ARRAYS, protocol)
    refused = 0
    for _ in range(500):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[place] = rng.integers(0, 256)
        try:
            read(tmp_path, bytes(damaged))
        except ModelError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 166


def test_forged_numbers_take_no_memory(tmp_path):
    """LONG_BINPUT remembers a dict as object number 2^24, for which pickle in C takes 256 MB;
    BYTEARRAY8 says that as many bytes come.
    """
    whole = pickle.dumps(ARRAYS, 2)
    assert whole[:5] == b"\x80\x02}q\x00"
    remembers = whole[:3] + b"r" + (2**24).to_bytes(4, "little") + whole[5:]
    truncated = b"\x80\x05\x96" + (2**28).to_bytes(8, "little") + b"12345678."
    tracemalloc.start()
    try:
        assert read(tmp_path, remembers).keys() == ARRAYS.keys()
        with pytest.raises(ModelError, match="pickle data was truncated"):
            read(tmp_path, truncated)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        read_checkpoint(tmp_path / "none.pdparams")
    with pytest.raises(ModelError, match="not a file"):
        read_checkpoint(tmp_path)


def test_safetensors_of_bfloat16_are_told_as_such(tmp_path):
    """numpy has no such type: it was called damaged."""
    head = b'{"fc.weight":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    data = struct.pack("<Q", len(head)) + head + b"\x80\x3f\x00\x40"
    (tmp_path / "w.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match="holds bfloat16: must be saved as float32 or float16"):
        read_checkpoint(tmp_path / "w.safetensors")


def test_safetensors(tmp_path):
    numpy_format = pytest.importorskip("safetensors.numpy")
    numpy_format.save_file(ARRAYS, tmp_path / "x.safetensors", {"length_s": "2.5"})
    checkpoint = read_checkpoint(tmp_path / "x.safetensors")
    assert np.array_equal(checkpoint.arrays["a.weight"], ARRAYS["a.weight"])
    assert checkpoint.metadata == {"length_s": "2.5"}
    with pytest.raises(ModelError, match="not a .safetensors file, or damaged"):
        read(tmp_path, b"junk", "y.safetensors")
    numpy_format.save_file({}, tmp_path / "z.safetensors")
    with pytest.raises(ModelError, match="holds no weights"):
        read_checkpoint(tmp_path / "z.safetensors")
