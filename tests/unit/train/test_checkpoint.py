import errno
import os
import stat

import pytest
import torch
from torch import nn

from mindeye2.train.checkpoint import MODEL, NOTE, Checkpoint, load, restore, resume, save, steps
from mindeye2.train.optim import AdamW, Rate, parameter_groups


def trained(steps=1, width=3):
    torch.manual_seed(0)
    model = nn.Linear(width, 2)
    optimizer = AdamW(parameter_groups(model.named_parameters(), weight_decay=0.1))
    for _ in range(steps):
        model(torch.ones(1, width)).sum().backward()
        optimizer.step(Rate(0.1, 0.9))
    return model, optimizer


def written(folder, step, **note):
    model, optimizer = trained(step)
    save(folder, Checkpoint(step, model.state_dict(), optimizer.state_dict(), note))
    return model, optimizer


def test_the_newest_comes_back_whole(tmp_path):
    written(tmp_path, 1)
    theirs, their_optimizer = written(tmp_path, 2, rows=[{"loss": 0.1}])
    model, optimizer = trained(0)
    found = resume(tmp_path, model, optimizer)
    assert (found.step, found.note) == (2, {"rows": [{"loss": 0.1}]})
    assert torch.equal(model.weight, theirs.weight)
    ours, state = optimizer.state_dict(), their_optimizer.state_dict()
    assert ours.keys() == state.keys()
    assert all(torch.equal(ours[name], state[name]) for name in state)
    assert ours["steps"].item() == 2


def test_two_are_kept(tmp_path):
    for step in (1, 2, 3):
        written(tmp_path, step)
    assert steps(tmp_path) == [3, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000002", "000000003"]


def test_those_that_were_passed_over_make_room_for_the_next(tmp_path):
    for step in (8, 9):
        written(tmp_path, step)
        (tmp_path / f"{step:09d}" / MODEL).write_bytes(b"damaged")
    assert resume(tmp_path, *trained(0)) is None
    for step in (1, 2):
        written(tmp_path, step)
    assert steps(tmp_path) == [2, 1]


def test_a_file_server_that_does_not_answer_costs_no_checkpoint(tmp_path, monkeypatch):
    written(tmp_path, 1)

    def stale(path):
        raise OSError(errno.ESTALE, "Stale file handle", str(path))

    monkeypatch.setattr("mindeye2.train.checkpoint.load_file", stale)
    with pytest.raises(OSError, match="Stale file handle"):
        resume(tmp_path, *trained(0))


def test_all_files_are_as_open_as_the_umask_says(tmp_path):
    before = os.umask(0o007)
    try:
        written(tmp_path, 1)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "000000001").iterdir()} == {0o660}


def test_a_step_can_be_written_again(tmp_path):
    written(tmp_path, 1)
    written(tmp_path, 1, again=True)
    assert load(tmp_path, 1).note == {"again": True}


def test_nothing_there_is_the_beginning(tmp_path):
    model, optimizer = trained(0)
    assert resume(tmp_path / "checkpoint", model, optimizer) is None


def test_drafts_do_not_count(tmp_path):
    written(tmp_path, 1)
    (tmp_path / "000000002.part").mkdir()
    assert steps(tmp_path) == [1]
    written(tmp_path, 2)
    assert steps(tmp_path) == [2, 1]


@pytest.mark.parametrize("damage", ["absent", "cut", "other step", "not json"])
def test_a_damaged_one_is_passed_over(tmp_path, damage, capsys):
    written(tmp_path, 1)
    written(tmp_path, 2)
    newest = tmp_path / "000000002"
    if damage == "absent":
        (newest / MODEL).unlink()
    elif damage == "cut":
        (newest / MODEL).write_bytes((newest / MODEL).read_bytes()[:-1])
    else:
        (newest / NOTE).write_text('{"step": 7, "note": {}}' if damage == "other step" else "{")
    model, optimizer = trained(0)
    assert resume(tmp_path, model, optimizer).step == 1
    said = capsys.readouterr().err
    assert said.startswith(f"checkpoint {newest}: passed over (")
    assert said.count("\n") == 1


def test_one_of_another_model_touches_nothing(tmp_path):
    written(tmp_path, 1)
    model, optimizer = trained(0, width=4)
    before = model.weight.detach().clone()
    with pytest.raises(ValueError, match="another model"):
        restore(load(tmp_path, 1), model, optimizer)
    assert torch.equal(model.weight, before)
