"""Two processes on the CPU stand for two GPUs."""

import csv

import pytest
import torch
from safetensors.torch import load_file
from toy_training import train_shared

from mindeye2.errors import UserError
from mindeye2.train.parallel import gather_rows, run_on, usable_devices


def test_two_processes_compute_what_one_does(tmp_path):
    """Each process has a row of every subject; sums differ in their last digits, which Adam blows up in time."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    for devices, folder in ((1, alone), (2, together)):
        with pytest.raises(UserError, match="all done, says a process"):
            run_on(devices, train_shared, folder)
    rows = [list(csv.DictReader((folder / "history.csv").open())) for folder in (alone, together)]
    for ours, theirs in zip(*rows, strict=True):
        for name in ("loss", "prior", "clip", "lowlevel", "contrastive", "lr"):
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-5), name
    models = [load_file(folder / "model.safetensors") for folder in (alone, together)]
    for name in ("ridge.linears.0.weight", "ridge.linears.2.weight", "token_head.weight", "lowlevel.to_maps.weight"):
        torch.testing.assert_close(models[0][name], models[1][name], atol=1e-4, rtol=0)


def test_alone_rows_are_all_rows():
    rows = torch.randn(3, 2)
    assert gather_rows(rows) is rows


def test_devices_divide_the_batch(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert [usable_devices(rows) for rows in (42, 24, 7, 13, 1)] == [7, 8, 7, 1, 1]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert usable_devices(24) == 1
