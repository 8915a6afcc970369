"""CLIP: contrastive on pictures and captions, with patch tokens that also keep what the picture looks like."""

import json
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, normalize

from mindeye2.demo.networks.fit import Recipe, Run, as_images, draw_rows, fit, save_half
from mindeye2.demo.networks.scenes import IMAGE_PX, vocabulary
from mindeye2.demo.networks.text import merges, vocab_size, write_merges
from mindeye2.demo.world import BACKGROUNDS, COLOURS, KINDS, MAIN_PLACES, SIZES
from mindeye2.frozen.clip import Clip

PATCH = 8
CONTEXT = 32
CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": IMAGE_PX,
        "patch_size": PATCH,
        "layers": 6,
        "width": 128,
        "head_width": 32,
        "mlp_ratio": 4.0,
        # The class token alone would leave the last layer's patch tokens without a gradient.
        "pool_type": "avg",
    },
    "text_cfg": {"context_length": CONTEXT, "width": 96, "heads": 4, "layers": 3},
}
RECIPE = Recipe(steps=10_000, batch_size=768, lr=1e-3, average=0.999)
_CLASSES = (len(KINDS), len(COLOURS), len(SIZES), len(MAIN_PLACES), len(BACKGROUNDS))
_LARGEST_SCALE = 50.0


class Sketch(nn.Module):
    """Thrown away after training: each patch token has to tell its own patch, coarsely by a linear map alone."""

    def __init__(self, width: int):
        super().__init__()
        self.coarse = nn.Linear(width, 3 * 2 * 2)
        self.fine = nn.Sequential(nn.Linear(width, 256), nn.GELU(), nn.Linear(256, 3 * PATCH * PATCH))
        self.classes = nn.Linear(CONFIG["embed_dim"], sum(_CLASSES))

    def forward(self, tokens: Tensor, images: Tensor) -> Tensor:
        patches = _patches(images)
        coarse = nn.functional.avg_pool2d(patches.flatten(0, 1), PATCH // 2).view(*patches.shape[:2], -1)
        return (self.coarse(tokens).float() - coarse).abs().mean() + (
            self.fine(tokens).float() - patches.flatten(2)
        ).abs().mean()

    def classification(self, embedding: Tensor, labels: Tensor) -> Tensor:
        parts = self.classes(embedding).float().split(_CLASSES, dim=1)
        return sum(cross_entropy(part, labels[:, index]) for index, part in enumerate(parts))


def train(run: Run) -> dict[str, float | int]:
    """Write ``clip/``: weights, configuration and the merges of its vocabulary."""
    from open_clip import CLIP, SimpleTokenizer

    folder = run.out / "clip"
    folder.mkdir(parents=True, exist_ok=True)
    words = merges(vocabulary())
    write_merges(words, folder / "bpe.txt.gz")
    tokenizer = SimpleTokenizer(str(folder / "bpe.txt.gz"), context_length=CONTEXT)
    config = {**CONFIG, "text_cfg": {**CONFIG["text_cfg"], "vocab_size": vocab_size(words)}}

    run.seed_init("clip")
    network = CLIP(**config).to(run.device).train()
    sketch = Sketch(CONFIG["vision_cfg"]["width"]).to(run.device)
    eye = Clip(network, image_px=IMAGE_PX, tokenizer=tokenizer).to(run.device)
    pictures, generator = run.pictures(), run.generator("clip")
    lines, wordings = run.wordings()
    texts = tokenizer(lines).to(run.device)
    labels = torch.from_numpy(run.scenes.labels).to(run.device)
    network.visual.output_tokens = True

    def loss() -> dict[str, Tensor]:
        rows = draw_rows(len(pictures), RECIPE.batch_size, generator)
        images = as_images(pictures[rows])
        ids = texts[wordings[rows, draw_rows(wordings.shape[1], len(rows), generator)]]
        embedding, tokens = network.visual((images - eye.mean) / eye.std)
        written = normalize(network.encode_text(ids).float(), dim=-1)
        seen = normalize(embedding.float(), dim=-1)
        logits = seen @ written.T * network.logit_scale.exp().clamp(max=_LARGEST_SCALE)
        # Short captions repeat within a batch: every picture under an equal caption is a match.
        same = (ids[:, None] == ids[None]).all(dim=-1).float()
        contrast = 0.5 * (_soft(logits, same) + _soft(logits.T, same))
        drawn = sketch(tokens, images)
        classes = sketch.classification(embedding, labels[rows])
        return {"loss": contrast + 4 * drawn + 0.3 * classes, "contrast": contrast, "sketch": drawn, "classes": classes}

    values = fit("clip", {"clip": network, "sketch": sketch}, loss, RECIPE, run, generator)
    save_half(network, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_cfg": config}, indent=1) + "\n")
    return values


def _soft(logits: Tensor, same: Tensor) -> Tensor:
    return -(same / same.sum(dim=1, keepdim=True) * log_softmax(logits, dim=1)).sum(dim=1).mean()


def _patches(images: Tensor) -> Tensor:
    """(batch, 3, 64, 64) to (batch, 64, 3, 8, 8), in the order of the tokens."""
    side = IMAGE_PX // PATCH
    split = images.view(-1, 3, side, PATCH, side, PATCH)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(-1, side * side, 3, PATCH, PATCH)
