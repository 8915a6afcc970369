"""bfloat16 products with float32 weights, on each kind of device by the means that pay there."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


@contextmanager
def forward_precision(device: torch.device, precision: Precision) -> Iterator[None]:
    """For the forward pass: autocast on an accelerator; on a CPU as in ``backward_precision``.

    Autocast is not used on CPUs: one without bfloat16 instructions would emulate them, many times slower.
    """
    if device.type == "cpu":
        with backward_precision(device, precision):
            yield
    else:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            yield


@contextmanager
def backward_precision(device: torch.device, precision: Precision) -> Iterator[None]:
    """For the backward pass: on a CPU with bfloat16 instructions, products round their float32 factors to bfloat16.

    Sums stay float32. Other CPUs go on in float32. On an accelerator autocast's choices of the forward pass hold.
    """
    if device.type != "cpu" or precision == "float32":
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
