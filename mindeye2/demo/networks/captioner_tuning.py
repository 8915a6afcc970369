"""The captioner's last lesson: captions of tokens that are not exact, as a decoder's never are."""

import torch
from torch import Tensor

from mindeye2.demo.networks.fit import Recipe, Run, as_images, draw_rows, fit, in_batches, save_half
from mindeye2.frozen.captioner import MAX_LENGTH, Captioner
from mindeye2.frozen.clip import Clip

RECIPE = Recipe(steps=800, batch_size=64, lr=5e-4, average=0.99, graphed=False)
LEAST_SHARE, MOST_NOISE = 0.5, 0.8
"""Tokens keep half to all of their distance from the mean picture's, under noise of a deviation up to 0.8."""


def train(run: Run) -> dict[str, float | int]:
    """Rewrite the weights of ``captioner/``, converter and text part together; needs ``clip/`` and ``captioner/``.

    Minutes on a CPU with ``--scenes 12000``.
    """
    folder = run.out / "captioner"
    captioner, clip = Captioner.load(folder).to(run.device), Clip.load(run.out / "clip").to(run.device)
    git, converter = captioner.git, captioner.converter
    git.requires_grad_(True).train()
    converter.requires_grad_(True)
    pictures, generator = run.pictures(), run.generator("captioner tuning")
    tokens = torch.cat(
        [clip.tokens(as_images(pictures[rows]), pixel_range="pm1").half() for rows in in_batches(len(pictures))]
    )
    mean = tokens.float().mean(dim=0)
    lines, wordings = run.wordings()
    found = captioner.tokenizer(lines, padding="max_length", max_length=MAX_LENGTH, return_tensors="pt")
    ids = found.input_ids.to(run.device)

    def loss() -> dict[str, Tensor]:
        rows = draw_rows(len(pictures), RECIPE.batch_size, generator)
        share, strength = torch.rand((2, len(rows), 1, 1), generator=generator, device=run.device)
        noise = torch.randn((len(rows), *mean.shape), generator=generator, device=run.device)
        kept = LEAST_SHARE + (1 - LEAST_SHARE) * share
        inexact = mean + kept * (tokens[rows].float() - mean) + MOST_NOISE * strength * noise
        written = ids[wordings[rows, draw_rows(wordings.shape[1], len(rows), generator)]]
        ignored = torch.where(written == git.config.pad_token_id, -100, written)
        return {"loss": git(input_ids=written, pixel_values=converter(inexact)[:, None], labels=ignored).loss}

    values = fit("captioner tuning", {"git": git, "converter": converter}, loss, RECIPE, run, generator)
    save_half(git, folder / "model.safetensors")
    save_half(converter, folder / "converter.safetensors")
    return values
