"""A model that was trained elsewhere in the place of a trained one: held against the data, then taken over as it is."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from mindeye2.data.batches import open_targets
from mindeye2.errors import UserError
from mindeye2.job import Job
from mindeye2.model.mindeye import MindEye
from mindeye2.model.weights import NOTE, TENSORS
from mindeye2.objects import adopt
from mindeye2.settings import Model
from mindeye2.train.run import pixel_range


def adopt_finetuned(job: Job) -> None:
    """Take the model in ``job.networks["imported"]`` over if it is ``config.subject``'s alone.

    inputs: betas of the subject and clip. UserError names the number of voxels, the size or the setting that differs.
    """
    folder, model, subject, voxels = _opened(job)
    if model.subjects != [subject]:
        raise UserError(
            f"{folder / NOTE}: a model of {_subjects(model)} where subject {subject}'s is asked for; "
            f"correct finetune.folder, or import it again with --subject {subject}"
        )
    if model.sizes["voxels"] != [voxels]:
        raise UserError(
            f"{folder / NOTE}: takes {model.sizes['voxels'][0]} voxels, but the betas of subject {subject} have "
            f"{voxels}; it is another subject's model or was made with another mask, so correct finetune.folder"
        )
    _adopt(job, folder, model)


def adopt_pretrained(job: Job) -> None:
    """Take the model in ``job.networks["imported"]`` over if it has seen nothing of ``config.subject``.

    inputs as for ``adopt_finetuned``. A ridge for as many voxels as the subject has is taken for the subject's.
    """
    folder, model, subject, voxels = _opened(job)
    if model.subjects is None or subject in model.subjects:
        raise UserError(
            f"{folder / NOTE}: a model of {_subjects(model)}, which is to be fine-tuned on subject {subject} and so "
            f"must have been trained without it; correct pretrain.folder, or import it again with --held-out {subject}"
        )
    if voxels in model.sizes["voxels"]:
        raise UserError(
            f"{folder / NOTE}: has a ridge for {voxels} voxels, as many as subject {subject} has, which it must not "
            "have been trained on; correct pretrain.folder, or import it again with the right --held-out"
        )
    _adopt(job, folder, model)


def _opened(job: Job) -> tuple[Path, MindEye, int, int]:
    """The folder, the model in it, the subject, and the voxels of the subject's betas."""
    folder, betas = job.networks["imported"], job.input("betas") / "betas.h5"
    try:
        with h5py.File(betas) as file:
            voxels = file["betas"].shape[1]
    except (OSError, KeyError) as error:
        raise UserError(f"{betas}: not readable as betas ({error}); remove the object and build it again") from None
    return folder, MindEye.load(folder), job.config["subject"], voxels


def _adopt(job: Job, folder: Path, model: MindEye) -> None:
    for name, theirs, ours in _claims(job, model):
        if theirs != ours:
            raise UserError(
                f"{folder / NOTE}: {name} is {theirs} there and {ours} here; set {name} to what the imported model "
                f"has, or correct {job.stage}.folder"
            )
    for name in (TENSORS, NOTE):
        adopt(folder / name, job.work / name)
    print(f"{job.stage}: taken over from {folder.name}, {_subjects(model)}", file=sys.stderr, flush=True)


def _claims(job: Job, model: MindEye) -> Iterator[tuple[str, Any, Any]]:
    """What the configuration or its targets say of the model: (name, in the model, here)."""
    sizes, settings = model.sizes, job.settings(Model)
    tokens = open_targets(job.input("clip") / "tokens.npy", axes=3).shape[1:]
    yield "the shape of the CLIP tokens", (sizes["tokens"], sizes["clip_dim"]), tuple(tokens)
    yield "targets.pixel_range", model.metadata.get("pixel_range"), pixel_range(job.input("clip"))
    names = ["hidden_dim", "alignment", "backbone", "retrieval"]
    names += [] if settings.backbone == "linear" else ["num_blocks"]
    names += ["lowlevel_widths", "lowlevel_groups"] if settings.lowlevel else []
    yield "model.lowlevel", sizes["lowlevel_latents"] is not None, settings.lowlevel
    for name in names:
        ours = getattr(settings, name)
        yield f"model.{name}", sizes[name], list(ours) if isinstance(ours, tuple) else ours
    for name in ("depth", "heads", "dim_head", "ff_mult", "timesteps"):
        yield f"model.prior.{name}", sizes[f"prior_{name}"], getattr(settings.prior, name)


def _subjects(model: MindEye) -> str:
    if model.subjects is None:
        return "unknown subjects"
    return f"subject{'s' if len(model.subjects) > 1 else ''} {', '.join(map(str, model.subjects))}"
