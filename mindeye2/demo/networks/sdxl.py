"""The refiner: an SDXL-shaped network that reads captions, trained together with its two text towers."""

import json
from typing import Any

import torch
from torch import Tensor

from mindeye2.demo.networks.diffusion import SIZES_PX, Denoising, encode_all
from mindeye2.demo.networks.fit import Recipe, Run, draw_rows, fit
from mindeye2.demo.networks.scenes import vocabulary
from mindeye2.demo.networks.text import merges, vocab_size
from mindeye2.demo.networks.unclip import SHAPE
from mindeye2.frozen.tokenizer import CONTEXT, END, clip_tokenizer
from mindeye2.frozen.vae import Vae
from mindeye2.generate.refine import NEGATIVE_PROMPT

WIDTHS = (64, 96)
TIME_DIM = 32
CONFIG: dict[str, Any] = {
    **SHAPE,
    "block_out_channels": (32, 64, 96),
    "cross_attention_dim": sum(WIDTHS),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": TIME_DIM,
    "projection_class_embeddings_input_dim": WIDTHS[1] + 6 * TIME_DIM,
}
TEXT: tuple[dict[str, Any], ...] = (
    {"hidden_size": WIDTHS[0], "num_hidden_layers": 3, "hidden_act": "quick_gelu"},
    {"hidden_size": WIDTHS[1], "num_hidden_layers": 3, "hidden_act": "gelu", "projection_dim": WIDTHS[1]},
)
RECIPE = Recipe(steps=20_000, batch_size=256, lr=1e-3, average=0.9995)
NULL_SHARE = 0.1
"""Share of samples with an empty caption or the negative prompt, half each."""
LOW_SHARE = 0.5


def train(run: Run) -> dict[str, float | int]:
    """Write ``sdxl/`` without an autoencoder of its own; needs ``vae/``."""
    from diffusers import EulerDiscreteScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    folder = run.out / "sdxl"
    words = merges(vocabulary())
    tokenizers = (clip_tokenizer(words, pad=END), clip_tokenizer(words, pad="!"))
    run.seed_init("sdxl")
    configs = [
        CLIPTextConfig(
            **part,
            intermediate_size=4 * part["hidden_size"],
            num_attention_heads=4,
            vocab_size=vocab_size(words),
            max_position_embeddings=CONTEXT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        for part, tokenizer in zip(TEXT, tokenizers, strict=True)
    ]
    first = CLIPTextModel(configs[0]).to(run.device).train()
    second = CLIPTextModelWithProjection(configs[1]).to(run.device).train()
    network = UNet2DConditionModel(**CONFIG).to(run.device).train()

    pictures = run.pictures()
    latents = encode_all(Vae.load(run.out / "vae").to(run.device), pictures)
    lines, wordings = run.wordings()
    ids = [_ids(tokenizer, [*lines, "", NEGATIVE_PROMPT], run.device) for tokenizer in tokenizers]
    generator = run.generator("sdxl")
    denoising = Denoising(run, generator)
    told = torch.tensor([[*size, 0, 0, *size] for size in SIZES_PX], device=run.device)

    def loss() -> dict[str, Tensor]:
        rows = draw_rows(len(pictures), RECIPE.batch_size, generator)
        noisy, timesteps, target = denoising.noisy(latents[rows].float(), low_share=LOW_SHARE)
        chosen = wordings[rows, draw_rows(wordings.shape[1], len(rows), generator)]
        fate = denoising.uniform(len(rows))
        chosen = torch.where(fate < NULL_SHARE, len(lines), chosen)
        chosen = torch.where(fate < NULL_SHARE / 2, len(lines) + 1, chosen)
        context, pooled = encode_prompt(first, second, ids[0][chosen], ids[1][chosen])
        added = {"text_embeds": pooled, "time_ids": told[draw_rows(len(told), len(rows), generator)]}
        found = network(noisy, timesteps, context, added_cond_kwargs=added).sample
        return {"loss": (found.float() - target).square().mean()}

    parts = {"unet": network, "text_encoder": first, "text_encoder_2": second}
    values = fit("sdxl", parts, loss, RECIPE, run, generator)

    for name, part in parts.items():
        part.eval().half().save_pretrained(folder / name)
    for name, tokenizer in zip(("tokenizer", "tokenizer_2"), tokenizers, strict=True):
        tokenizer.save_pretrained(folder / name)
    EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing"
    ).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(_index(), indent=2) + "\n")
    return values


def encode_prompt(first: Any, second: Any, first_ids: Tensor, second_ids: Tensor) -> tuple[Tensor, Tensor]:
    """(context, pooled) as the pipeline makes them: last but one hidden states side by side, projected end token."""
    one = first(first_ids, output_hidden_states=True)
    two = second(second_ids, output_hidden_states=True)
    return torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1), two.text_embeds


def _ids(tokenizer: Any, texts: list[str], device: torch.device) -> Tensor:
    found = tokenizer(texts, padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt").input_ids
    return found.to(device)


def _index() -> dict[str, Any]:
    return {
        "_class_name": "StableDiffusionXLImg2ImgPipeline",
        "force_zeros_for_empty_prompt": True,
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
