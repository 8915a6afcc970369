"""The ConvNeXt teacher of the low-level branch, and the augmented view that its loss compares with."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import affine_grid, gelu, grid_sample

from mindeye2.frozen.weights import build, fill, read_json, read_tensors, tensor_files
from mindeye2.shapes import Images

MEAN = (0.485, 0.456, 0.406)
LEGACY_STD = (0.228, 0.224, 0.225)
"""ImageNet's, except for 0.228: a slip of the published code for 0.229 that its models were trained with."""
_GREY = (0.299, 0.587, 0.114)
_CROP_AREA = 0.9


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (batch, channels, height, width)."""

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps.movedim(1, -1)).movedim(-1, 1)


class Block(nn.Module):
    """``x + W2·GELU(W1·LN(depthwise 7x7 (x)))``, without layer scale."""

    def __init__(self, *, width: int):
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.norm(self.dwconv(maps).movedim(1, -1))
        inner = self.pwconv2(gelu(self.pwconv1(inner)))
        return maps + inner.movedim(-1, 1)


class Backbone(nn.Module):
    """Stem of stride 4, then stages that halve the map; LayerNorm on the last map's positions."""

    def __init__(self, *, depths: list[int], widths: list[int]):
        super().__init__()
        self.downsample_layers = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4), ChannelNorm(widths[0], eps=1e-6))]
        )
        for narrow, wide in pairwise(widths):
            self.downsample_layers.append(
                nn.Sequential(ChannelNorm(narrow, eps=1e-6), nn.Conv2d(narrow, wide, 2, stride=2))
            )
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width=width) for _ in range(depth)))
            for depth, width in zip(depths, widths, strict=True)
        )
        self.norm = nn.LayerNorm(widths[-1], eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            images = stage(downsample(images))
        return self.norm(rearrange(images, "b c h w -> b (h w) c"))


class ConvNeXtTeacher(nn.Module):
    """Backbone and projector: a picture in [0, 1] to one feature vector per cell of its last map.

    Module names are those of the released checkpoint, so that its keys fit without a table.
    """

    def __init__(
        self,
        *,
        depths: list[int],
        widths: list[int],
        projector: list[int],
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = LEGACY_STD,
    ):
        super().__init__()
        first, second, last = projector
        self.backbone = Backbone(depths=depths, widths=widths)
        self.maps_projector = nn.Sequential(
            nn.Linear(widths[-1], first),
            nn.LayerNorm(first),
            nn.ReLU(),
            nn.Linear(first, second),
            nn.LayerNorm(second),
            nn.ReLU(),
            nn.Linear(second, last, bias=False),
        )
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def load(cls, folder: str | Path) -> "ConvNeXtTeacher":
        """Read ``config.json`` (the arguments of this class) and the weights, frozen.

        UserError names a missing, damaged or foreign file.
        """
        folder = Path(folder)
        config, files = read_json(folder / "config.json"), tensor_files(folder)
        network = build(lambda: cls(**config), folder / "config.json")
        return fill(network, read_tensors(files), files[0])

    def forward(self, images01: Images) -> Float[Tensor, "batch cells teacher_dim"]:
        return self.maps_projector(self.backbone((images01 - self.mean) / self.std))

    @torch.no_grad()
    def features(self, images01: Images) -> Float[Tensor, "batch cells teacher_dim"]:
        """Projected features, cells in reading order; not normalised."""
        return self(images01)


def augment(images01: Images, generator: torch.Generator) -> Images:
    """Colour jitter, rarely grey or solarised, and a crop of 90 % of the area; each picture has its own draws.

    Colour jitter (brightness, contrast and saturation ±0.4, ±0.4, ±0.2, hue ±0.1) with probability 0.8,
    greyscale and solarisation with 0.1 each. ``generator`` is on the CPU and gives 12 numbers a picture.
    """
    draws = torch.rand(len(images01), 12, generator=generator).to(images01.device)
    column = draws[:, :, None, None, None]
    spread = 2 * column - 1

    jittered = (images01 * (1 + 0.4 * spread[:, 0])).clamp(0, 1)
    mean = grey(jittered).mean(dim=(-2, -1), keepdim=True)
    jittered = (mean + (jittered - mean) * (1 + 0.4 * spread[:, 1])).clamp(0, 1)
    luma = grey(jittered)
    jittered = (luma + (jittered - luma) * (1 + 0.2 * spread[:, 2])).clamp(0, 1)
    jittered = turn_hue(jittered, 0.1 * (2 * draws[:, 3] - 1))
    images = torch.where(column[:, 4] < 0.8, jittered, images01)

    images = torch.where(column[:, 5] < 0.1, grey(images).expand_as(images), images)

    threshold, addition = 0.5 + 0.1 * spread[:, 7], 0.1 * spread[:, 8]
    shifted = (images + addition).clamp(0, 1)
    solarised = torch.where(shifted < threshold, shifted, 1 - shifted)
    images = torch.where(column[:, 6] < 0.1, solarised, images)

    return _crop(images, draws[:, 9:11])


def grey(images: Images) -> Float[Tensor, "batch 1 height width"]:
    """Luma of ITU-R BT.601."""
    return (images * images.new_tensor(_GREY).view(3, 1, 1)).sum(dim=1, keepdim=True)


def turn_hue(images01: Images, turns: Float[Tensor, "batch"]) -> Images:
    """Add ``turns`` (1 = the full colour circle) to the hue of HSV, keeping saturation and value."""
    value, where = images01.max(dim=1)
    chroma = value - images01.amin(dim=1)
    red, green, blue = images01.unbind(dim=1)
    safe = chroma.clamp_min(1e-8)
    sixth = torch.stack([(green - blue) / safe, 2 + (blue - red) / safe, 4 + (red - green) / safe])
    hue = sixth.gather(0, where[None])[0] + 6 * turns[:, None, None]
    channels = []
    for offset in (5, 3, 1):
        position = (offset + hue) % 6
        channels.append(value - chroma * torch.minimum(position, 4 - position).clamp(0, 1))
    return torch.stack(channels, dim=1)


def _crop(images: Tensor, position: Tensor) -> Tensor:
    """A square of 90 % of the area at ``position`` in [0, 1]², resized back bilinearly."""
    side = _CROP_AREA**0.5
    transform = images.new_zeros(len(images), 2, 3)
    transform[:, 0, 0] = transform[:, 1, 1] = side
    transform[:, :, 2] = (2 * position - 1) * (1 - side)
    grid = affine_grid(transform, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)
