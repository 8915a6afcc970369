"""Captions from CLIP image tokens: a linear converter and the stock GIT model, fed with features instead of pixels."""

from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from mindeye2.errors import UserError
from mindeye2.frozen.clip import MEAN, STD, resize
from mindeye2.frozen.weights import build, fill, load_tokenizer, read_json, read_tensors, tensor_files
from mindeye2.shapes import Images, Tokens

MAX_LENGTH = 20
"""Tokens of a caption, the start token included."""
_VISION = "git.image_encoder."


class Converter(nn.Module):
    """CLIP image tokens to GIT's vision features: one affine map over tokens, then one over channels.

    Names as in the released file.
    """

    def __init__(self, *, tokens: int, clip_dim: int, features: int, feature_dim: int):
        super().__init__()
        self.linear1 = nn.Linear(tokens, features)
        self.linear2 = nn.Linear(clip_dim, feature_dim)

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch features feature_dim"]:
        mixed = self.linear1(rearrange(tokens, "b t d -> b d t"))
        return self.linear2(rearrange(mixed, "b d f -> b f d"))


class FeaturesAsPixels(nn.Module):
    """Stands in for GIT's vision encoder: what comes as pixels (batch, 1, features, width) already is its output.

    The extra axis is there because GIT checks that pixels have rank 4. No argument of ``generate`` takes features.
    """

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        return BaseModelOutput(last_hidden_state=pixel_values[:, 0])


class Captioner(nn.Module):
    """Greedy captions of CLIP image tokens, or of pictures where it holds GIT's own vision encoder."""

    def __init__(self, git: nn.Module, converter: Converter, tokenizer: Any, vision: nn.Module | None):
        super().__init__()
        self.git, self.converter, self.tokenizer, self.vision = git, converter, tokenizer, vision

    @classmethod
    def load(cls, folder: str | Path, *, vision: bool = False) -> "Captioner":
        """Read ``config.json`` and weights of a ``GitForCausalLM``, its tokenizer and ``converter.safetensors``.

        vision: load GIT's vision encoder too, if the file holds it. UserError names a missing, damaged or foreign
        file.
        """
        from transformers import PreTrainedTokenizerFast

        folder = Path(folder)
        git = load_git(folder)
        origin = folder / "converter.safetensors"
        tensors = read_tensors([origin])
        converter = build(lambda: Converter(**_converter_sizes(tensors)), origin)
        fill(converter, tensors, origin)
        _check_fit(git, converter, origin)
        size = git.config.vocab_size
        tokenizer = load_tokenizer(PreTrainedTokenizerFast, folder, needed="tokenizer.json", size=size)
        return cls(git, converter, tokenizer, load_vision(folder) if vision else None).eval()

    @torch.no_grad()
    def captions(self, tokens: Tokens) -> list[str]:
        """One caption per picture, without special tokens; UserError where the converter takes other tokens."""
        given = tuple(tokens.shape[1:])
        wanted = (self.converter.linear1.in_features, self.converter.linear2.in_features)
        if given != wanted:
            raise UserError(
                f"captioner/converter.safetensors: takes {wanted[0]} tokens of width {wanted[1]}, but the CLIP gives "
                f"{given[0]} of width {given[1]}; put a converter and a CLIP that belong together into paths.weights"
            )
        return self._texts(self.converter(tokens))

    @torch.no_grad()
    def captions_of(self, images: Images) -> list[str]:
        """The same of pictures in [0, 1], seen by GIT's own vision encoder."""
        mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        seen = (resize(images, self.git.config.vision_config.image_size) - mean) / std
        return self._texts(self.vision(seen).last_hidden_state)

    def _texts(self, features: Float[Tensor, "batch features feature_dim"]) -> list[str]:
        ids = generate(self.git, features)
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]


def load_git(folder: Path) -> nn.Module:
    """The stock ``GitForCausalLM`` of a folder, with ``FeaturesAsPixels`` for its vision encoder."""
    from transformers import GitConfig, GitForCausalLM

    config, files = read_json(folder / "config.json"), tensor_files(folder)

    def make() -> nn.Module:
        git = GitForCausalLM(GitConfig.from_dict(config))
        git.git.image_encoder = FeaturesAsPixels()
        return git

    tensors = {name: tensor for name, tensor in read_tensors(files).items() if not name.startswith(_VISION)}
    # Older files carry the positions 0, 1, 2, ... as a buffer.
    tensors.pop("git.embeddings.position_ids", None)
    return fill(build(make, folder / "config.json"), tensors, files[0])


def load_vision(folder: Path) -> nn.Module | None:
    """GIT's own vision encoder; None where the file of weights leaves it out."""
    from transformers import GitVisionConfig
    from transformers.models.git.modeling_git import GitVisionModel

    config, files = read_json(folder / "config.json"), tensor_files(folder)
    tensors = {
        name.removeprefix(_VISION): tensor
        for name, tensor in read_tensors(files).items()
        if name.startswith(_VISION) and not name.endswith("position_ids")
    }
    if not tensors:
        return None
    vision = build(lambda: GitVisionModel(GitVisionConfig(**config["vision_config"])), folder / "config.json")
    return fill(vision, tensors, files[0])


def generate(git: nn.Module, features: Float[Tensor, "batch features feature_dim"]) -> Int[Tensor, "batch length"]:
    """Greedy token ids, start token first, padded after the end token; at most ``MAX_LENGTH`` of them."""
    config = git.config
    return git.generate(
        pixel_values=features[:, None],
        max_length=MAX_LENGTH,
        do_sample=False,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )


def _converter_sizes(tensors: dict[str, Tensor]) -> dict[str, int]:
    features, tokens = tensors["linear1.weight"].shape
    feature_dim, clip_dim = tensors["linear2.weight"].shape
    return {"tokens": tokens, "clip_dim": clip_dim, "features": features, "feature_dim": feature_dim}


def _check_fit(git: nn.Module, converter: Converter, origin: Path) -> None:
    vision = git.config.vision_config
    wanted = ((vision.image_size // vision.patch_size) ** 2 + 1, vision.hidden_size)
    given = (converter.linear1.out_features, converter.linear2.out_features)
    if given != wanted:
        raise UserError(
            f"{origin}: gives {given[0]} features of width {given[1]}, but the captioner beside it takes "
            f"{wanted[0]} of width {wanted[1]}; take both from one source"
        )
