"""Fine-tune an SDXL-shaped UNet to the CLIP tokens of pictures."""

import sys

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import nn

from mindeye2.data.batches import open_targets
from mindeye2.errors import UserError
from mindeye2.frozen.unclip import load_unet, unclip_from_sdxl
from mindeye2.frozen.vae import Vae
from mindeye2.job import Job
from mindeye2.memory import enough_memory
from mindeye2.objects import read_array
from mindeye2.seeds import stream_seed
from mindeye2.settings import Unclip
from mindeye2.train.history import plot_steps, write_history
from mindeye2.train.parallel import run_on, usable_devices
from mindeye2.train.unclip import Pictures, UnclipTrainer

OUTPUTS: tuple[str, ...] = ("unet/*", "history.csv", "loss.png")


def run(job: Job) -> None:
    """Write unet/, which diffusers opens, in float16; resumes from the checkpoint below ``job.work``.

    inputs: stimuli, and of its pictures clip (tokens) and vae (posterior). No picture that is shared, and so may be
    tested on, is trained on.
    """
    settings = job.settings(Unclip)
    run_on(usable_devices(settings.batch_size), _train, job, settings)


def _train(job: Job, settings: Unclip) -> None:
    accelerator = Accelerator(
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)]
    )
    pictures = _pictures(job, settings)
    unet = _start(job, settings, clip_dim=pictures.tokens.shape[2])
    _check_side(pictures.latents.shape[-1], unet, settings)
    if accelerator.is_main_process:
        print(f"unclip: {len(pictures.rows)} of {len(pictures.tokens)} pictures to train on", file=sys.stderr)

    with enough_memory("unclip", settings.batch_size, remedy="" if settings.recompute else "recompute: true"):
        trainer = UnclipTrainer(unet, pictures, settings, accelerator, job.work)
        history = trainer.fit()

    if accelerator.is_main_process:
        unet.half().save_pretrained(job.work / "unet")
        write_history(job.work / "history.csv", history, trainer.columns)
        plot_steps(job.work / "loss.png", history, title=f"unclip, from {settings.init}")


def _pictures(job: Job, settings: Unclip) -> Pictures:
    stimuli, tokens = job.input("stimuli"), open_targets(job.input("clip") / "tokens.npy", axes=3)
    shared = read_array(stimuli / "shared.npy")
    rows = np.flatnonzero(~shared)
    if not len(rows):
        raise UserError("unclip: every picture is shared and may be tested on; set unclip.pictures: folder")
    known = stimuli / "sizes.npy"
    told = [settings.decode_px, settings.decode_px, 0, 0]
    return Pictures(
        tokens=tokens,
        latents=open_targets(job.input("vae") / "latents.npy", axes=4),
        deviations=open_targets(job.input("vae") / "deviations.npy", axes=4),
        sizes=read_array(known) if known.exists() else np.broadcast_to(np.array(told), (len(tokens), 4)),
        rows=rows,
    )


def _start(job: Job, settings: Unclip, *, clip_dim: int) -> nn.Module:
    """The network before training, whose configuration says at which side it decodes."""
    weights = job.paths["weights"]
    torch.manual_seed(stream_seed(settings.seed, "unclip", "weights"))
    if settings.init == "sdxl":
        unet = unclip_from_sdxl(weights / "sdxl" / "unet", clip_dim=clip_dim)
    else:
        unet = load_unet(weights / "unclip").requires_grad_(True)
        if unet.config.cross_attention_dim != clip_dim:
            raise UserError(
                f"{weights / 'unclip' / 'config.json'}: reads tokens of width {unet.config.cross_attention_dim}, but "
                f"those of weights/clip have {clip_dim}; put networks there that belong together"
            )
    unet.register_to_config(sample_size=settings.decode_px // Vae.load(weights / "vae").factor)
    return unet


def _check_side(cells: int, unet: nn.Module, settings: Unclip) -> None:
    """Latents are halved on the way down, and must come back to their size on the way up."""
    halvings = 2 ** (len(unet.config.down_block_types) - 1)
    for field, side in (("image_px", cells), ("decode_px", unet.config.sample_size)):
        if side % halvings:
            raise UserError(
                f"unclip.{field}: {getattr(settings, field)} px are {side} latent cells, which do not divide by "
                f"{halvings}; choose a multiple of {getattr(settings, field) // side * halvings}"
            )
