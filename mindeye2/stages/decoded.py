"""What reconstruct and refine made of the test images, read back, checked, and pooled over folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindeye2.objects import damaged, read_array, read_json, read_pictures, read_test_images


@dataclass(frozen=True)
class Decoded:
    """Test images of one cell in the order of the folds; the first ``m`` of each fold have pictures."""

    images: np.ndarray
    """(n,) 0-based indices of all test images."""
    embeddings: np.ndarray
    """(n, T, d) float16: retrieval embeddings, or backbone tokens without that head."""
    has_retrieval: bool
    shown: np.ndarray
    """(m,) indices of the images with pictures."""
    pictures: dict[str, np.ndarray]
    """lowlevel (where there is that branch), unrefined and refined (unless that was left out): (m, 3, px, px) in
    [0, 1]; none of them where nothing was decoded."""
    captions: list[str]


def read_decoded(reconstruct: Sequence[Path], refine: Sequence[Path]) -> Decoded:
    """Pool the folds, whose reconstruct and refine objects come in the same order; ``refine`` may be empty."""
    folds = [_read_fold(*folders) for folders in zip(reconstruct, refine or [None] * len(reconstruct), strict=True)]
    return Decoded(
        images=_joined([fold.images for fold in folds]),
        embeddings=_joined([fold.embeddings for fold in folds]),
        has_retrieval=all(fold.has_retrieval for fold in folds),
        shown=_joined([fold.shown for fold in folds]),
        pictures={kind: _joined([fold.pictures[kind] for fold in folds]) for kind in folds[0].pictures},
        captions=[caption for fold in folds for caption in fold.captions],
    )


def decoded_tokens(reconstruct: Sequence[Path], kind: str) -> np.ndarray | None:
    """``backbone``, ``retrieval`` or ``prior`` tokens of the images with pictures: (m, T, d); None without the head."""
    paths = [folder / f"{kind}.npy" for folder in reconstruct]
    if not all(path.exists() for path in paths):
        return None
    shown = [len(read_array(folder / "prior.npy")) for folder in reconstruct]
    return _joined([read_array(path)[:count] for path, count in zip(paths, shown, strict=True)])


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """One array of all folds; a single fold stays memory-mapped."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _read_fold(reconstruct: Path, refine: Path | None) -> Decoded:
    images = read_test_images(reconstruct)
    has_retrieval = (reconstruct / "retrieval.npy").exists()
    embeddings = reconstruct / ("retrieval.npy" if has_retrieval else "backbone.npy")
    files = _picture_files(reconstruct, refine)
    pictures = {kind: read_pictures(path) for kind, path in files.items()}
    decoded = Decoded(
        images=images,
        embeddings=read_array(embeddings),
        has_retrieval=has_retrieval,
        shown=images[: len(pictures["unrefined"]) if pictures else 0],
        pictures=pictures,
        captions=read_json(reconstruct / "captions.json") if pictures else [],
    )
    if len(decoded.embeddings) != len(images):
        raise damaged(embeddings, f"{len(decoded.embeddings)} rows for {len(images)} test images")
    for kind, made in pictures.items():
        if made.shape != (len(decoded.shown), *pictures["unrefined"].shape[1:]):
            raise damaged(files[kind], f"shape {made.shape}, unrefined {pictures['unrefined'].shape}")
    if len(decoded.captions) != len(decoded.shown):
        problem = f"{len(decoded.captions)} captions for {len(decoded.shown)} pictures"
        raise damaged(reconstruct / "captions.json", problem)
    return decoded


def _picture_files(reconstruct: Path, refine: Path | None) -> dict[str, Path]:
    """Kind -> file: the low-level pictures of a model with that branch, and what was decoded and refined at all."""
    lowlevel, unrefined = reconstruct / "lowlevel.npy", reconstruct / "unrefined.npy"
    if not unrefined.exists():
        return {}
    files = {"lowlevel": lowlevel} if lowlevel.exists() else {}
    files["unrefined"] = unrefined
    return files if refine is None else {**files, "refined": refine / "refined.npy"}
