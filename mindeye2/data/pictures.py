"""A folder of pictures of any size, as files or in WebDataset shards, as square ones."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from mindeye2.data.layout import PICTURE_SUFFIXES, picture_files
from mindeye2.data.stimuli import BLOCK
from mindeye2.errors import UserError

Size = tuple[int, int, int, int]
"""Original height and width, then top and left of the crop in the resized picture, in pixels."""


class PictureFolder:
    """Every picture below ``root``, files by their path and those in a shard by their place in it."""

    def __init__(self, root: Path, px: int):
        self.px = px
        self._files = [(path, _members(path)) for path in picture_files(root)]
        self.sizes: list[Size] = []
        """Of each picture that ``blocks`` has given."""

    def __len__(self) -> int:
        return sum(len(members) for _, members in self._files)

    def blocks(self) -> Iterator[np.ndarray]:
        """uint8 (pictures, px, px, 3): the shorter side brought to ``px`` (bilinear, anti-aliased), centre cropped.

        UserError names a picture that cannot be read.
        """
        block = []
        for name, content in self._contents():
            try:
                with Image.open(io.BytesIO(content)) as image:
                    picture, size = _square(image.convert("RGB"), self.px)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise UserError(f"{name}: not readable as a picture ({error}); remove it or fetch it again") from None
            self.sizes.append(size)
            block.append(np.asarray(picture))
            if len(block) == BLOCK:
                yield np.stack(block)
                block = []
        if block:
            yield np.stack(block)

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        for path, members in self._files:
            if path.suffix != ".tar":
                yield str(path), path.read_bytes()
                continue
            with tarfile.open(path) as shard:
                for member in members:
                    yield f"{path}, {member}", shard.extractfile(member).read()


def _members(path: Path) -> list[str]:
    """Names of the pictures in a file: in a shard those of its members, else its own."""
    if path.suffix != ".tar":
        return [path.name]
    try:
        with tarfile.open(path) as shard:
            names = [member.name for member in shard if member.isfile()]
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"{path}: not readable as a shard ({error}); fetch it again") from None
    return [name for name in names if PurePath(name).suffix.lower() in PICTURE_SUFFIXES]


def _square(image: Image.Image, px: int) -> tuple[Image.Image, Size]:
    width, height = image.size
    scale = px / min(width, height)
    wide, high = max(px, round(width * scale)), max(px, round(height * scale))
    resized = image.resize((wide, high), Image.Resampling.BILINEAR)
    top, left = (high - px) // 2, (wide - px) // 2
    return resized.crop((left, top, left + px, top + px)), (height, width, top, left)
