"""Unrefined pictures and their captions to refined pictures."""

import logging
from pathlib import Path

import numpy as np
import torch
from transformers.utils.logging import disable_progress_bar

from mindeye2.errors import UserError
from mindeye2.frozen.sdxl import load_pipeline
from mindeye2.generate.decode import at_side
from mindeye2.generate.device import compute_in_half, default_device
from mindeye2.generate.refine import refine_pictures
from mindeye2.generate.sheet import contact_sheet
from mindeye2.job import Job
from mindeye2.memory import enough_memory
from mindeye2.objects import damaged, read_array, read_json, read_pictures, read_test_images
from mindeye2.progress import Progress
from mindeye2.seeds import torch_generator
from mindeye2.settings import Refine
from mindeye2.stages.arrays import Rows, as_half

OUTPUTS: tuple[str, ...] = ("refined.npy", "pictures.png")


@torch.inference_mode()
def run(job: Job) -> None:
    """Refine every unrefined picture; stored at its side, batch by batch, going on after a kill."""
    settings = job.settings(Refine)
    source = job.input("reconstruct")
    unrefined, captions = read_pictures(source / "unrefined.npy"), read_json(source / "captions.json")
    images = read_test_images(source)
    if not len(unrefined) == len(captions) <= len(images):
        problem = f"{len(captions)} captions, {len(unrefined)} pictures, {len(images)} test images"
        raise damaged(source / "captions.json", problem)
    images = images[: len(unrefined)]
    if settings.prompt == "caption":
        _check_words(captions, images, source / "captions.json")
    prompts = captions if settings.prompt == "caption" else [""] * len(captions)

    rows = Rows(job.work, len(unrefined))
    if rows.done < rows.count:
        with enough_memory("refine", settings.batch_size, remedy="" if settings.offload else "offload: true"):
            _refine(job, settings, rows, unrefined, prompts, images)

    columns = {"unrefined": unrefined, "refined": read_array(job.work / "refined.npy")}
    if (source / "lowlevel.npy").exists():
        columns = {"lowlevel": read_pictures(source / "lowlevel.npy"), **columns}
    contact_sheet(columns).save(job.work / "pictures.png")


def _refine(
    job: Job, settings: Refine, rows: Rows, unrefined: np.ndarray, prompts: list[str], images: np.ndarray
) -> None:
    """Write refined.npy, batch by batch; all draws of a picture come from a generator of its own."""
    device, weights = default_device(), job.paths["weights"]
    _quiet()
    stored_unet = None if device.type == "cuda" else torch.float32
    sdxl = job.networks.get("sdxl", weights / "sdxl")
    pipeline = load_pipeline(sdxl, weights / "vae", dtype=stored_unet, sampler=settings.sampler)
    compute_in_half(pipeline.unet, device, compiled=settings.compile)
    if settings.offload and device.type == "cuda":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)
    pipeline.vae.enable_slicing()

    steps = int(settings.steps * settings.strength)
    progress = Progress("refine, steps", rows.count * steps, done=rows.done * steps)
    pipeline.unet.register_forward_hook(lambda unet, inputs, output: progress.advance(len(output[0]) // 2))
    while rows.done < rows.count:
        batch = slice(rows.done, rows.done + settings.batch_size)
        refined = refine_pictures(
            pipeline,
            pictures=torch.from_numpy(unrefined[batch].astype(np.float32)).to(device),
            prompts=prompts[batch],
            generators=[torch_generator(job.config["seed"], "refine", int(image)) for image in images[batch]],
            steps=settings.steps,
            strength=settings.strength,
            guidance=settings.guidance,
        )
        stored = at_side(refined, unrefined.shape[-1])
        rows.write(refined=as_half(stored, f"refined from row {rows.done}"))
    progress.close()


def _check_words(captions: list[str], images: np.ndarray, origin: Path) -> None:
    """UserError that names the first caption without a word: there is nothing in it to refine a picture towards."""
    for image, caption in zip(images, captions, strict=True):
        if not any(character.isalnum() for character in caption):
            raise UserError(
                f"{origin}: the caption of image {image} is {caption!r}, without a word to refine the picture towards; "
                "set refine.prompt: empty, or check the captioner in paths.weights"
            )


def _quiet() -> None:
    """No bars of the libraries' own, and no word at every call about a negative prompt that is cut."""
    disable_progress_bar()
    for library in ("diffusers", "transformers"):
        logging.getLogger(library).setLevel(logging.ERROR)
