"""The layout of the public MindEye2 dataset, written from a simulated official tree without the package's readers."""

import io
import tarfile
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
import torch
import webdataset
from scipy.io import loadmat

AREAS = {"V1": (1, 2), "V2": (3, 4), "V3": (5, 6), "V4": (7,)}
TABLE = {
    1: "SUBJECT",
    2: "SESSION",
    3: "RUN",
    4: "TRIAL",
    6: "TIME",
    7: "ISOLD",
    8: "ISCORRECT",
    9: "RT",
    10: "CHANGEMIND",
    11: "ISOLDCURRENT",
    12: "ISCORRECTCURRENT",
    13: "TOTAL1",
    14: "TOTAL2",
    15: "BUTTON",
}


def trials(nsd: Path, subject: int) -> np.ndarray:
    """Every trial of a subject in the 17 columns of the released samples."""
    table = pd.read_csv(nsd / f"nsddata/ppdata/subj{subject:02d}/behav/responses.tsv", sep="\t")
    rows = np.zeros((len(table), 17))
    for column, name in TABLE.items():
        rows[:, column] = table[name].fillna(-1)
    rows[:, 0], rows[:, 5] = table["73KID"] - 1, np.arange(len(table))
    rows[:, 6] = np.trunc(rows[:, 6])
    rows[:, 16] = _shared(nsd)[rows[:, 0].astype(int)]
    return rows


def _shared(nsd: Path) -> np.ndarray:
    with h5py.File(nsd / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5") as file:
        shared = np.zeros(len(file["imgBrick"]), dtype=bool)
    shared[loadmat(nsd / "nsddata/experiments/nsd/nsd_expdesign.mat")["sharedix"].astype(int) - 1] = True
    return shared


def write_released(nsd: Path, released: Path, betas: dict[int, np.ndarray]) -> None:
    """Everything below ``released``; ``betas`` holds the z-scored voxels of each subject."""
    (released / "evals").mkdir(parents=True)
    shared = _shared(nsd)
    np.save(released / "shared1000.npy", shared)
    captions = np.array([f"caption of image {image}" for image in np.flatnonzero(shared)])
    torch.save(captions, released / "evals/all_captions.pt")
    with h5py.File(nsd / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5") as file:
        images = (file["imgBrick"][:].transpose(0, 3, 1, 2) / 255).astype(np.float16)
    with h5py.File(released / "coco_images_224_float16.hdf5", "w") as file:
        file["images"] = images
    for subject, values in betas.items():
        rows = trials(nsd, subject)
        _write_shards(released / f"wds/subj{subject:02d}", rows)
        with h5py.File(released / f"betas_all_subj{subject:02d}_fp32_renorm.hdf5", "w") as file:
            file["betas"] = values
        with h5py.File(released / "COCO_73k_subj_indices.hdf5", "a") as file:
            file[f"subj{subject:02d}"] = rows[:, 0].astype(int)
        with h5py.File(released / "brain_region_masks.hdf5", "a") as file:
            for name, region in _regions(nsd, subject).items():
                file[f"subj{subject:02d}/{name}"] = region


def _regions(nsd: Path, subject: int) -> dict[str, np.ndarray]:
    folder = nsd / f"nsddata/ppdata/subj{subject:02d}/func1pt8mm/roi"
    general = nibabel.load(folder / "nsdgeneral.nii.gz").get_fdata() > 0
    labels = nibabel.load(folder / "prf-visualrois.nii.gz").get_fdata()[general]
    areas = {name: np.isin(labels, values) for name, values in AREAS.items()}
    higher = ~np.any(list(areas.values()), axis=0)
    return {"nsd_general": np.ones(len(labels), dtype=bool), **areas, "higher_vis": higher}


def _write_shards(folder: Path, rows: np.ndarray) -> None:
    sessions = int(rows[:, 2].max())
    test = [row for row in rows if row[16]]
    _write_shard(folder / "test/0.tar", [row for row in test if row[2] < sessions], rows, 0)
    _write_shard(folder / "new_test/0.tar", test, rows, 0)
    first = 0
    for session in range(1, sessions + 1):
        chosen = [row for row in rows if row[2] == session and not row[16]]
        _write_shard(folder / f"train/{session - 1}.tar", chosen, rows, first)
        first += len(chosen)


def _write_shard(path: Path, chosen: list[np.ndarray], rows: np.ndarray, first: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path)) as shard:
        for number, row in enumerate(chosen, start=first):
            session = rows[rows[:, 2] == row[2]]
            place = int(np.flatnonzero(session[:, 5] == row[5])[0])
            others = rows[(rows[:, 0] == row[0]) & (rows[:, 5] != row[5])]
            sample = {
                "behav.npy": row[None],
                "past_behav.npy": _padded(session[:place][::-1], 15),
                "future_behav.npy": _padded(session[place + 1 :], 15),
                "olds_behav.npy": _padded(others, 3),
            }
            shard.write({"__key__": f"sample{number:09d}", **sample})


def _padded(rows: np.ndarray, count: int) -> np.ndarray:
    padded = np.full((count, 17), -1.0)
    padded[: len(rows[:count])] = rows[:count]
    return padded


def edit_shard(path, change):
    """Rewrite a shard with ``change`` of its (trials, 17) behaviour."""
    with tarfile.open(path) as shard:
        arrays = [np.load(io.BytesIO(shard.extractfile(name).read())) for name in shard.getnames() if ".behav" in name]
    with webdataset.TarWriter(str(path)) as shard:
        for number, row in enumerate(change(np.concatenate(arrays))):
            shard.write({"__key__": f"sample{number:09d}", "behav.npy": row[None]})
