"""Files that come from elsewhere: what they may hold, and what is refused before it can do anything."""

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from tiny_decoder import normal

from mindeye2.errors import UserError
from mindeye2.model.released import read_released, write_released

STATE = OrderedDict(b=normal(40, 50), a=normal(3))


class Hostile:
    """Unpickled by the ordinary loader, it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "last.pth"
    torch.save({"model_state_dict": STATE}, path)
    return path


def equal(state):
    return list(state) == list(STATE) and all(torch.equal(state[name], value) for name, value in STATE.items())


def test_what_is_written_is_read(tmp_path):
    write_released(tmp_path / "last.pth", {name: value.double() for name, value in STATE.items()})
    state = read_released(tmp_path / "last.pth")
    assert equal(state)
    assert {value.dtype for value in state.values()} == {torch.float32}


def test_other_entries_are_passed_over(file):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))]).state_dict()
    losses = [0.5, np.float64(0.25), np.float32(1), np.int64(3)]
    torch.save(
        {"epoch": 149, "model_state_dict": STATE, "optimizer_state_dict": optimizer, "train_losses": losses}, file
    )
    assert equal(read_released(file))


def test_a_state_dict_alone_and_the_format_of_old_torch(file):
    torch.save(STATE, file)
    assert equal(read_released(file))
    torch.save({"model_state_dict": STATE}, file, _use_new_zipfile_serialization=False)
    assert equal(read_released(file))


def test_tensors_are_mapped_and_the_file_stays_as_it_is(file):
    before = file.read_bytes()
    state = read_released(file)
    state["b"].zero_()
    assert file.read_bytes() == before
    with open("/proc/self/maps") as maps:
        assert any(str(file) in line for line in maps)


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("place", ["model_state_dict", "optimizer_state_dict"])
def test_a_file_that_runs_code_is_refused_before_it_does(file, tmp_path, archive, place):
    content = {"model_state_dict": STATE, place: Hostile(tmp_path / "mark")}
    torch.save(content, file, _use_new_zipfile_serialization=archive)
    with pytest.raises(UserError, match=r"last\.pth: would run posix\.mkdir when it is read.*do not trust"):
        read_released(file)
    assert not (tmp_path / "mark").exists()

    torch.load(file, weights_only=False)
    assert (tmp_path / "mark").exists(), "the file is a real one"


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_plain_pickle_that_runs_code_is_refused(file, tmp_path, protocol):
    file.write_bytes(pickle.dumps(Hostile(tmp_path / "mark"), protocol))
    with pytest.raises(
        UserError, match=r"last\.pth: (would run posix.mkdir|damaged, or not to be read without running)"
    ):
        read_released(file)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("length", [0, 2, 1000, -1])
def test_truncated(file, length):
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(UserError, match=r"last\.pth: truncated"):
        read_released(file)


def test_a_piece_missing_in_the_middle(file):
    content = file.read_bytes()
    file.write_bytes(content[:1000] + content[1600:])
    with pytest.raises(UserError, match=r"last\.pth: damaged") as caught:
        read_released(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list instead of tensors by name"),
        ({}, "holds no tensor"),
        ({"state_dict": {"a": torch.ones(1)}}, "holds a dict under 'state_dict' where tensors are"),
        ({"model_state_dict": {"a": 1}}, "holds a int under 'a' where tensors are"),
        ({"model_state_dict": {3: torch.ones(1)}}, "holds a Tensor under 3 where tensors are"),
        (torch.nn.Linear(1, 1), r"would run torch\.nn\.modules\.linear\.Linear"),
    ],
)
def test_no_released_model(file, content, message):
    torch.save(content, file)
    with pytest.raises(UserError, match=message):
        read_released(file)


@pytest.mark.parametrize("content", [b"<html>404</html>", bytes(2000)])
def test_no_checkpoint_at_all(file, content):
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"last\.pth: damaged, or not to be read"):
        read_released(file)
