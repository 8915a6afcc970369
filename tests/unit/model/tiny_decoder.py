"""A decoder small enough to build in every test."""

import torch

from mindeye2.model.mindeye import MindEye

SIZES = {
    "voxels": [11, 7],
    "hidden_dim": 16,
    "tokens": 6,
    "clip_dim": 24,
    "num_blocks": 2,
    "lowlevel_latents": (4, 8, 12),
    "lowlevel_widths": (4, 8, 16),
    "lowlevel_groups": 4,
    "lowlevel_map_dim": 8,
    "lowlevel_feature_dim": 20,
    "prior_depth": 2,
    "prior_heads": 3,
    "prior_dim_head": 10,
    "prior_ff_mult": 2,
    "prior_timesteps": 12,
}


def tiny(**changed) -> MindEye:
    torch.manual_seed(0)
    return MindEye(**{**SIZES, **changed})


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
