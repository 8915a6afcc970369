"""How good the tiny networks are: ``python -m mindeye2.demo.networks.quality [--weights DIR] [--count 100]``.

A fixed set of drawn scenes that no network was trained on goes through the whole chain from true CLIP tokens. The
judge of what a picture shows is the tiny CLIP itself, zero-shot: of 12 kinds x 8 colours, the pair whose 21 wordings
are nearest on average. It is judged first, on the true pictures.
"""

import argparse
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from mindeye2.demo.networks.manifest import write_manifest
from mindeye2.demo.networks.scenes import Scenes, draw
from mindeye2.demo.world import BACKGROUNDS, COLOURS, KINDS, MAIN_PLACES, SIZES, Scene, Thing, captions
from mindeye2.frozen.captioner import Captioner
from mindeye2.frozen.clip import Clip
from mindeye2.frozen.convnext import ConvNeXtTeacher, augment
from mindeye2.frozen.sdxl import load_pipeline
from mindeye2.frozen.unclip import load_unet
from mindeye2.frozen.vae import Vae
from mindeye2.generate.decode import Decoder
from mindeye2.generate.refine import refine_pictures
from mindeye2.generate.sheet import contact_sheet
from mindeye2.metrics.pixel import pixel_correlation
from mindeye2.seeds import torch_generator
from mindeye2.shapes import Images, Tokens

WEIGHTS = Path(__file__).parents[1] / "weights"
STEPS, GUIDANCE = 38, 5.0
_BATCH = 25


class Judge:
    """Zero-shot kind and colour of a picture's main thing."""

    def __init__(self, clip: Clip):
        self.clip = clip
        pairs = [(kind, colour) for kind in KINDS for colour in COLOURS]
        texts = [line for pair in pairs for line in _wordings(*pair)]
        embedded = torch.cat([clip.embed_texts(texts[first : first + 500]) for first in range(0, len(texts), 500)])
        self.prompts = embedded.view(len(pairs), -1, embedded.shape[-1]).mean(dim=1)

    def __call__(self, pictures: Images) -> Int[Tensor, "batch 2"]:
        """Positions in KINDS and COLOURS."""
        nearest = (self.clip.embed_images(pictures) @ self.prompts.T).argmax(dim=1)
        return torch.stack([nearest // len(COLOURS), nearest % len(COLOURS)], dim=1)


def _wordings(kind: str, colour: str) -> list[str]:
    """What the world's captions say of a thing: in every size and place, and before every background."""
    placed = [
        captions(Scene((Thing(kind, colour, size, place),), BACKGROUNDS[0]))[0]
        for size in SIZES[1:]
        for place in MAIN_PLACES
    ]
    return placed + [captions(Scene((Thing(kind, colour, SIZES[-1], "middle"),), at))[1] for at in BACKGROUNDS]


@dataclass(frozen=True)
class Chain:
    """The shipped networks, as the stages use them."""

    clip: Clip
    vae: Vae
    teacher: ConvNeXtTeacher
    decoder: Decoder
    captioner: Captioner
    pipeline: Any

    @classmethod
    def load(cls, weights: Path) -> "Chain":
        vae = Vae.load(weights / "vae")
        unet = load_unet(weights / "unclip")
        return cls(
            clip=Clip.load(weights / "clip"),
            vae=vae,
            teacher=ConvNeXtTeacher.load(weights / "convnext"),
            decoder=Decoder(unet, vae, pixel_range="pm1", steps=STEPS, guidance=GUIDANCE),
            captioner=Captioner.load(weights / "captioner"),
            pipeline=load_pipeline(weights / "sdxl", weights / "vae"),
        )


def true_pictures(scenes: Scenes) -> Images:
    return torch.from_numpy(scenes.pictures).permute(0, 3, 1, 2).float() / 255


@torch.inference_mode()
def decode(chain: Chain, tokens: Tokens) -> Images:
    """Unrefined pictures of tokens; each draws from a generator of its own."""
    streams = [torch_generator(0, "quality", "unclip", row) for row in range(len(tokens))]
    return torch.cat(
        [
            chain.decoder(tokens[first : first + _BATCH], streams[first : first + _BATCH])
            for first in range(0, len(tokens), _BATCH)
        ]
    )


@torch.inference_mode()
def refine(chain: Chain, pictures: Images, prompts: list[str]) -> Images:
    """Refined pictures of the published setting: 12 of 25 steps, guidance 5."""
    streams = [torch_generator(0, "quality", "refine", row) for row in range(len(pictures))]
    return torch.cat(
        [
            refine_pictures(
                chain.pipeline,
                pictures=pictures[first : first + _BATCH],
                prompts=prompts[first : first + _BATCH],
                generators=streams[first : first + _BATCH],
            )
            for first in range(0, len(pictures), _BATCH)
        ]
    )


def named_right(said: list[str], scenes: Scenes) -> Bool[Tensor, "batch 2"]:
    """Whether a caption names kind and colour of the main thing, before it turns to what stands beside it."""
    rows = []
    for caption, (kind, colour, *_) in zip(said, scenes.labels.tolist(), strict=True):
        main = caption.split(" with ")[0].split()
        noun = "picture" if KINDS[kind] == "scrambled" else KINDS[kind]
        rows.append([noun in main, COLOURS[colour] in main])
    return torch.tensor(rows)


def shares(right: Bool[Tensor, "batch 2"], prefix: str) -> dict[str, float]:
    kind, colour = right.double().mean(dim=0).tolist()
    return {
        f"{prefix}_kind": round(kind, 4),
        f"{prefix}_colour": round(colour, 4),
        f"{prefix}_both": round(right.all(dim=1).double().mean().item(), 4),
    }


@torch.inference_mode()
def measure(weights: Path, count: int, sheet: Path | None = None) -> dict[str, float | int]:
    """The quality table over ``count`` scenes: shares in [0, 1], PixCorr against the true pictures.

    ``sheet`` is where a picture of all stages of the first 16 scenes goes.
    """
    chain, scenes = Chain.load(weights), draw(0, "quality", count)
    judge, truth = Judge(chain.clip), true_pictures(scenes)
    labels = torch.from_numpy(scenes.labels[:, :2])
    table: dict[str, float | int] = {"count": count}

    def judged(name: str, pictures: Images) -> None:
        if pictures is not truth:
            table[f"{name}_pixcorr"] = round(float(pixel_correlation(truth, pictures, px=truth.shape[-1])), 4)
        table.update(shares(judge(pictures) == labels, name))

    judged("true", truth)
    rebuilt = ((chain.vae.decode(chain.vae.encode(truth)) + 1) / 2).clamp(0, 1)
    judged("vae", rebuilt)

    tokens = chain.clip.tokens(truth, pixel_range="pm1")
    started = time.monotonic()
    unrefined = decode(chain, tokens)
    table["decode_seconds"] = round(time.monotonic() - started, 1)
    judged("decoded", unrefined)

    said = chain.captioner.captions(tokens)
    table.update(shares(named_right(said, scenes), "captions"))

    started = time.monotonic()
    prompts = [lines[-1] for lines in scenes.captions]
    refined = refine(chain, unrefined, prompts)
    table["refine_seconds"] = round(time.monotonic() - started, 1)
    judged("refined", refined)

    table["teacher_views_found"] = round(_views_found(chain.teacher, truth), 4)
    if sheet:
        columns = {"true": truth, "vae": rebuilt, "decoded": unrefined, "refined": refined}
        contact_sheet({name: pictures.numpy() for name, pictures in columns.items()}, most=16).save(sheet)
        print("\n".join(f"{row:3d}  {caption}" for row, caption in enumerate(said[:16])))
    return table


def _views_found(teacher: ConvNeXtTeacher, truth: Images) -> float:
    """Share of pictures whose augmented view is the nearest of all by the teacher's features."""

    def direction(images: Images) -> Float[Tensor, "batch features"]:
        features = teacher.features(images).flatten(1)
        return torch.nn.functional.normalize(features - features.mean(dim=0), dim=1)

    views = direction(augment(truth, torch_generator(0, "quality", "views")))
    nearest = (direction(truth) @ views.T).argmax(dim=1)
    return float(np.mean(nearest.numpy() == np.arange(len(truth))))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mindeye2.demo.networks.quality", description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the networks (default: the shipped)")
    parser.add_argument("--count", type=int, default=100, help="number of scenes (default 100)")
    parser.add_argument("--manifest", action="store_true", help="write the folder's manifest with this quality")
    parser.add_argument("--sheet", type=Path, help="write a picture of the first 16 scenes here")
    arguments = parser.parse_args()
    # No bars, and no word at every call about a negative prompt that is cut, as it always is.
    disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    table = measure(arguments.weights, arguments.count, arguments.sheet)
    print(json.dumps(table, indent=1))
    if arguments.manifest:
        seconds = {name for name in table if name.endswith("_seconds")}
        write_manifest(arguments.weights, {name: value for name, value in table.items() if name not in seconds})


if __name__ == "__main__":
    main()
