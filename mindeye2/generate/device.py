"""Where the frozen networks run, and in which precision."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_in_half(unet: nn.Module, device: torch.device, *, compiled: bool = False) -> nn.Module:
    """Let a diffusers UNet compute in float16 on a GPU: its weights are cast once, its inputs at every call.

    It takes and gives float32, so that the caller's own arithmetic (latents, σ, guidance) stays in it, as it did under
    the original's autocast. Casting the weights instead saves autocast's float32 normalisations. Channels come last in
    memory, as tensor cores want them. ``compiled``: torch.compile, a minute at the first call, for every call
    of that shape; a smaller last batch is filled up. On the CPU nothing changes.
    """
    if device.type == "cuda":
        unet.half().to(memory_format=torch.channels_last)
        unet.forward = InHalf(unet.forward, compiled=compiled)
    return unet


class InHalf:
    """A UNet's forward pass in float16 between float32 tensors."""

    def __init__(self, forward: Callable[..., Any], *, compiled: bool):
        self.forward = torch.compile(forward, dynamic=False) if compiled else forward
        self.compiled, self.rows = compiled, 0

    def __call__(self, sample: Tensor, timestep: Tensor, *, return_dict: bool = True, **conditions: Any) -> Any:
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

        rows = len(sample)
        self.rows = max(self.rows, rows) if self.compiled else rows
        given = {name: self._prepared(value, rows) for name, value in conditions.items()}
        found = self.forward(self._prepared(sample, rows), timestep, return_dict=False, **given)[0][:rows].float()
        return UNet2DConditionOutput(sample=found) if return_dict else (found,)

    def _prepared(self, value: Any, rows: int) -> Any:
        if isinstance(value, dict):
            return {name: self._prepared(part, rows) for name, part in value.items()}
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        more = self.rows - rows
        return torch.cat([value, value[-1:].expand(more, *value.shape[1:])]).half() if more else value.half()


def put_on(device: torch.device, networks: Sequence[nn.Module], *, offload: bool) -> None:
    """Move networks to where they compute; with ``offload``, each one when it is called, until a later one is."""
    if device.type == "cpu" or not offload:
        for network in networks:
            network.to(device)
        return
    from accelerate import cpu_offload_with_hook

    previous = None
    for network in networks:
        _, previous = cpu_offload_with_hook(network, device, previous)
