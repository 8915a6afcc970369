"""The latent space of pictures: diffusers' ``AutoencoderKL`` in float32."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mindeye2.frozen.weights import build, fill, read_json, read_tensors, tensor_files
from mindeye2.loading import uninitialised
from mindeye2.shapes import Images, Latents


class Vae(nn.Module):
    """Pictures in [0, 1] to scaled latents and back; always float32 (half precision overflows in the decoder)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    @classmethod
    def load(cls, folder: str | Path) -> "Vae":
        """Read an ``AutoencoderKL`` folder; UserError names a missing, damaged or foreign file."""
        from diffusers import AutoencoderKL

        folder = Path(folder)
        config, files = read_json(folder / "config.json"), tensor_files(folder)
        with uninitialised():
            network = build(lambda: AutoencoderKL.from_config(config), folder / "config.json")
        return cls(fill(network, read_tensors(files), files[0])).eval()

    @property
    def scaling_factor(self) -> float:
        """What latents are multiplied with: one over their standard deviation."""
        return self.network.config.scaling_factor

    @property
    def factor(self) -> int:
        """Pixels per latent cell and side."""
        return 2 ** (len(self.network.config.block_out_channels) - 1)

    @torch.no_grad()
    def encode(self, images01: Images) -> Latents:
        """Mode of the posterior of ``2·image − 1``, times the scaling factor."""
        return self.network.encode(2 * images01 - 1).latent_dist.mode() * self.scaling_factor

    @torch.no_grad()
    def posterior(self, images01: Images) -> tuple[Latents, Latents]:
        """Mean and standard deviation of the posterior of ``2·image − 1``, both times the scaling factor."""
        found = self.network.encode(2 * images01 - 1).latent_dist
        return found.mean * self.scaling_factor, found.std * self.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Latents) -> Float[Tensor, "batch 3 height width"]:
        """Pictures in about [−1, 1], not clamped, of scaled latents."""
        return self.network.decode(latents / self.scaling_factor).sample
