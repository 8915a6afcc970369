"""GNet, an encoding model: the responses of a subject's voxels to a picture (St-Yves et al. 2022).

A convolutional network that all subjects share gives two stacks of feature maps; each voxel pools both with
a field of its own and reads the pooled features out linearly. Names are those of the released checkpoint.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from mindeye2.errors import UserError
from mindeye2.frozen.weights import build, fill
from mindeye2.pickles import read_pickle
from mindeye2.shapes import Images

FILE = "gnet_multisubject.pt"

BATCH = 8
"""Pictures per pass: pooled features of one take 32 MB for 15 724 voxels."""

Maps = Float[Tensor, "batch _ _ _"]
"""(batch, features, height, width)"""


class Block(nn.Module):
    """Batch norm, 3 x 3 convolution, ReLU. The dropout between them only acts in training."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)

    def forward(self, maps: Maps) -> Maps:
        return relu(self.conv1(self.bn1(maps)))


class Stem(nn.Module):
    """AlexNet's first two layers."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, 64, 11, stride=4, padding=2))
        self.conv2 = nn.Sequential(nn.Conv2d(64, 192, 5, padding=2))

    def forward(self, pictures: Images) -> Maps:
        return relu(self.conv2(max_pool2d(relu(self.conv1(pictures)), 3, stride=2)))


class Trunk(nn.Module):
    """Seven convolutions; of each one's channels the first ``width`` (of the first, all 128) are read out."""

    def __init__(self, *, width: int, pass_through: int):
        super().__init__()
        self.width, both = width, width + pass_through
        self.bn1 = nn.BatchNorm2d(192)
        self.conv3 = nn.Conv2d(192, 128, 3)
        self.conv4a, self.conv4b = Block(128, both), Block(both, both)
        self.conv5a, self.conv5b = Block(both, both), Block(both, both)
        self.conv6a, self.conv6b = Block(both, both), Block(both, width)

    def forward(self, maps: Maps) -> tuple[Maps, Maps]:
        c3 = relu(self.conv3(self.bn1(maps)))
        c4a = self.conv4a(c3)
        c4b = self.conv4b(c4a)
        c5a = self.conv5a(max_pool2d(c4b, 3, stride=2, padding=1))
        c5b = self.conv5b(c5a)
        c6a = self.conv6a(c5b)
        c6b = self.conv6b(c6a)
        fine, coarse = (c3, c4a[:, : self.width], c4b[:, : self.width]), (c5a, c5b, c6a, c6b)
        return torch.cat(fine, dim=1), torch.cat([part[:, : self.width] for part in coarse], dim=1)


class Encoder(nn.Module):
    """Pictures in [0, 1], less the mean picture ``mu``, to the two stacks of feature maps."""

    def __init__(self, *, width: int, pass_through: int, side: int):
        super().__init__()
        self.mu = nn.Parameter(torch.empty(3, side, side))
        self.pre = Stem()
        self.enc = Trunk(width=width, pass_through=pass_through)

    def forward(self, pictures: Images) -> tuple[Maps, Maps]:
        return self.enc(self.pre(pictures - self.mu))


class Readout(nn.Module):
    """One subject's voxels: softmax pooling fields ``rf0`` and ``rf1``, weights ``w``, offsets ``b``."""

    def __init__(self, *, voxels: int, features: int, fine: int, coarse: int):
        super().__init__()
        self.rf0 = nn.Parameter(torch.empty(voxels, fine, fine))
        self.rf1 = nn.Parameter(torch.empty(voxels, coarse, coarse))
        self.w = nn.Parameter(torch.empty(voxels, features))
        self.b = nn.Parameter(torch.empty(voxels))

    def forward(self, maps: tuple[Maps, Maps]) -> Float[Tensor, "batch voxels"]:
        pooled = [
            torch.einsum("vs,bfs->vbf", field.flatten(1).softmax(dim=1), compress(each).flatten(2))
            for field, each in zip((self.rf0, self.rf1), maps, strict=True)
        ]
        features = compress(torch.cat(pooled, dim=2))
        return torch.einsum("vbf,vf->bv", features, self.w) + self.b


class GNet(nn.Module):
    """Predicted betas of one subject, in the order of its nsdgeneral voxels."""

    def __init__(self, encoder: Encoder, readout: Readout):
        super().__init__()
        self.encoder, self.readout = encoder, readout

    @classmethod
    def load(cls, place: str | Path, *, subject: int) -> "GNet":
        """Read the released checkpoint ``gnet_multisubject.pt`` in the folder ``place``.

        UserError names a file that is missing, damaged or foreign, or that does not know the subject.
        """
        path = Path(place) / FILE
        content = read_pickle(path, remedy="put the released file there, or correct paths.weights")
        try:
            shared, readouts = content["best_params"]["enc"], content["best_params"]["fwrfs"]
        except (KeyError, TypeError, IndexError):
            raise UserError(
                f"{path}: has no best_params with enc and fwrfs, so it is no GNet; fetch it again"
            ) from None
        if subject not in readouts:
            known = ", ".join(map(str, readouts))
            raise UserError(f"{path}: knows the subjects {known}, not {subject}; correct matrix.subjects")
        shared, own = _float32(shared), _float32(readouts[subject])
        encoder = fill(build(lambda: _encoder(shared), path), shared, path)
        return cls(encoder, fill(build(lambda: _readout(own), path), own, path)).eval()

    @property
    def voxels(self) -> int:
        return len(self.readout.b)

    @torch.no_grad()
    def predict(self, pictures: Images) -> Float[Tensor, "n voxels"]:
        """Betas, on the CPU, of pictures in [0, 1], which are seen with 8 bits and resized by Lanczos."""
        device, side = self.readout.b.device, self.encoder.mu.shape[-1]
        batches = pictures.split(BATCH)
        return torch.cat([self.readout(self.encoder(as_seen(batch, side).to(device))).cpu() for batch in batches])


def as_seen(pictures: Images, side: int) -> Float[Tensor, "batch 3 {side} {side}"]:
    """Cut to 8 bits, as torchvision's ``ToPILImage`` does, and resized with PIL's Lanczos filter; in [0, 1]."""
    levels = pictures.mul(255).byte().permute(0, 2, 3, 1).cpu().numpy()
    resized = [np.asarray(Image.fromarray(each).resize((side, side), Image.Resampling.LANCZOS)) for each in levels]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255


def compress(values: Tensor) -> Tensor:
    """ln(1 + |x|) · tanh x."""
    return torch.log(1 + values.abs()) * values.tanh()


def _float32(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def _encoder(tensors: Mapping[str, Tensor]) -> Encoder:
    width, both = len(tensors["enc.conv6b.conv1.weight"]), len(tensors["enc.conv4a.conv1.weight"])
    return Encoder(width=width, pass_through=both - width, side=tensors["mu"].shape[-1])


def _readout(tensors: Mapping[str, Tensor]) -> Readout:
    voxels, features = tensors["w"].shape
    return Readout(voxels=voxels, features=features, fine=tensors["rf0"].shape[-1], coarse=tensors["rf1"].shape[-1])
