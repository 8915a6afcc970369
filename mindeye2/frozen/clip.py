"""CLIP as open_clip builds it: image tokens for the decoder, embeddings of pictures and texts for metrics."""

import math
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, normalize, pad

from mindeye2.errors import UserError
from mindeye2.frozen.weights import build, fill, read_json, read_tensors, tensor_files
from mindeye2.shapes import Images, Tokens

PixelRange = Literal["legacy01", "pm1"]

BIGG_TOKENS, BIGG_MEAN, BIGG_DEVIATION = (256, 1664), 0.160, 1.096
"""Shape and element statistics of the tokens of the published network."""

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class Clip(nn.Module):
    """A frozen CLIP. Pictures come in [0, 1], of any size, and are resized to the network's.

    ``pixel_range`` says how the network sees them: ``pm1`` as they are; ``legacy01`` as ``(x + 1) / 2``, so
    in [0.5, 1], which is how the released MindEye2 models took [0, 1] for [−1, 1].
    """

    def __init__(self, network: nn.Module, *, image_px: int, tokenizer: Any, has_text: bool = True):
        super().__init__()
        self.network, self.image_px, self.has_text = network, image_px, has_text
        self.tokenizer = tokenizer
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def load(cls, folder: str | Path) -> "Clip":
        """Read ``config.json`` (``{"model_cfg": ...}`` of open_clip), the weights and, where CLIP's own
        vocabulary is not used, its merges ``bpe.txt.gz``. Files may keep open_clip's own names on Hugging Face.

        The text transformer may be missing, as in the file that SDXL-unCLIP was released in; embedding
        a text is a UserError then. UserError also names a missing, damaged or foreign file.
        """
        from open_clip import CLIP, SimpleTokenizer

        folder = Path(folder)
        config, files = read_json(config_file(folder)), tensor_files(folder)
        tensors = read_tensors(files)
        network = build(lambda: CLIP(**config["model_cfg"]), config_file(folder))
        if not hasattr(network.visual, "forward_intermediates"):
            raise UserError(
                f"open_clip_torch {version('open_clip_torch')}: cannot give tokens after the final norm by name, and "
                "which ones it gives unasked depends on its version; install the version in requirements.lock"
            )
        has_text = any(name.startswith("transformer.") for name in tensors)
        fill(network, tensors, files[0], may_lack="\0" if has_text else "transformer.")
        merges = folder / "bpe.txt.gz"
        context = config["model_cfg"]["text_cfg"].get("context_length", 77)
        tokenizer = SimpleTokenizer(**({"bpe_path": str(merges)} if merges.is_file() else {}), context_length=context)
        image_px = config["model_cfg"]["vision_cfg"]["image_size"]
        return cls(network, image_px=image_px, tokenizer=tokenizer, has_text=has_text).eval()

    @torch.no_grad()
    def tokens(self, images: Images, *, pixel_range: PixelRange) -> Tokens:
        """Patch tokens after the final LayerNorm, without the class token and before the projection.

        The norm is asked for explicitly: open_clip 2.20 to 2.22 returned tokens without it.
        """
        return self._final_tokens(images, pixel_range)[1]

    @torch.no_grad()
    def projected_tokens(self, images: Images, *, pixel_range: PixelRange) -> Tokens:
        """``√d z_i / |z_0|``: class token z_0 and patches z_i after the final LayerNorm, projected to the d dimensions
        of the embeddings.

        MindEye1's targets: what Versatile Diffusion is conditioned on, times the scale of DALL-E 2's prior.
        """
        tokens = torch.cat(self._final_tokens(images, pixel_range), dim=1) @ self.network.visual.proj
        return tokens * math.sqrt(tokens.shape[-1]) / tokens[:, :1].norm(dim=-1, keepdim=True)

    @torch.no_grad()
    def embed_images(self, images: Images, *, pixel_range: PixelRange = "pm1") -> Float[Tensor, "batch embed"]:
        """Image embeddings of length one, in the space of ``embed_texts``."""
        return normalize(self.network.encode_image(self._seen(images, pixel_range)), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: list[str]) -> Float[Tensor, "batch embed"]:
        """Text embeddings of length one; a longer text is cut at the network's context length."""
        if not self.has_text:
            raise UserError(
                "clip/model.safetensors: holds no text transformer, so no text can be embedded; "
                "use the complete CLIP weights"
            )
        return normalize(self.network.encode_text(self.tokenizer(texts).to(self.mean.device)), dim=-1)

    def _final_tokens(self, images: Images, pixel_range: PixelRange) -> tuple[Tensor, Tensor]:
        """Class token and patch tokens of the last layer, after the final LayerNorm."""
        taken = self.network.visual.forward_intermediates(
            self._seen(images, pixel_range),
            indices=1,
            normalize_intermediates=True,
            output_fmt="NLC",
            output_extra_tokens=True,
            intermediates_only=True,
        )
        return taken["image_intermediates_prefix"][-1], taken["image_intermediates"][-1]

    def _seen(self, images: Tensor, pixel_range: PixelRange) -> Tensor:
        images = resize(images, self.image_px)
        if pixel_range == "legacy01":
            images = (images + 1) / 2
        return (images - self.mean) / self.std


def check_published(tokens: Tokens, *, pixel_range: PixelRange, origin: Path) -> None:
    """UserError where tokens of the published network's size, ViT-bigG-14, are not distributed like its own.

    Without its final norm (open_clip 2.20 to 2.22 gave that), with other weights, or with pictures in another range
    they would train a decoder that no released prior or unCLIP network understands. The limits are wide, since mean
    and deviation are known from constants of the released code alone. Only ``legacy01`` is looked at: nothing is
    known of the same network under ``pm1``.
    """
    if tuple(tokens.shape[1:]) != BIGG_TOKENS or pixel_range != "legacy01":
        return
    mean, deviation = tokens.float().mean().item(), tokens.float().std().item()
    if not (abs(mean - BIGG_MEAN) <= 0.08 and abs(deviation - BIGG_DEVIATION) <= 0.2):
        raise UserError(
            f"{origin}: its tokens have mean {mean:.3f} and standard deviation {deviation:.3f}, ViT-bigG-14's "
            f"(laion2b_s39b_b160k, after the final norm) about {BIGG_MEAN:.3f} and {BIGG_DEVIATION:.3f}: the weights "
            "are another network's or the pictures are not in [0, 1]; put the published weights there"
        )


def config_file(folder: Path) -> Path:
    """The file that describes the network."""
    own = folder / "open_clip_config.json"
    return own if own.is_file() else folder / "config.json"


def resize(images: Images, size: int) -> Float[Tensor, "batch 3 {size} {size}"]:
    """Bicubic with aligned corners, after a Gaussian blur when shrinking: kornia's anti-aliased resize.

    torch's own ``antialias=True`` aligns corners differently and gives other tokens.
    """
    shrink = [side / size for side in images.shape[-2:]]
    if shrink == [1.0, 1.0]:
        return images
    if max(shrink) > 1:
        for axis, factor in zip((-2, -1), shrink, strict=True):
            images = _blur(images, axis, sigma=max((factor - 1) / 2, 0.001))
    return interpolate(images, size=(size, size), mode="bicubic", align_corners=True)


def _blur(images: Tensor, axis: int, *, sigma: float) -> Tensor:
    """Gaussian along one axis, two sigmas to each side, mirrored at the borders."""
    taps = int(max(4 * sigma, 3))
    radius = taps // 2
    kernel = torch.tensor([math.exp(-0.5 * (x / sigma) ** 2) for x in range(-radius, radius + 1)])
    kernel = (kernel / kernel.sum()).to(images)
    vertical = axis == -2
    weight = kernel.view(1, 1, -1, 1) if vertical else kernel.view(1, 1, 1, -1)
    padding = (0, 0, radius, radius) if vertical else (radius, radius, 0, 0)
    return conv2d(pad(images, padding, mode="reflect"), weight.expand(3, -1, -1, -1), groups=3)
