"""The captioner: GIT on pictures, then a linear converter from CLIP tokens to its vision features."""

from typing import Any

import torch
from torch import Tensor

from mindeye2.demo.networks.clip import CONFIG as CLIP
from mindeye2.demo.networks.clip import PATCH
from mindeye2.demo.networks.fit import Recipe, Run, as_images, draw_rows, fit, in_batches, save_half
from mindeye2.demo.networks.scenes import IMAGE_PX, vocabulary
from mindeye2.demo.networks.text import word_tokenizer
from mindeye2.frozen.captioner import MAX_LENGTH, Converter, FeaturesAsPixels
from mindeye2.frozen.clip import Clip

VISION: dict[str, Any] = {
    "hidden_size": 96,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "image_size": IMAGE_PX,
    "patch_size": PATCH,
}
CONFIG: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
GIT_RECIPE = Recipe(steps=5_000, batch_size=256, lr=1e-3, average=0.998, graphed=False)
CONVERTER_RECIPE = Recipe(steps=4_000, batch_size=512, lr=3e-3, average=0.998)
TUNING_RECIPE = Recipe(steps=3_000, batch_size=256, lr=3e-4, average=0.998, graphed=False)


def train(run: Run) -> dict[str, float | int]:
    """Write ``captioner/`` without GIT's vision encoder, which only its training needs; needs ``clip/``.

    A linear converter loses some of the features, so GIT's text part is tuned on converted ones at the end.
    """
    from transformers import GitConfig, GitForCausalLM

    folder = run.out / "captioner"
    tokenizer = word_tokenizer(vocabulary())
    run.seed_init("captioner")
    config = GitConfig(**CONFIG, vocab_size=len(tokenizer), vision_config=VISION, tie_word_embeddings=False)
    git = GitForCausalLM(config).to(run.device).train()
    clip = Clip.load(run.out / "clip").to(run.device)
    pictures, generator = run.pictures(), run.generator("captioner")
    tokens = torch.cat(
        [clip.tokens(as_images(pictures[rows]), pixel_range="pm1").half() for rows in in_batches(len(pictures))]
    )
    lines, wordings = run.wordings()
    ids = tokenizer(lines, padding="max_length", max_length=MAX_LENGTH, return_tensors="pt").input_ids.to(run.device)

    def language(pixels: Tensor, rows: Tensor) -> dict[str, Tensor]:
        written = ids[wordings[rows, draw_rows(wordings.shape[1], len(rows), generator)]]
        ignored = torch.where(written == CONFIG["pad_token_id"], -100, written)
        return {"loss": git(input_ids=written, pixel_values=pixels, labels=ignored).loss}

    def seen(rows: Tensor) -> Tensor:
        return (as_images(pictures[rows]) - clip.mean) / clip.std

    def loss_on_pictures() -> dict[str, Tensor]:
        rows = draw_rows(len(pictures), GIT_RECIPE.batch_size, generator)
        return language(seen(rows), rows)

    first = fit("captioner", {"git": git}, loss_on_pictures, GIT_RECIPE, run, generator)

    vision = git.git.image_encoder.eval().requires_grad_(False)
    with torch.no_grad():
        features = torch.cat(
            [vision(seen(torch.arange(len(pictures), device=run.device)[rows])).last_hidden_state.half()
             for rows in in_batches(len(pictures))]
        )  # fmt: skip
    width, count = CLIP["vision_cfg"]["width"], tokens.shape[1]
    converter = Converter(
        tokens=count, clip_dim=width, features=features.shape[1], feature_dim=VISION["hidden_size"]
    ).to(run.device)

    def loss_on_features() -> dict[str, Tensor]:
        rows = draw_rows(len(pictures), CONVERTER_RECIPE.batch_size, generator)
        return {"loss": (converter(tokens[rows].float()).float() - features[rows].float()).square().mean()}

    second = fit("converter", {"converter": converter}, loss_on_features, CONVERTER_RECIPE, run, generator)

    git.git.image_encoder = FeaturesAsPixels()
    converter.requires_grad_(False)

    def loss_on_converted() -> dict[str, Tensor]:
        rows = draw_rows(len(pictures), TUNING_RECIPE.batch_size, generator)
        return language(converter(tokens[rows].float())[:, None], rows)

    third = fit("captioner on tokens", {"git": git}, loss_on_converted, TUNING_RECIPE, run, generator)

    git.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_half(git, folder / "model.safetensors")
    save_half(converter, folder / "converter.safetensors")
    phases = {"on_pictures": first, "converter": second, "on_tokens": third}
    steps = sum(outcome["steps"] for outcome in phases.values())
    return {"steps": steps, **{phase: outcome["loss"] for phase, outcome in phases.items()}}
