"""Where the frozen networks run, and in which precision."""

import torch
from torch import nn


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_in_half(network: nn.Module) -> nn.Module:
    """On a GPU, let ``network`` compute in float16 under autocast, as the original did; its outputs are float32.

    The caller's own arithmetic (latents, σ, guidance) is outside of the autocast and stays float32.
    """
    if next(network.parameters()).is_cuda:
        from accelerate.utils import convert_outputs_to_fp32

        network.forward = convert_outputs_to_fp32(torch.autocast("cuda", dtype=torch.float16)(network.forward))
    return network
