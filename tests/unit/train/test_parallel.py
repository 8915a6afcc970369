"""Two processes on the CPU stand for two GPUs."""

import csv

import pytest
import torch
from safetensors.torch import load_file
from toy_training import train_shared
from toy_unclip import train_shared_unclip

from mindeye2.errors import UserError
from mindeye2.train.parallel import gather_rows, run_on, usable_devices


def train_both(folder):
    """A decoder and an unCLIP network, in that order; then all processes refuse to go on."""
    for train, name in ((train_shared, "decoder"), (train_shared_unclip, "unclip")):
        train(folder / name)
    raise UserError("all done, says a process")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What one process made, and what two did."""
    folders = [tmp_path_factory.mktemp(name) for name in ("alone", "together")]
    for devices, folder in enumerate(folders, start=1):
        with pytest.raises(UserError, match="all done, says a process"):
            run_on(devices, train_both, folder)
    return folders


def histories(folders, name):
    return zip(*(csv.DictReader((folder / name / "history.csv").open()) for folder in folders), strict=True)


def test_two_processes_compute_what_one_does(trained):
    """Each process has a row of every subject; sums differ in their last digits, which Adam blows up in time."""
    for ours, theirs in histories(trained, "decoder"):
        for name in ("loss", "prior", "clip", "lowlevel", "contrastive", "lr"):
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-5), name
    models = [load_file(folder / "decoder" / "model.safetensors") for folder in trained]
    for name in ("ridge.linears.0.weight", "ridge.linears.2.weight", "token_head.weight", "lowlevel.to_maps.weight"):
        torch.testing.assert_close(models[0][name], models[1][name], atol=1e-4, rtol=0)


def test_two_processes_train_unclip_as_one_does(trained):
    for ours, theirs in histories(trained, "unclip"):
        assert float(ours["loss"]) == pytest.approx(float(theirs["loss"]), rel=1e-4)
    ours, theirs = (load_file(each / "unclip" / "diffusion_pytorch_model.safetensors") for each in trained)
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], atol=2e-4, rtol=0, msg=name)


def test_alone_rows_are_all_rows():
    rows = torch.randn(3, 2)
    assert gather_rows(rows) is rows


def test_devices_divide_the_batch(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert [usable_devices(rows) for rows in (42, 24, 7, 13, 1)] == [7, 8, 7, 1, 1]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert usable_devices(24) == 1
