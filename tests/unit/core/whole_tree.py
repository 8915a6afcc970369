"""Every file of the eight subjects of a dataset, tiny ones that pass for whole."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import h5py

from mindeye2.data import layout
from mindeye2.data.sizes import SESSIONS

NETWORKS = ("clip", "lowlevel_vae", "convnext", "unclip", "vae", "captioner", "sdxl")
CONTENT = {".json": b"{}", ".gz": gzip.compress(b"mask"), ".tar": bytes(10240)}


def write(root: Path, source: str, sessions: Mapping[int, int] = SESSIONS) -> None:
    """The dataset, captions and weights of a default configuration, in folders of those names below ``root``."""
    needs = layout.stimuli_needs(source, root / "dataset")
    for subject, number in sessions.items():
        needs += layout.behav_needs(source, subject, number)
        needs += layout.betas_needs(source, subject, number, "betas_fithrf_GLMdenoise_RR")
    for need in needs:
        # Released files have captions of their own: no table to join COCO's by.
        _write(root / need.root / need.paths[-1 if layout.RELEASED_CAPTIONS in need.paths else 0])
    for name in NETWORKS:
        _write(root / "weights" / name / "config.json")


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".hdf5":
        h5py.File(path, "w").close()
    else:
        path.write_bytes(CONTENT.get(path.suffix, b"x"))
