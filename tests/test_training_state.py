"""The file that a killed training goes on from."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from ppsdk import ModelError  # noqa: E402
from training.state import read_state, save_state  # noqa: E402


def test_it_is_read_as_it_was_saved(tmp_path):
    file = tmp_path / "state.pt"
    assert read_state(file, {"epochs": 3}) is None
    save_state(file, {"epochs": 3}, {"weights": torch.arange(3), "done": 1})
    save_state(file, {"epochs": 3}, {"weights": torch.arange(4), "done": 2})
    content = read_state(file, {"epochs": 3})
    assert content["done"] == 2 and content["weights"].tolist() == [0, 1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_one_that_is_no_use_is_named(tmp_path):
    file = tmp_path / "state.pt"
    save_state(file, {"epochs": 3}, {})
    other = r"state.pt: is of another recipe or data \(epochs was 3, is 4\): choose another folder"
    with pytest.raises(ModelError, match=other):
        read_state(file, {"epochs": 4})
    whole = file.read_bytes()
    for damaged in (b"", b"junk", whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(ModelError, match="state.pt: cannot go on from it .*: delete it"):
            read_state(file, {"epochs": 3})
