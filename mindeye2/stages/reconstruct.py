"""From test betas to pictures and captions: decoder, diffusion prior, unCLIP, captioner."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mindeye2.data.batches import read_rows
from mindeye2.data.controls import control_responses
from mindeye2.data.shards import Trials
from mindeye2.errors import UserError
from mindeye2.frozen.captioner import Captioner
from mindeye2.frozen.unclip import load_unet
from mindeye2.frozen.vae import Vae
from mindeye2.generate.decode import Decoder, blurry_pictures
from mindeye2.generate.device import compute_in_half, default_device, put_on
from mindeye2.generate.encode import encode_images
from mindeye2.generate.sheet import contact_sheet
from mindeye2.job import Job
from mindeye2.memory import enough_memory
from mindeye2.model.mindeye import Encoded, MindEye
from mindeye2.model.repeats import repeat_rows
from mindeye2.objects import read_array
from mindeye2.progress import Progress
from mindeye2.seeds import numpy_generator, torch_generator
from mindeye2.settings import Reconstruct
from mindeye2.stages.arrays import Rows, as_half
from mindeye2.stages.trials import decoded_trials

# retrieval.npy and lowlevel.npy are there only where the model has that head.
OUTPUTS: tuple[str, ...] = ("test.npz", "*.npy")
OPTIONAL: tuple[str, ...] = ("captions.json", "pictures.png")


@torch.inference_mode()
def run(job: Job) -> None:
    """Decode the shared images, or every image shown in ``test_sessions``.

    Each trial of an image goes through the decoder alone; its outputs are averaged as ``repeats`` says. The
    controls replace what the decoder is given, not what it is scored against (``voxels``), or what the prior makes
    of it by each image's true tokens (``tokens``); the role clip is there for that alone. A session
    of Haxby's data shows one picture per category, so there an item is a category's average over the session.
    Tokens and embeddings are written for all test images, pictures and captions for the first ``num_images``.
    """
    settings, device = job.settings(Reconstruct), default_device()
    trials = _test_trials(job)
    images, rows = repeat_rows(trials.image, legacy=settings.repeats == "legacy")
    fold = job.config["test_sessions"] or ()
    stream = numpy_generator(job.config["seed"], "reconstruct", job.config["subject"], settings.voxels, *fold)
    betas = read_rows(job.input("betas") / "betas.h5", trials.row)
    betas, rows = control_responses(settings.voxels, betas, rows, stream)
    count = len(images) if settings.num_images is None else min(settings.num_images, len(images))
    np.savez(job.work / "test.npz", image=images, trials=np.array([len(set(group)) for group in rows]))

    model = MindEye.load(job.input("finetune")).to(device)
    brain, latents = _keep(encode_images(model, torch.from_numpy(betas).float(), rows), job.work, count)

    if count:
        rows = Rows(job.work, count)
        with enough_memory("reconstruct", settings.batch_size, remedy="" if settings.offload else "offload: true"):
            waiting = images[rows.done : count]
            if settings.tokens == "targets":
                truth = read_array(job.input("clip") / "tokens.npy")
                tokens = torch.from_numpy(truth[waiting].astype(np.float32))
            else:
                tokens = _sample_prior(job, settings, model, waiting, brain[rows.done :])
            # The next networks need its place.
            del model
            _decode(job, settings, rows, images[:count], tokens, latents, device)
            _caption(job, settings, device)
        kinds = ("lowlevel", "unrefined") if latents is not None else ("unrefined",)
        contact_sheet({kind: read_array(job.work / f"{kind}.npy") for kind in kinds}).save(job.work / "pictures.png")


def _test_trials(job: Job) -> Trials:
    """Those of the shared images or of ``test_sessions``; UserError where there are none."""
    subject, sessions = job.config["subject"], job.config["test_sessions"]
    trials = decoded_trials(job.input("behav"), sessions)
    if len(trials):
        return trials
    if sessions is None:
        rule = "no trial of a shared image; add sessions, or set matrix.split: leave_one_session_out"
    else:
        rule = f"no trial in session {', '.join(map(str, sessions))}; correct dataset.sessions"
    raise UserError(f"subject {subject}: {rule}")


def _keep(chunks: Iterable[Encoded], work: Path, count: int) -> tuple[Tensor, Tensor | None]:
    """Write backbone.npy and retrieval.npy of all images; float32 tokens and latents of the first ``count``."""
    halves: dict[str, list[np.ndarray]] = {"backbone": [], "retrieval": []}
    tokens, latents, kept = [], [], 0
    for chunk in chunks:
        halves["backbone"].append(as_half(chunk.tokens, "backbone"))
        if chunk.retrieval is not None:
            halves["retrieval"].append(as_half(chunk.retrieval, "retrieval"))
        wanted = count - kept
        tokens.append(chunk.tokens[:wanted].cpu())
        if chunk.lowlevel is not None:
            latents.append(chunk.lowlevel[:wanted].cpu())
        kept += len(tokens[-1])
    for name, parts in halves.items():
        if parts:
            np.save(work / f"{name}.npy", np.concatenate(parts))
    return torch.cat(tokens), torch.cat(latents) if latents else None


def _sample_prior(job: Job, settings: Reconstruct, model: MindEye, images: np.ndarray, brain: Tensor) -> Tensor:
    """CLIP tokens of ``images`` in float32, on the CPU; an image's draws come from generators of its own."""
    device, tokens = next(model.parameters()).device, [brain[:0]]
    progress = Progress("reconstruct, prior", len(images))
    for first in range(0, len(images), settings.batch_size):
        batch = slice(first, first + settings.batch_size)
        generators = _generators(job, images[batch], "prior")
        sampled = model.prior.sample(brain[batch].to(device), steps=settings.prior_steps, generators=generators)
        tokens.append(sampled.cpu())
        progress.advance(len(generators))
    progress.close()
    return torch.cat(tokens)


def _generators(job: Job, images: np.ndarray, purpose: str) -> list[torch.Generator]:
    """One per image, of a stream of its own."""
    root = (job.config["seed"], "reconstruct", job.config["subject"])
    return [torch_generator(*root, int(image), purpose) for image in images]


def _decode(
    job: Job,
    settings: Reconstruct,
    rows: Rows,
    images: np.ndarray,
    tokens: Tensor,
    latents: Tensor | None,
    device: torch.device,
) -> None:
    """Write prior.npy, unrefined.npy and lowlevel.npy, batch by batch, going on after a kill.

    ``tokens`` are those of the images that are not done. All draws of an image come from generators of its own, so no
    picture depends on the batch that it is in.
    """
    if rows.done == rows.count:
        return
    weights, stored_unet = job.paths["weights"], None if device.type == "cuda" else torch.float32
    trained = job.optional("unclip")
    given = weights / "unclip" if trained is None else trained / "unet"
    unet = compute_in_half(load_unet(given, dtype=stored_unet), device, compiled=settings.compile)
    vae = Vae.load(weights / "vae")
    blur = None if latents is None else Vae.load(weights / job.config["lowlevel_vae"])
    put_on(device, [unet, *(part.network for part in (vae, blur) if part)], offload=settings.offload)
    decoder = Decoder(
        unet,
        vae,
        pixel_range=job.config["pixel_range"],
        steps=settings.steps,
        guidance=settings.guidance,
        unconditional=settings.unconditional,
        sampler=settings.sampler,
    )

    progress = Progress("reconstruct, steps", rows.count * settings.steps, done=rows.done * settings.steps)
    unet.register_forward_hook(lambda unet, inputs, output: progress.advance(len(inputs[0]) // 2))
    for prior in tokens.split(settings.batch_size):
        batch = slice(rows.done, rows.done + len(prior))
        made = {"prior": prior, "unrefined": decoder(prior.to(device), _generators(job, images[batch], "unclip"))}
        if blur is not None:
            made["lowlevel"] = blurry_pictures(blur, latents[batch].to(device), decoder.stored_px)
        rows.write(**{name: as_half(values, f"{name} from row {rows.done}") for name, values in made.items()})
    progress.close()


def _caption(job: Job, settings: Reconstruct, device: torch.device) -> None:
    """Write captions.json: what the captioner says of each row of prior.npy."""
    captioner = Captioner.load(job.paths["weights"] / "captioner").to(device)
    tokens, captions = read_array(job.work / "prior.npy"), []
    for first in range(0, len(tokens), settings.batch_size):
        batch = torch.from_numpy(tokens[first : first + settings.batch_size].astype(np.float32))
        captions += captioner.captions(batch.to(device))
    (job.work / "captions.json").write_text(json.dumps(captions, indent=1, ensure_ascii=False), encoding="utf-8")
