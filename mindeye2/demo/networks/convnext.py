"""The teacher of the low-level branch: features that tell what stands where, steady under augmentation."""

import json
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from mindeye2.demo.networks.fit import Recipe, Run, as_images, draw_rows, fit, save_half
from mindeye2.demo.world import BACKGROUNDS, COLOURS, KINDS, MAIN_PLACES, SIZES
from mindeye2.frozen.convnext import LEGACY_STD, MEAN, ConvNeXtTeacher

CONFIG: dict[str, Any] = {
    "depths": [1, 1, 2],
    "widths": [24, 48, 96],
    "projector": [128, 128, 128],
    "mean": list(MEAN),
    "std": list(LEGACY_STD),
}
RECIPE = Recipe(steps=6_000, batch_size=256, lr=1e-3, weight_decay=0.05, average=0.999)
_CELLS = 4
_FLICKER = 0.15
_CLASSES = (len(KINDS), len(COLOURS), len(SIZES), len(MAIN_PLACES), len(BACKGROUNDS))


class Reading(nn.Module):
    """Thrown away after training: the scene's labels from all cells, and each cell's colours from its own features."""

    def __init__(self, width: int):
        super().__init__()
        self.classes = nn.Linear(_CELLS * _CELLS * width, sum(_CLASSES))
        self.colours = nn.Linear(width, 3 * 4 * 4)


def train(run: Run) -> dict[str, float | int]:
    """Write ``convnext/``."""
    run.seed_init("convnext")
    network = ConvNeXtTeacher(**CONFIG).to(run.device).train()
    reading = Reading(CONFIG["projector"][-1]).to(run.device)
    pictures, generator = run.pictures(), run.generator("convnext")
    labels = torch.from_numpy(run.scenes.labels).to(run.device)

    def loss() -> dict[str, Tensor]:
        rows = draw_rows(len(pictures), RECIPE.batch_size, generator)
        images = as_images(pictures[rows])
        tint = torch.rand((len(rows), 3, 1, 1), generator=generator, device=run.device)
        features = network((images * (1 + _FLICKER * (2 * tint - 1))).clamp(0, 1))
        parts = reading.classes(features.flatten(1)).float().split(_CLASSES, dim=1)
        classes = sum(cross_entropy(part, labels[rows, index]) for index, part in enumerate(parts))
        small = interpolate(images, size=(4 * _CELLS, 4 * _CELLS), mode="area")
        cells = small.view(-1, 3, _CELLS, 4, _CELLS, 4).permute(0, 2, 4, 1, 3, 5).flatten(1, 2).flatten(2)
        colours = (reading.colours(features).float() - cells).abs().mean()
        return {"loss": classes + 4 * colours, "classes": classes, "colours": colours}

    values = fit("convnext", {"convnext": network, "reading": reading}, loss, RECIPE, run, generator)
    folder = run.out / "convnext"
    folder.mkdir(parents=True, exist_ok=True)
    save_half(network, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
    return values
