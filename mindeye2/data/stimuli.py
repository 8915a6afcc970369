"""The stimulus set: NSD's brick resized, COCO's captions joined by image."""

import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mindeye2.data.layout import CAPTIONS, reading
from mindeye2.errors import UserError
from mindeye2.progress import track

BLOCK = 64
"""Pictures in memory at a time."""

# Every value that a float16 pixel can take.
_UNIT = (np.arange(256) / 255).astype(np.float16)


def brick_size(path: Path) -> int:
    """Number of pictures of a stimulus brick; UserError unless they are square, in colour and of 8 bits."""
    with reading(path), h5py.File(path) as file:
        shape, dtype = file["imgBrick"].shape, file["imgBrick"].dtype
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or dtype != np.uint8 or 0 in shape:
        raise UserError(
            f"{path}: imgBrick is {dtype} of shape {shape}, N x side x side x 3 of uint8 is needed; download it again"
        )
    return shape[0]


def brick_pictures(path: Path, px: int) -> Iterator[UInt8[np.ndarray, "pictures height width 3"]]:
    """Blocks of the brick's pictures at ``px`` pixels: bilinear, anti-aliased when shrinking."""
    with reading(path):
        file = h5py.File(path)
    with file:
        brick = file["imgBrick"]
        for start in range(0, len(brick), BLOCK):
            with reading(path):
                block = brick[start : start + BLOCK]
            if block.shape[1] != px:
                resized = [Image.fromarray(picture).resize((px, px), Image.Resampling.BILINEAR) for picture in block]
                block = np.stack([np.asarray(picture) for picture in resized])
            yield block


def write_images(path: Path, blocks: Iterator[np.ndarray], *, num_images: int, px: int) -> None:
    """``images`` float16 (N, 3, px, px) in [0, 1] from blocks of uint8 (n, px, px, 3)."""
    with h5py.File(path, "w") as file:
        images = file.create_dataset("images", (num_images, 3, px, px), np.float16)
        start = 0
        for block in track(blocks, "stimuli", -(-num_images // BLOCK)):
            images[start : start + len(block)] = _UNIT[block].transpose(0, 3, 1, 2)
            start += len(block)


def read_captions(folder: Path, images: list[tuple[str, int]], *, info: Path) -> list[list[str]]:
    """COCO's captions of each (split, COCO id), white space trimmed, empty ones left out.

    ``info`` is the file that ``images`` come from, for the error that names an image without captions.
    """
    known: dict[tuple[str, int], list[str]] = {}
    for split in sorted({split for split, _ in images}):
        if split not in CAPTIONS:
            raise UserError(f"{info}: cocoSplit {split!r}, only {' and '.join(CAPTIONS)} are known; download it again")
        path = folder / CAPTIONS[split]
        with reading(path):
            annotations = json.loads(path.read_text())["annotations"]
            for annotation in annotations:
                caption = " ".join(annotation["caption"].split())
                if caption:
                    known.setdefault((split, int(annotation["image_id"])), []).append(caption)
    for row, image in enumerate(images):
        if image not in known:
            raise UserError(
                f"{folder / CAPTIONS[image[0]]}: no caption of COCO image {image[1]}, nsdId {row} of {info.name}; "
                "download the caption file again"
            )
    return [known[image] for image in images]
