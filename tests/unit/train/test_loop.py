import csv
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_training import same_weights, toy_data, toy_trainer, weights

from mindeye2.data.batches import Batches, SubjectTrials
from mindeye2.errors import UserError
from mindeye2.train import checkpoint
from mindeye2.train.losses import unit_rows
from mindeye2.train.step import top1


class Killed(Exception):
    """Stands for a kill: nothing of the loop runs after it."""


def batches_that(act, *, epoch, step):
    """Batches that ``act`` when a certain one is asked for."""

    class Acting(Batches):
        def load(self, *place):
            if place == (epoch, step):
                act()
            return super().load(*place)

    return Acting


def killed():
    raise Killed


def history(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    trainer = toy_trainer(tmp_path_factory.mktemp("uninterrupted"))
    rows = trainer.fit()
    return trainer, weights(trainer), history(rows)


def test_same_seed_same_weights(uninterrupted, tmp_path):
    again = toy_trainer(tmp_path)
    assert history(again.fit()) == uninterrupted[2]
    assert same_weights(weights(again), uninterrupted[1])


def test_other_seed_other_weights(uninterrupted, tmp_path):
    other = toy_trainer(tmp_path, seed=1)
    other.fit()
    assert not same_weights(weights(other), uninterrupted[1])


def test_a_killed_run_goes_on_to_the_same_weights(uninterrupted, tmp_path, capsys):
    dying = toy_trainer(tmp_path, batches=batches_that(killed, epoch=1, step=3), checkpoint_minutes=1e-9)
    with pytest.raises(Killed):
        dying.fit()
    steps = dying.batches.steps
    assert checkpoint.steps(dying.checkpoints) == [steps + 3, steps + 2]
    resumed = toy_trainer(tmp_path)
    rows = resumed.fit()
    assert f"going on after step {steps + 3} of" in capsys.readouterr().err
    assert same_weights(weights(resumed), uninterrupted[1])
    assert history(rows) == uninterrupted[2]


@pytest.mark.parametrize("torn", [1, 2])
def test_torn_checkpoints_are_passed_over(uninterrupted, tmp_path, torn, capsys):
    dying = toy_trainer(tmp_path, batches=batches_that(killed, epoch=1, step=3), checkpoint_minutes=1e-9)
    with pytest.raises(Killed):
        dying.fit()
    for step in checkpoint.steps(dying.checkpoints)[:torn]:
        path = dying.checkpoints / f"{step:09d}" / checkpoint.OPTIMIZER
        path.write_bytes(path.read_bytes()[:-5])
    resumed = toy_trainer(tmp_path)
    resumed.fit()
    said = capsys.readouterr().err
    assert said.count("passed over") == torn
    assert ("going on after" in said) == (torn == 1)
    assert same_weights(weights(resumed), uninterrupted[1])


def test_a_checkpoint_of_another_model_is_passed_over(uninterrupted, tmp_path, capsys):
    dying = toy_trainer(
        tmp_path,
        data=toy_data(voxels=(31,)),
        batches=batches_that(killed, epoch=0, step=2),
        checkpoint_minutes=1e-9,
    )
    with pytest.raises(Killed):
        dying.fit()
    resumed = toy_trainer(tmp_path)
    resumed.fit()
    assert "passed over" in capsys.readouterr().err
    assert same_weights(weights(resumed), uninterrupted[1])


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_waits_for_a_checkpoint(uninterrupted, tmp_path, number, raised, capsys):
    def leave(*_):
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        leaving = toy_trainer(tmp_path, batches=batches_that(lambda: signal.raise_signal(number), epoch=2, step=1))
        with pytest.raises(raised):
            leaving.fit()
        assert signal.getsignal(signal.SIGTERM) is leave
    finally:
        signal.signal(signal.SIGTERM, before)
    done = 2 * leaving.batches.steps + 2
    assert checkpoint.steps(leaving.checkpoints) == [done]
    assert f"stopped after step {done}; run the same command again" in capsys.readouterr().err
    resumed = toy_trainer(tmp_path)
    resumed.fit()
    assert same_weights(weights(resumed), uninterrupted[1])


def test_history_names_what_was_trained(uninterrupted):
    trainer, _, rows = uninterrupted
    table = list(csv.DictReader((trainer.work / "history.csv").open()))
    assert [row["epoch"] for row in table] == ["1", "2", "3"]
    assert [int(row["step"]) for row in table] == [trainer.batches.steps * epoch for epoch in (1, 2, 3)]
    for row in table:
        parts = {name: float(row[name]) for name in ("loss", "prior", "clip", "lowlevel", "contrastive")}
        whole = 30 * parts["prior"] + parts["clip"] + 0.5 * (parts["lowlevel"] + 0.1 * parts["contrastive"])
        assert parts["loss"] == pytest.approx(whole, rel=1e-4)
        assert 0 <= float(row["brain_to_image"]) <= 1
    assert float(table[-1]["lr"]) < float(table[0]["lr"])
    assert rows[0]["step"] == trainer.batches.steps


def test_parts_without_weight_are_neither_trained_nor_reported(tmp_path):
    trainer = toy_trainer(tmp_path, num_epochs=1, clip_scale=0.0, contrastive_scale=0.0)
    before = weights(trainer)
    (row,) = trainer.fit()
    assert not row.keys() & {"clip", "contrastive", "brain_to_image", "image_to_brain"}
    after = weights(trainer)
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"ridge", "backbone", "token_head", "prior", "lowlevel"}
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("lowlevel.projector"))


def test_a_loss_that_is_no_number_names_step_and_remedy(tmp_path):
    (subject,), targets = toy_data()
    spoilt = subject.voxels.copy()
    spoilt[np.flatnonzero(subject.image == subject.image[0])] = np.nan
    trainer = toy_trainer(tmp_path, data=([SubjectTrials(1, spoilt, subject.image)], targets), num_epochs=1)
    with pytest.raises(
        UserError, match=r"finetune: the loss is nan at step (\d+) of 5; lower finetune.max_lr \(now 0.003\)"
    ) as error:
        trainer.fit()
    first = int(str(error.value).split("step ")[1].split()[0])
    order = trainer.batches.order(0)[0]
    assert np.isnan(spoilt[order[first - 1]]).any()
    assert not np.isnan(spoilt[order[: first - 1]]).any()


@pytest.mark.parametrize(("num_epochs", "batch_size"), [(1, 60), (1, 12), (2, 24)])
def test_short_runs(tmp_path, num_epochs, batch_size):
    rows = toy_trainer(tmp_path, num_epochs=num_epochs, batch_size=batch_size).fit()
    assert [row["epoch"] for row in rows] == list(range(1, num_epochs + 1))
    assert all(math.isfinite(row["loss"]) for row in rows)


def test_retrieval_of_unseen_pictures_rises_far_above_chance(tmp_path):
    """200 pictures are trained on; some 50 others are to be told apart, from one trial each."""
    (subject,), targets = toy_data(images=250, trials=700, voxels=(60,), lowlevel=False)
    seen = subject.image < 200
    training = SubjectTrials(1, subject.voxels[seen], subject.image[seen])
    trainer = toy_trainer(tmp_path, data=([training], targets), num_epochs=8, batch_size=32, mixup_pct=0.33)

    images, trials = np.unique(subject.image[~seen], return_index=True)
    voxels = torch.from_numpy(subject.voxels[~seen][trials])
    pictures = unit_rows(torch.from_numpy(targets.tokens[images]))

    def share_found():
        with torch.no_grad():
            brain = unit_rows(trainer.model.eval().encode(voxels).retrieval)
        trainer.model.train()
        return top1(brain @ pictures.T)[0].item()

    before = share_found()
    trainer.fit()
    assert before < 0.2
    assert share_found() > 0.6


def test_bfloat16_trains_too(uninterrupted, tmp_path):
    trainer = toy_trainer(tmp_path, precision="bfloat16")
    rows = trainer.fit()
    assert rows[-1]["loss"] == pytest.approx(uninterrupted[2][-1]["loss"], rel=0.05)
    assert all(value.dtype == torch.float32 for value in trainer.model.state_dict().values())
    assert torch.backends.mkldnn.matmul.fp32_precision != "bf16"


def test_training_on_a_cpu_does_not_import_torchs_compiler():
    """It takes seconds, at the start of every training."""
    code = (
        "import sys, tempfile, pathlib; from toy_training import toy_trainer;"
        "toy_trainer(pathlib.Path(tempfile.mkdtemp()), num_epochs=1).fit();"
        "sys.exit(any(name in sys.modules for name in ('torch._dynamo', 'torch._inductor', 'sympy')))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True)


def test_several_subjects_share_all_but_the_ridges(tmp_path):
    trainer = toy_trainer(tmp_path, data=toy_data(voxels=(30, 20, 25)), num_epochs=4)
    before = weights(trainer)
    rows = trainer.fit()
    after = weights(trainer)
    assert all(
        not torch.equal(before[f"ridge.linears.{s}.weight"], after[f"ridge.linears.{s}.weight"]) for s in range(3)
    )
    assert rows[-1]["loss"] < rows[0]["loss"]


def first_losses(folder, **settings):
    """Losses of one step of one subject in the mixing phase, before anything was learned; a row is its own partner."""
    trainer = toy_trainer(folder, data=toy_data(trials=14), num_epochs=1, mixup_pct=1.0, **settings)
    _, mix = trainer._mixed(0, 0, trainer.batches.load(0, 0))
    assert (mix.partner == torch.arange(len(mix.partner))).any() and (mix.weight < 1).any()
    (row,) = trainer.fit()
    assert row["step"] == 1
    return row


def test_mixing_targets_reach_the_contrastive_and_the_lowlevel_loss(tmp_path):
    """One subject alone: no partner is counted wrongly, and both losses see the other two slips."""
    corrected = first_losses(tmp_path / "corrected")
    legacy = first_losses(tmp_path / "legacy", mixing_targets="legacy")
    assert corrected["prior"] == legacy["prior"] and corrected["contrastive"] == legacy["contrastive"]
    assert corrected["lowlevel"] != pytest.approx(legacy["lowlevel"], rel=1e-3)
    assert corrected["clip"] != pytest.approx(legacy["clip"], rel=1e-3)


def test_legacy_partners_of_the_second_subject_are_pictures_of_the_first(tmp_path):
    for choice, first in (("corrected", 6), ("legacy", 0)):
        trainer = toy_trainer(tmp_path / choice, data=toy_data(voxels=(30, 20)), mixing_targets=choice)
        _, mix = trainer._mixed(0, 0, trainer.batches.load(0, 0))
        assert sorted(mix.partner[6:].tolist()) == list(range(first, first + 6))


def test_optimiser_settings_reach_the_optimiser(tmp_path):
    def decayed(trainer):
        return {name for group in trainer.optimizer.groups if group["weight_decay"] for name in group["names"]}

    plain = toy_trainer(tmp_path / "plain")
    legacy = toy_trainer(tmp_path / "legacy", decay_groups="legacy", cycle_beta1=False)
    added = decayed(legacy) - decayed(plain)
    assert "ridge.linears.0.bias" in added and "prior.network.norm.gain" in added
    assert not any("bias" in name for name in added if not name.startswith("ridge."))
    assert decayed(plain) < decayed(legacy)
    assert (plain.schedule(0).beta1, legacy.schedule(0).beta1) == (0.95, 0.9)
    rising = toy_trainer(tmp_path / "rising", lr_schedule="legacy_linear")
    assert rising.schedule(rising.total_steps).lr == pytest.approx(3e-3)


def test_a_gpu_finds_the_next_batch_ready_but_its_first_step_is_left_alone(tmp_path, monkeypatch):
    """The first step may record a CUDA graph, which memory that another thread pins meanwhile would break."""
    trainer, begun = toy_trainer(tmp_path), []

    class Batch(SimpleNamespace):
        def pinned(self):
            begun.append(self.step)
            return self

        def to(self, device):
            return f"{self.step} on {device}"

    monkeypatch.setattr(trainer, "accelerator", SimpleNamespace(device=torch.device("cuda")))
    monkeypatch.setattr(trainer, "_load", lambda step: Batch(step=step))
    trainer.step, trainer.total_steps = 3, 7
    seen = []
    for batch in trainer._stream():
        time.sleep(0.05)
        seen.append((batch, list(begun)))
    assert seen == [
        ("3 on cuda", [3]),
        ("4 on cuda", [3, 4, 5]),
        ("5 on cuda", [3, 4, 5, 6]),
        ("6 on cuda", [3, 4, 5, 6]),
    ]
