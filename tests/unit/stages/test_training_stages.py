"""Pretraining and fine-tuning on small objects, laid out as the stages before them write them."""

import csv
import json
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from mishaps import kill_in_training, out_of_memory
from PIL import Image

from mindeye2.data.shards import COLUMNS, IMAGE, ROW, SESSION, Sample, shard_path, write_shard
from mindeye2.errors import UserError
from mindeye2.job import Job
from mindeye2.model.mindeye import MindEye
from mindeye2.settings import Finetune, Model, Pretrain
from mindeye2.stages import finetune, pretrain

VOXELS = {1: 17, 2: 13, 4: 15}
SESSIONS, TRIALS, IMAGES = 2, 16, 20
SPOILT = 2
"""The session of subject 4 whose betas are no numbers."""
SIZES = {
    "hidden_dim": 12,
    "num_blocks": 1,
    "lowlevel_widths": [4, 4, 4],
    "lowlevel_groups": 2,
    "prior": {"depth": 1, "heads": 2, "dim_head": 4, "ff_mult": 1, "timesteps": 10},
}
SHORT = {"num_epochs": 2, "batch_size": 6, "precision": "float32"}


def write_subject(folder, subject):
    """behav and betas objects: two sessions of trials, one of each session shown in the test shard instead."""
    generator = np.random.default_rng(subject)
    test = []
    for session in range(1, SESSIONS + 1):
        samples = []
        for position in range(TRIALS):
            row = (session - 1) * TRIALS + position
            behav = np.zeros((1, len(COLUMNS)))
            behav[0, [IMAGE, SESSION, ROW]] = generator.integers(IMAGES - 2), session, row
            (test if position == 3 else samples).append(Sample(row, {"behav": behav}))
        write_shard(shard_path(folder / f"behav{subject}", "train", session - 1), samples)
    write_shard(shard_path(folder / f"behav{subject}", "test", 0), test)
    betas = generator.standard_normal((SESSIONS * TRIALS, VOXELS[subject])).astype(np.float32)
    betas[3::TRIALS] = np.nan
    if subject == 4:
        betas[(SPOILT - 1) * TRIALS :] = np.nan
    (folder / f"betas{subject}").mkdir()
    with h5py.File(folder / f"betas{subject}" / "betas.h5", "w") as file:
        file["betas"] = betas


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """The store objects that training reads, by role and subject."""
    folder = tmp_path_factory.mktemp("objects")
    generator = np.random.default_rng(0)
    for subject in VOXELS:
        write_subject(folder, subject)
    arrays = {
        "clip/tokens": (IMAGES, 3, 8),
        "lowlevel_vae/latents": (IMAGES, 4, 4, 4),
        "convnext/features": (IMAGES, 1, 5),
        "convnext/augmented": (IMAGES, 2, 1, 5),
    }
    for name, shape in arrays.items():
        (folder / name).parent.mkdir(exist_ok=True)
        np.save(folder / f"{name}.npy", generator.standard_normal(shape).astype(np.float16))
    manifest = {"spec": {"config": {"network": "clip", "targets": {"pixel_range": "pm1"}}}}
    (folder / "clip" / "manifest.json").write_text(json.dumps(manifest))
    return folder


def training_job(
    stage, section, work, objects, people, *, roles=("clip", "lowlevel_vae", "convnext"), model=(), **more
):
    settings = section(**(SHORT | more.pop("settings", {})))
    config = {"model": Model.parse(SIZES | dict(model)).keyed(), stage: settings.keyed(), "seed": 7, **more}
    inputs = {role: [objects / role] for role in roles}
    inputs |= {role: [objects / f"{role}{subject}" for subject in people] for role in ("behav", "betas")}
    work.mkdir(exist_ok=True)
    free = {stage: {"checkpoint_minutes": settings.checkpoint_minutes}}
    return Job(stage, "0" * 20, config, inputs, {}, work, free)


def pretrain_job(work, objects, subjects=(1, 2), **more):
    return training_job("pretrain", Pretrain, work, objects, subjects, subjects=list(subjects), **more)


def finetune_job(work, objects, subject=4, sessions=(1,), **more):
    return training_job(
        "finetune", Finetune, work, objects, [subject], subject=subject, train_sessions=list(sessions), **more
    )


@pytest.fixture(scope="module")
def pretrained(objects, tmp_path_factory):
    job = pretrain_job(tmp_path_factory.mktemp("pretrain"), objects)
    pretrain.run(job)
    return job.work


def with_pretrained(job, folder):
    return replace(job, inputs={**job.inputs, "pretrain": [folder]})


def test_pretraining_writes_what_it_declares(pretrained):
    assert all(any(pretrained.glob(pattern)) for pattern in pretrain.OUTPUTS)
    model = MindEye.load(pretrained)
    assert model.subjects == [1, 2]
    assert model.sizes["voxels"] == [17, 13]
    assert model.metadata["pixel_range"] == "pm1"
    assert model.metadata["config"]["pretrain"]["num_epochs"] == 2
    rows = list(csv.DictReader((pretrained / "history.csv").open()))
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "10"), ("2", "20")]
    assert Image.open(pretrained / "loss.png").size[0] > 600


def test_the_same_seed_gives_the_same_file(pretrained, objects, tmp_path):
    job = pretrain_job(tmp_path / "work", objects)
    pretrain.run(job)
    name = "model.safetensors"
    assert (job.work / name).read_bytes() == (pretrained / name).read_bytes()


def test_finetuning_starts_from_all_but_the_ridges(pretrained, objects, tmp_path, capsys):
    """A learning rate near nothing shows where the weights came from."""
    still = {"max_lr": 1e-12, "num_epochs": 1}
    job = with_pretrained(finetune_job(tmp_path / "work", objects, settings=still), pretrained)
    finetune.run(job)
    theirs, ours = MindEye.load(pretrained).state_dict(), MindEye.load(job.work).state_dict()
    shared = [name for name in ours if not name.startswith("ridge.")]
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-9) for name in shared)
    assert ours["ridge.linears.0.weight"].shape == (12, 15)
    assert not torch.allclose(ours["ridge.linears.0.bias"], theirs["ridge.linears.0.bias"])
    assert f"{len(shared)} tensors from {pretrained.name}, 2 fresh (ridge)" in capsys.readouterr().err

    scratch = finetune_job(tmp_path / "scratch", objects, settings=still)
    finetune.run(scratch)
    assert not torch.allclose(MindEye.load(scratch.work).state_dict()["token_head.weight"], theirs["token_head.weight"])


def test_only_the_chosen_sessions_are_trained_on(objects, tmp_path):
    """Session 2 of subject 4 is spoilt, as is every trial of a shared image."""
    finetune.run(finetune_job(tmp_path / "first", objects, sessions=[1]))
    with pytest.raises(UserError, match=r"finetune: the loss is nan at step \d+ of 10; lower finetune.max_lr"):
        finetune.run(finetune_job(tmp_path / "both", objects, sessions=[1, SPOILT]))
    with pytest.raises(UserError, match="subject 4: no training trials in the chosen sessions"):
        finetune.run(finetune_job(tmp_path / "none", objects, sessions=[3]))


def test_roles_decide_what_is_built(objects, tmp_path):
    job = finetune_job(tmp_path / "plain", objects, roles=("clip",), model={"lowlevel": False})
    finetune.run(job)
    assert MindEye.load(job.work).lowlevel is None
    job = finetune_job(
        tmp_path / "no-teacher",
        objects,
        roles=("clip", "lowlevel_vae"),
        settings={"contrastive_scale": 0.0, "clip_scale": 0.0},
    )
    finetune.run(job)
    model = MindEye.load(job.work)
    assert model.lowlevel is not None
    assert model.retrieval is None
    (row, _) = csv.DictReader((job.work / "history.csv").open())
    assert row["contrastive"] == row["clip"] == row["brain_to_image"] == ""
    assert float(row["lowlevel"]) > 0


def test_an_epoch_takes_so_many_trials_per_session(objects, tmp_path):
    """12 trials x 2 sessions in batches of 6: 4 steps, of two subjects together too."""
    settings = {"num_epochs": 1, "trials_per_session": 12}
    for job, stage in (
        (finetune_job(tmp_path / "one", objects, 1, sessions=[1, 2], settings=settings), finetune),
        (pretrain_job(tmp_path / "two", objects, settings=settings), pretrain),
    ):
        stage.run(job)
        (row,) = csv.DictReader((job.work / "history.csv").open())
        assert row["step"] == "4"


def test_mlp_alignment_is_trained_and_may_follow_a_ridge(pretrained, objects, tmp_path):
    job = finetune_job(tmp_path / "work", objects, model={"alignment": "mlp"})
    finetune.run(with_pretrained(job, pretrained))
    model = MindEye.load(job.work)
    assert model.sizes["alignment"] == "mlp"
    assert not torch.equal(model.ridge.norms[0].weight, torch.ones(12))


def test_nothing_to_train_is_refused(objects, tmp_path):
    nothing = {"prior_scale": 0.0, "clip_scale": 0.0, "lowlevel_scale": 0.0}
    with pytest.raises(UserError, match="are all 0; give one of them a weight"):
        finetune.run(finetune_job(tmp_path / "work", objects, settings=nothing))


def test_a_pretrained_model_of_other_sizes_is_refused(pretrained, objects, tmp_path):
    job = finetune_job(tmp_path / "work", objects, model={"hidden_dim": 8})
    with pytest.raises(UserError, match="hidden_dim is 12 where this model has 8"):
        finetune.run(with_pretrained(job, pretrained))


def imported_job(stage, section, work, objects, folder, subject, *, model=()):
    """A job that takes the model in ``folder`` over; ``subject`` is evaluated."""
    config = {"model": Model.parse(SIZES | dict(model)).keyed(), stage: section(source="imported").keyed()}
    inputs = {"clip": [objects / "clip"], "betas": [objects / f"betas{subject}"]}
    work.mkdir()
    return Job(stage, "0" * 20, config | {"subject": subject}, inputs, {}, work, networks={"imported": folder})


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_an_imported_pretraining_stands_in_for_the_trained_one(pretrained, objects, tmp_path):
    adopted = imported_job("pretrain", Pretrain, tmp_path / "adopted", objects, pretrained, 4)
    pretrain.run(adopted)
    assert files(adopted.work) == {name: files(pretrained)[name] for name in pretrain.OUTPUTS}

    made = [
        with_pretrained(finetune_job(tmp_path / name, objects), folder)
        for name, folder in (("one", pretrained), ("other", adopted.work))
    ]
    for job in made:
        finetune.run(job)
    name = "model.safetensors"
    assert files(made[0].work)[name] == files(made[1].work)[name]


@pytest.mark.parametrize(
    ("subject", "note", "message"),
    [
        (
            1,
            {},
            "a model of subjects 1, 2, which is to be fine-tuned on subject 1 and so must have been trained without",
        ),
        (4, {"subjects": None}, "a model of unknown subjects, which is to be fine-tuned on subject 4"),
        (1, {"subjects": [2, 3]}, "has a ridge for 17 voxels, as many as subject 1 has"),
    ],
)
def test_a_pretraining_that_has_seen_the_subject_is_refused(pretrained, objects, tmp_path, subject, note, message):
    folder = with_note(pretrained, tmp_path / "folder", note)
    job = imported_job("pretrain", Pretrain, tmp_path / "adopted", objects, folder, subject)
    with pytest.raises(UserError, match=message):
        pretrain.run(job)
    assert not files(job.work)


def with_note(folder, copy, sizes=(), **metadata):
    shutil.copytree(folder, copy)
    note = json.loads((copy / "model.json").read_text())
    note["sizes"] |= dict(sizes)
    note["metadata"] |= metadata
    (copy / "model.json").write_text(json.dumps(note))
    return copy


@pytest.fixture(scope="module")
def finetuned(objects, tmp_path_factory):
    job = finetune_job(tmp_path_factory.mktemp("finetune"), objects, settings={"num_epochs": 1})
    finetune.run(job)
    return job.work


def test_an_imported_model_stands_in_for_a_finetuned_one(finetuned, objects, tmp_path, capsys):
    job = imported_job("finetune", Finetune, tmp_path / "adopted", objects, finetuned, 4)
    finetune.run(job)
    assert files(job.work) == {name: files(finetuned)[name] for name in finetune.OUTPUTS}
    assert f"finetune: taken over from {finetuned.name}, subject 4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("subject", "note", "metadata", "model", "message"),
    [
        (1, {}, {}, {}, "a model of subject 4 where subject 1's is asked for; .* --subject 1"),
        (1, {"subjects": [1]}, {}, {}, "takes 15 voxels, but the betas of subject 1 have 17"),
        (4, {}, {}, {"hidden_dim": 8}, "model.hidden_dim is 12 there and 8 here; set model.hidden_dim to what"),
        (4, {}, {}, {"backbone": "legacy_mixer"}, "model.backbone is residual_mlp there and legacy_mixer here"),
        (4, {}, {}, {"lowlevel": False}, "model.lowlevel is True there and False here"),
        (4, {}, {}, {"lowlevel_groups": 1}, "model.lowlevel_groups is 2 there and 1 here"),
        (4, {}, {}, {"prior": SIZES["prior"] | {"timesteps": 5}}, "model.prior.timesteps is 10 there and 5 here"),
        (4, {}, {"pixel_range": "legacy01"}, {}, "targets.pixel_range is legacy01 there and pm1 here"),
    ],
)
def test_an_imported_model_that_does_not_fit_is_refused(
    finetuned, objects, tmp_path, subject, note, metadata, model, message
):
    folder = with_note(finetuned, tmp_path / "folder", note, **metadata)
    job = imported_job("finetune", Finetune, tmp_path / "adopted", objects, folder, subject, model=model)
    with pytest.raises(UserError, match=message):
        finetune.run(job)
    assert not files(job.work)


def test_an_imported_model_of_other_tokens_is_refused(finetuned, objects, tmp_path):
    (tmp_path / "clip").mkdir()
    shutil.copy(objects / "clip" / "manifest.json", tmp_path / "clip")
    np.save(tmp_path / "clip" / "tokens.npy", np.zeros((IMAGES, 3, 9), np.float16))
    job = imported_job("finetune", Finetune, tmp_path / "adopted", objects, finetuned, 4)
    with pytest.raises(UserError, match=r"the shape of the CLIP tokens is \(3, 8\) there and \(3, 9\) here"):
        finetune.run(replace(job, inputs=job.inputs | {"clip": [tmp_path / "clip"]}))


def test_too_little_memory_names_what_takes_less(objects, tmp_path, monkeypatch):
    monkeypatch.setattr("mindeye2.train.decoder.Trainer._train_step", out_of_memory)
    said = r"finetune\.batch_size: 6 at a time .*; lower it to 3 or set finetune\.recompute: true, or end"
    with pytest.raises(UserError, match=said):
        finetune.run(finetune_job(tmp_path, objects))


def test_a_killed_stage_goes_on_to_the_same_weights(objects, tmp_path):
    """kill -9 once two checkpoints are there, as likely as not while the next one is written."""
    settings = {"num_epochs": 30, "checkpoint_minutes": 1e-9}
    whole = finetune_job(tmp_path / "whole", objects, settings=settings | {"checkpoint_minutes": 10.0})
    finetune.run(whole)

    job = finetune_job(tmp_path / "killed", objects, settings=settings)
    kill_in_training(finetune.run, job, checkpoints=2)
    assert not (job.work / "model.safetensors").exists()

    finetune.run(replace(job, free={"finetune": {"checkpoint_minutes": 10.0}}))
    name = "model.safetensors"
    assert (job.work / name).read_bytes() == (whole.work / name).read_bytes()
    histories = [
        [{**row, "seconds": None} for row in csv.DictReader((each.work / "history.csv").open())]
        for each in (whole, job)
    ]
    assert histories[0] == histories[1]
