"""The gold checkpoint in the released layout, its configurations, and what the command makes of it."""

import json
from pathlib import Path

from safetensors.torch import load_file

GOLD = Path(__file__).parents[1] / "gold/generators"
SIZES = json.loads((GOLD / "config.json").read_text())["config"]
UNET = {
    "sample_size": SIZES["hw"],
    "block_out_channels": [32, 64, 96],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 2,
    "transformer_layers_per_block": SIZES["td"],
    "attention_head_dim": [4, 8, 12],
    "use_linear_projection": True,
    "norm_num_groups": 32,
    "cross_attention_dim": SIZES["ctx"],
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": SIZES["adm"],
}
VAE = {
    "block_out_channels": [32] * 4,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "scaling_factor": 0.13025,
}


def gold(name):
    return load_file(GOLD / f"{name}.safetensors")


def part_of(checkpoint, prefix):
    return {name.removeprefix(prefix): value for name, value in checkpoint.items() if name.startswith(prefix)}


def configs(folder):
    """Both configurations as files; the command's options that name them."""
    options = []
    for option, config in (("--unet-config", UNET), ("--vae-config", VAE)):
        path = folder / f"{option[2:]}.json"
        path.write_text(json.dumps(config))
        options += [option, str(path)]
    return options
