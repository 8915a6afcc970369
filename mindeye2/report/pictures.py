"""Seen and decoded pictures as small tiles inside the page, with their captions."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mindeye2.errors import UserError
from mindeye2.objects import read_array, read_json, read_test_images
from mindeye2.report.cells import Cell, read_manifest, read_stimuli

KINDS = {"lowlevel": "low-level", "unrefined": "unrefined", "refined": "refined"}
_SIDES_PX = (128, 96, 64, 48, 32)
_BUDGET_BYTES = 2.6e6


@dataclass(frozen=True)
class Tile:
    """One picture as a data: URI, with its text alternative."""

    kind: str
    uri: str
    alt: str


@dataclass(frozen=True)
class Decoded:
    """One test picture with what was decoded from the brain of the person who saw it."""

    title: str
    caption: str
    decoded_caption: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Comparison:
    """The same pictures decoded by several variants or after several numbers of sessions, one row each."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tile | None, ...]], ...]


@dataclass(frozen=True)
class _Item:
    """A decoded test picture: its fold, its place among the fold's, and its 73K index."""

    fold: int
    place: int
    image: int


def tile_side_px(tiles: int) -> int:
    """Largest side at which ``tiles`` pictures still fit into the page (about 0.36 bytes a pixel in base64)."""
    fitting = (side for side in _SIDES_PX if tiles * (400 + 0.36 * side * side) <= _BUDGET_BYTES)
    return next(fitting, _SIDES_PX[-1])


def data_uri(picture: np.ndarray, side_px: int) -> str:
    """WebP of a picture (3, height, width) in [0, 1], shrunk to at most ``side_px``, as a data: URI."""
    pixels = np.clip(np.nan_to_num(np.asarray(picture, dtype=np.float32)), 0.0, 1.0)
    image = Image.fromarray(np.round(255 * pixels).astype(np.uint8).transpose(1, 2, 0))
    if image.width > side_px:
        image = image.resize((side_px, round(side_px * image.height / image.width)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=86, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def _items(cell: Cell, count: int) -> list[_Item]:
    """The first decoded pictures of a cell; of several folds, one picture after another from each in turn."""
    folds = [read_test_images(folder)[: len(_array(folder, "unrefined"))] for folder in cell.reconstruct]
    if len(folds) == 1:
        return [_Item(0, place, int(image)) for place, image in enumerate(folds[0][:count])]
    items = []
    for turn in range(min(count, len(folds) * min(map(len, folds)))):
        fold = turn % len(folds)
        place = turn % len(folds[fold])
        items.append(_Item(fold, place, int(folds[fold][place])))
    return items


def has_pictures(cell: Cell) -> bool:
    """Whether anything was decoded: not where only retrieval was asked for."""
    return (cell.reconstruct[0] / "unrefined.npy").exists()


def _kinds(cell: Cell, fold: int) -> dict[str, Path]:
    """Kind of picture -> the object that holds it, from the roughest to the most finished."""
    kinds = dict.fromkeys(("lowlevel", "unrefined"), cell.reconstruct[fold])
    return {**kinds, "refined": cell.refine[fold]} if cell.refine else kinds


def _array(folder: Path, name: str) -> np.ndarray:
    return read_array(folder / f"{name}.npy")


def _row(folder: Path, name: str, place: int) -> np.ndarray:
    pictures = _array(folder, name)
    if place >= len(pictures):
        raise UserError(
            f"{folder / name}.npy: has {len(pictures)} pictures, but number {place + 1} was decoded; "
            "remove the object and build it again"
        )
    return pictures[place]


def _text(folder: Path, row: int) -> str:
    """The first non-empty caption of a row of captions.json, which holds a text or a list of wordings."""
    path = folder / "captions.json"
    captions = read_json(path)
    if row >= len(captions):
        raise UserError(
            f"{path}: has {len(captions)} rows, but row {row} is needed; remove the object and build it again"
        )
    wordings = [captions[row]] if isinstance(captions[row], str) else captions[row]
    return next((wording for wording in wordings if wording.strip()), "")


def _title(cell: Cell, item: _Item, unit: str) -> str:
    """``picture 1204``, and which session (or other ``unit``) was left out where each was in turn."""
    if len(cell.reconstruct) == 1:
        return f"picture {item.image}"
    left_out = read_manifest(cell.reconstruct[item.fold])["spec"]["config"]["test_sessions"]
    return f"picture {item.image}, {unit} {', '.join(map(str, left_out))} held out"


def gallery(cell: Cell, count: int, side_px: int, *, seen: str, unit: str) -> list[Decoded]:
    """Up to ``count`` test pictures of a cell: seen, low-level, unrefined, refined, with both captions.

    ``seen`` is what the true picture is called, since it may be one that nobody saw.
    """
    items = _items(cell, count)
    true = read_stimuli(cell.stimuli, [item.image for item in items])
    decoded = []
    for item, picture in zip(items, true, strict=True):
        reconstruct = cell.reconstruct[item.fold]
        title = _title(cell, item, unit)
        caption, said = _text(cell.stimuli, item.image), _text(reconstruct, item.place)
        tiles = [Tile(seen, data_uri(picture, side_px), f"{seen.capitalize()}, {title}: {caption}")]
        for kind, folder in _kinds(cell, item.fold).items():
            if (folder / f"{kind}.npy").exists():
                shown = data_uri(_row(folder, kind, item.place), side_px)
                tiles.append(Tile(KINDS[kind], shown, f"{KINDS[kind].capitalize()} reconstruction of {title}: {said}"))
        decoded.append(Decoded(title, caption, said, tuple(tiles)))
    return decoded


def comparison(
    reference: Cell, cells: Sequence[tuple[str, Cell]], count: int, side_px: int, *, seen: str, unit: str
) -> Comparison:
    """What each of ``cells`` (label and cell, of one subject) made of the first pictures of ``reference``.

    Refined pictures, or unrefined ones where there is no refined file. A cell that decoded fewer has holes.
    """
    items = _items(reference, count)
    titles = tuple(_title(reference, item, unit) for item in items)
    true = read_stimuli(reference.stimuli, [item.image for item in items])
    rows: list[tuple[str, tuple[Tile | None, ...]]] = [
        (
            seen,
            tuple(
                Tile(seen, data_uri(picture, side_px), f"{seen.capitalize()}, {title}")
                for picture, title in zip(true, titles, strict=True)
            ),
        )
    ]
    for label, cell in cells:
        rows.append((label, tuple(_final(cell, item, label, side_px) for item in items)))
    return Comparison(titles, tuple(rows))


def _final(cell: Cell, item: _Item, label: str, side_px: int) -> Tile | None:
    if item.fold >= len(cell.reconstruct):
        return None
    kind, folder = list(_kinds(cell, item.fold).items())[-1]
    pictures = _array(folder, kind)
    places = np.flatnonzero(read_test_images(cell.reconstruct[item.fold])[: len(pictures)] == item.image)
    if not len(places):
        return None
    return Tile(kind, data_uri(pictures[int(places[0])], side_px), f"{label}: reconstruction of picture {item.image}")
