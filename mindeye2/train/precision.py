"""Half-precision products with float32 weights, on each kind of device by the means that pay there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16", "float16"]
STEPS_TO_DOUBLE = 2000
_AUTOCAST = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@contextmanager
def forward_precision(device: torch.device, precision: Precision) -> Iterator[None]:
    """For the forward pass: autocast on an accelerator; on a CPU as in ``backward_precision``.

    Autocast is not used on CPUs: one without bfloat16 instructions would emulate them, many times slower.
    """
    if device.type == "cpu":
        with backward_precision(device, precision):
            yield
    else:
        with torch.autocast(device.type, _AUTOCAST[precision], enabled=precision != "float32"):
            yield


@contextmanager
def backward_precision(device: torch.device, precision: Precision) -> Iterator[None]:
    """For the backward pass: on a CPU with bfloat16 instructions, products round their float32 factors to bfloat16.

    Sums stay float32. Other CPUs go on in float32, and for float16 all of them.
    On an accelerator autocast's choices of the forward pass hold.
    """
    if device.type != "cpu" or precision != "bfloat16":
        yield
        return
    kernels = (torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv)
    before = [kernel.fp32_precision for kernel in kernels]
    for kernel in kernels:
        kernel.fp32_precision = "bf16"
    try:
        yield
    finally:
        for kernel, value in zip(kernels, before, strict=True):
            kernel.fp32_precision = value


class LossScale:
    """Dynamic loss scaling for float16 (Micikevicius et al. 2018): small gradients are lifted into its range.

    The scale is halved after a step whose gradients overflow, which is left out, and doubled after 2000 others.
    """

    def __init__(self, device: torch.device):
        self.state = torch.tensor([2.0**16, 0.0], device=device)
        """The scale, and the steps since it last changed."""

    @property
    def value(self) -> Tensor:
        return self.state[0].clone()

    @torch.no_grad()
    def unscale(self, parameters: Sequence[Tensor]) -> bool:
        """Divide the gradients by the scale and adapt it; False where one of them is not finite."""
        gradients = [parameter.grad for parameter in parameters]
        torch._foreach_mul_(gradients, 1 / self.state[0])
        sound = bool(torch.nn.utils.get_total_norm(gradients).isfinite())
        scale, steps = self.state.tolist()
        if not sound:
            scale, steps = scale / 2, 0.0
        elif steps + 1 == STEPS_TO_DOUBLE:
            scale, steps = scale * 2, 0.0
        else:
            steps += 1
        self.state.copy_(torch.tensor([scale, steps]))
        return sound
