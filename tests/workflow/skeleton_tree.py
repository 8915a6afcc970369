"""NSD at its full size with nothing in it: official names, lengths and headers, in sparse files.

Enough for planning, which looks at names, sizes and headers only.
"""

import gzip
from pathlib import Path

import h5py
import numpy as np
from safetensors.numpy import save_file

from mindeye2.data import layout
from mindeye2.data.sizes import GRIDS, SESSIONS, TRIALS_PER_SESSION

VERSION = "betas_fithrf_GLMdenoise_RR"
NETWORKS = ("clip", "openai_clip", "lowlevel_vae", "vae", "unclip", "captioner", "sdxl", "sdxl/unet", "convnext")


def write(root: Path) -> None:
    """The official tree below ``nsd``, COCO's captions below ``coco``, stand-ins of the networks below ``weights``."""
    nsd = root / "nsd"
    _hdf5(nsd / layout.STIMULUS_BRICK, "imgBrick", (73000, 425, 425, 3), "u1")
    for subject, sessions in SESSIONS.items():
        _small(nsd / layout.responses(subject), b"SUBJECT\tSESSION\n")
        for mask in ("nsdgeneral", "prf-visualrois"):
            _small(nsd / layout.region_mask(subject, mask), gzip.compress(bytes(352)))
        folder = nsd / f"nsddata_betas/ppdata/subj{subject:02d}/func1pt8mm/{VERSION}"
        x, y, z = GRIDS[subject]
        for session in range(1, sessions + 1):
            _hdf5(folder / f"betas_session{session:02d}.hdf5", "betas", (TRIALS_PER_SESSION, z, y, x), "<i2")
    for path in (layout.EXPERIMENT_DESIGN, layout.STIMULUS_INFO):
        _small(nsd / path, b"MATLAB or CSV")
    for path in layout.CAPTIONS.values():
        _small(root / "coco" / path, b"{}")
    for network in NETWORKS:
        _small(root / "weights" / network / "config.json", b"{}")
        save_file({}, root / "weights" / network / "model.safetensors")


def _hdf5(path: Path, name: str, shape: tuple[int, ...], dtype: str) -> None:
    """One dataset whose whole length is allocated and none of it written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path, "w") as file:
        kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
        h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), creation)


def _small(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
