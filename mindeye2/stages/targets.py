"""What one frozen network makes of every picture, computed once: CLIP tokens, VAE latents, features or captions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mindeye2.errors import UserError
from mindeye2.frozen.captioner import Captioner
from mindeye2.frozen.clip import Clip, check_published
from mindeye2.frozen.convnext import ConvNeXtTeacher, augment
from mindeye2.frozen.vae import Vae
from mindeye2.generate.device import default_device
from mindeye2.job import Job
from mindeye2.memory import enough_memory
from mindeye2.objects import open_images, read_array
from mindeye2.progress import Progress
from mindeye2.seeds import torch_generator
from mindeye2.settings import Targets
from mindeye2.stages.arrays import Rows, as_half

OUTPUTS: tuple[str, ...] = ("*.npy",)

CHUNK = 64
"""Pictures between two safe points, and pictures that share a random stream of augmentations: not a setting,
since augmented views must not depend on the batch size."""

Outputs = dict[str, Tensor]


def run(job: Job) -> None:
    """Write one float16 row per picture of the stimuli.

    ``clip``, ``openai_clip``: tokens.npy (images, tokens, width). ``lowlevel_vae``: latents.npy (images, 4, h, w),
    the posterior's mode times the scaling factor. ``vae``: the same of the VAE that unCLIP networks work in, and
    deviations.npy, its posterior's standard deviation. ``convnext``: features.npy (images, cells, width) and
    augmented.npy (images, views, cells, width). Values as the network's method gives them. ``captioner`` writes
    texts, captions.npy (images,), for the images that may be tested on and empty ones for the others.
    """
    settings, device = job.settings(Targets), default_device()
    with enough_memory("targets", settings.batch_size):
        if job.config["network"] == "captioner":
            np.save(job.work / "captions.npy", _captions(job, settings, device))
        else:
            _arrays(job, settings, device)


def _arrays(job: Job, settings: Targets, device: torch.device) -> None:
    """Write what the network gives of each chunk of pictures, going on after a kill."""
    network = job.config["network"]
    compute = NETWORKS[network](job.paths["weights"], settings, device)

    with open_images(job.input("stimuli")) as images, torch.inference_mode():
        rows = Rows(job.work, len(images))
        progress = Progress(f"targets {network}", len(images), done=rows.done)
        while rows.done < rows.count:
            first = rows.done
            pictures = torch.from_numpy(images[first : first + CHUNK].astype(np.float32))
            _check_range(pictures, first)
            outputs = compute(pictures.to(device), first)
            rows.write(**{name: as_half(values, f"{name} from image {first}") for name, values in outputs.items()})
            progress.advance(len(pictures))
        progress.close()


def _check_range(pictures: Tensor, first: int) -> None:
    """UserError for values that no [0, 1] picture has: every network maps that range to its own."""
    inside = ((pictures >= 0) & (pictures <= 1)).flatten(1).all(dim=1)
    if not inside.all():
        image = int(inside.int().argmin())
        low, high = pictures[image].min().item(), pictures[image].max().item()
        raise UserError(
            f"images.h5: picture {first + image} has values from {low:.3g} to {high:.3g}, which must be in [0, 1]; "
            "remove the stimuli object and build it again"
        )


@torch.inference_mode()
def _captions(job: Job, settings: Targets, device: torch.device) -> np.ndarray:
    """By GIT's own vision encoder, or, where the captioner's weights leave it out, from the pictures' CLIP tokens."""
    captioner = Captioner.load(job.paths["weights"] / "captioner", vision=True).to(device)
    with open_images(job.input("stimuli")) as images:
        chosen = np.arange(len(images))
        if job.config["images"] == "shared":
            chosen = np.flatnonzero(read_array(job.input("stimuli") / "shared.npy"))
        if captioner.vision is None:
            source, caption = read_array(job.input("clip") / "tokens.npy"), captioner.captions
        else:
            source, caption = images, captioner.captions_of
        captions = [""] * len(images)
        progress = Progress("targets captioner", len(chosen))
        for first in range(0, len(chosen), settings.batch_size):
            batch = chosen[first : first + settings.batch_size]
            values = torch.from_numpy(source[batch].astype(np.float32)).to(device)
            for image, text in zip(batch, caption(values), strict=True):
                captions[image] = text
            progress.advance(len(batch))
        progress.close()
    return np.array(captions)


def _clip(weights: Path, settings: Targets, device: torch.device) -> Callable[[Tensor, int], Outputs]:
    network = Clip.load(weights / "clip").to(device)

    def compute(pictures: Tensor, first: int) -> Outputs:
        batches = pictures.split(settings.batch_size)
        tokens = torch.cat([network.tokens(batch, pixel_range=settings.pixel_range) for batch in batches])
        if first == 0:
            check_published(tokens, pixel_range=settings.pixel_range, origin=weights / "clip")
        return {"tokens": tokens}

    return compute


def _openai_clip(weights: Path, settings: Targets, device: torch.device) -> Callable[[Tensor, int], Outputs]:
    network = Clip.load(weights / "openai_clip").to(device)

    def compute(pictures: Tensor, first: int) -> Outputs:
        batches = pictures.split(settings.batch_size)
        tokens = [network.projected_tokens(batch, pixel_range=settings.pixel_range) for batch in batches]
        return {"tokens": torch.cat(tokens)}

    return compute


def _vae(weights: Path, settings: Targets, device: torch.device) -> Callable[[Tensor, int], Outputs]:
    network = Vae.load(weights / settings.lowlevel_vae).to(device)

    def compute(pictures: Tensor, first: int) -> Outputs:
        return {"latents": torch.cat([network.encode(batch) for batch in pictures.split(settings.batch_size)])}

    return compute


def _posterior(weights: Path, settings: Targets, device: torch.device) -> Callable[[Tensor, int], Outputs]:
    network = Vae.load(weights / "vae").to(device)

    def compute(pictures: Tensor, first: int) -> Outputs:
        parts = [network.posterior(batch) for batch in pictures.split(settings.batch_size)]
        means, deviations = zip(*parts, strict=True)
        return {"latents": torch.cat(means), "deviations": torch.cat(deviations)}

    return compute


def _convnext(weights: Path, settings: Targets, device: torch.device) -> Callable[[Tensor, int], Outputs]:
    network = ConvNeXtTeacher.load(weights / "convnext").to(device)

    def features(pictures: Tensor) -> Tensor:
        return torch.cat([network.features(batch) for batch in pictures.split(settings.batch_size)])

    def compute(pictures: Tensor, first: int) -> Outputs:
        views = [
            features(augment(pictures, torch_generator(0, "targets", "augment", first, view)))
            for view in range(settings.augmented_views)
        ]
        return {"features": features(pictures), "augmented": torch.stack(views, dim=1)}

    return compute


NETWORKS = {
    "clip": _clip,
    "openai_clip": _openai_clip,
    "lowlevel_vae": _vae,
    "vae": _posterior,
    "convnext": _convnext,
}
