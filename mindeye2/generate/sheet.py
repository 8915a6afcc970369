"""Contact sheets: a look at what was made, one row per picture, one column per kind."""

import numpy as np
from PIL import Image, ImageDraw

GAP = 4
HEADER = 14


def to_bytes(pictures: np.ndarray) -> np.ndarray:
    """(n, 3, h, w) in [0, 1] -> uint8 (n, h, w, 3), rounded."""
    return (np.clip(pictures.astype(np.float32), 0, 1) * 255 + 0.5).astype(np.uint8).transpose(0, 2, 3, 1)


def contact_sheet(columns: dict[str, np.ndarray], *, side: int = 128, most: int = 32) -> Image.Image:
    """The first ``most`` pictures of each kind, kind by kind from left to right, under the kinds' names.

    columns: name -> (n, 3, h, w) in [0, 1], the same n; each picture is shown ``side`` pixels wide.
    """
    rows = min(most, min(len(pictures) for pictures in columns.values()))
    size = (GAP + len(columns) * (side + GAP), HEADER + GAP + rows * (side + GAP))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for column, (name, pictures) in enumerate(columns.items()):
        left = GAP + column * (side + GAP)
        pen.text((left, 1), name, fill="black")
        for row, picture in enumerate(to_bytes(pictures[:rows])):
            shown = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
            sheet.paste(shown, (left, HEADER + GAP + row * (side + GAP)))
    return sheet
