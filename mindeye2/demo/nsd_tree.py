"""Writers of the files of the official NSD tree, each a pure function of what it is given: equal input, equal bytes."""

import io
import json
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
import scipy.io

from mindeye2.demo.anatomy import Anatomy
from mindeye2.demo.design import Design
from mindeye2.demo.world import render
from mindeye2.seeds import numpy_generator

BETA_SCALE = 300
"""Stored int16 = percent signal change x 300."""
NUM_SUBJECT_COLUMNS = 8
VOXEL_MM = 1.8
_BLANKS_PER_TRIAL = 75 / 62.5
_VAL2017_RATE = 0.15
_MAT_HEADER = b"MATLAB 5.0 MAT-file, simulated".ljust(116)


def subject_name(subject: int) -> str:
    return f"subj{subject:02d}"


def write_stimuli(root: Path, design: Design, *, px: int) -> None:
    """``imgBrick``: uint8 (images, px, px, 3)."""
    brick = np.stack([render(scene, px) for scene in design.scenes])
    _write_hdf5(root / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5", "imgBrick", brick)


def write_design(root: Path, design: Design) -> None:
    """``nsd_expdesign.mat`` with the official keys; every id 1-based."""
    sessions, per_session = max(design.sessions.values()), design.trials_per_session
    run = design.run_of_trial()
    trials_per_run = np.bincount(run)
    slots = round(trials_per_run.max() * _BLANKS_PER_TRIAL)
    pattern = np.zeros((sessions, design.num_runs, slots), dtype=np.uint8)
    for number, trials in enumerate(trials_per_run):
        pattern[:, number, np.linspace(0, slots - 1, trials).round().astype(int)] = 1
    shown = design.order.reshape(sessions, per_session)
    repeats = [np.unique(images, return_counts=True)[1] for images in shown]
    content = {
        "basiccnt": np.array([[np.sum(counts == times) for counts in repeats] for times in (1, 2, 3)]),
        "masterordering": design.order[None],
        "sharedix": design.shared_ids()[None],
        "stimpattern": pattern,
        "subjectim": design.subject_images,
    }
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {name: values.astype(np.float64) for name, values in content.items()})
    # The header's text holds the time of writing; without it equal designs are equal bytes.
    packed = _MAT_HEADER + buffer.getvalue()[len(_MAT_HEADER) :]
    _made(root / "nsddata/experiments/nsd/nsd_expdesign.mat").write_bytes(packed)


def write_stimulus_info(root: Path, design: Design, coco: pd.DataFrame) -> None:
    """``nsd_stim_info_merged.csv``; ``coco`` as from ``coco_identities``.

    As in NSD, the repeats are of the planned experiment: a subject that stopped early never did the last ones.
    """
    images = len(design.scenes)
    table = coco.assign(
        loss=0.0,
        nsdId=np.arange(images),
        flagged=False,
        BOLD5000=False,
        shared1000=design.is_shared(),
    )
    subjects = range(1, max(NUM_SUBJECT_COLUMNS, len(design.subject_images)) + 1)
    planned = {subject: np.zeros((images, 3), dtype=int) for subject in subjects}
    for subject in design.sessions:
        found = np.zeros(images, dtype=int)
        for trial, image in enumerate(design.subject_images[subject - 1, design.order - 1] - 1, start=1):
            planned[subject][image, found[image]] = trial
            found[image] += 1
    shown = {f"subject{subject}": planned[subject].any(axis=1).astype(int) for subject in subjects}
    repeats = {f"subject{subject}_rep{rep}": planned[subject][:, rep] for subject in subjects for rep in range(3)}
    table = pd.concat([table, pd.DataFrame({**shown, **repeats})], axis=1)
    table.to_csv(_made(root / "nsddata/experiments/nsd/nsd_stim_info_merged.csv"))


def coco_identities(images: int, *, seed: int) -> pd.DataFrame:
    """A cocoId, cocoSplit and cropBox for each picture."""
    generator = numpy_generator(seed, "simulate", "coco")
    split = np.where(generator.uniform(size=images) < _VAL2017_RATE, "val2017", "train2017")
    ids = generator.permutation(np.arange(1, 8 * images + 1))[:images]
    crop = [str((0.0, 0.0, side, side)) for side in (generator.integers(0, 13, images) / 100).tolist()]
    return pd.DataFrame({"cocoId": ids, "cocoSplit": split, "cropBox": crop})


def write_captions(folder: Path, design: Design, coco: pd.DataFrame) -> None:
    """COCO's ``captions_{train,val}2017.json``; like COCO's, not grouped by image."""
    for split in ("train2017", "val2017"):
        rows = [(row, int(coco.cocoId[row])) for row in range(len(coco)) if coco.cocoSplit[row] == split]
        wordings = [
            (image, design.captions[row][wording])
            for wording in range(max(map(len, design.captions)))
            for row, image in rows
        ]
        content = {
            "info": {"description": "Captions of drawn pictures in COCO's format"},
            "licenses": [],
            "images": [{"id": image, "file_name": f"{image:012d}.jpg"} for _, image in rows],
            "annotations": [
                {"image_id": image, "id": number, "caption": caption}
                for number, (image, caption) in enumerate(wordings, start=1)
            ],
        }
        _made(folder / f"captions_{split}.json").write_text(json.dumps(content))


def write_responses(root: Path, subject: int, table: pd.DataFrame) -> None:
    """``responses.tsv``: numbers with up to ten digits, ``NaN`` where there was no response."""
    path = _made(root / f"nsddata/ppdata/{subject_name(subject)}/behav/responses.tsv")
    table.to_csv(path, sep="\t", index=False, na_rep="NaN", float_format="%.10g")


def write_masks(root: Path, subject: int, anatomy: Anatomy) -> None:
    """``nsdgeneral`` and ``prf-visualrois``, int16, with -1 outside cortex."""
    folder = root / f"nsddata/ppdata/{subject_name(subject)}/func1pt8mm/roi"
    _write_volume(folder / "nsdgeneral.nii.gz", anatomy.nsdgeneral)
    _write_volume(folder / "prf-visualrois.nii.gz", anatomy.visual)


def write_betas(
    root: Path, subject: int, version: str, session: int, betas: np.ndarray, brain: np.ndarray, *, nifti: bool
) -> None:
    """One session: ``betas`` (trials, voxels) in percent signal change, ``brain`` (X, Y, Z) says where they lie.

    HDF5 ``/betas`` is trials x Z x Y x X as h5py shows it; NIfTI is X x Y x Z x trials.
    """
    limits = np.iinfo(np.int16)
    volumes = np.zeros((len(betas), *brain.shape), dtype=np.int16)
    volumes[:, brain] = np.rint(betas * BETA_SCALE).clip(limits.min, limits.max)
    path = _betas_folder(root, subject, version) / f"betas_session{session:02d}"
    if nifti:
        _write_volume(path.with_suffix(".nii.gz"), np.moveaxis(volumes, 0, 3))
        return
    _write_hdf5(path.with_suffix(".hdf5"), "betas", volumes.transpose(0, 3, 2, 1))


def write_ncsnr(root: Path, subject: int, version: str, ncsnr: np.ndarray, brain: np.ndarray) -> None:
    """Noise-ceiling SNR of each voxel, float32, zero outside the brain."""
    volume = np.zeros(brain.shape, dtype=np.float32)
    volume[brain] = ncsnr
    _write_volume(_betas_folder(root, subject, version) / "ncsnr.nii.gz", volume)


def _betas_folder(root: Path, subject: int, version: str) -> Path:
    return root / f"nsddata_betas/ppdata/{subject_name(subject)}/func1pt8mm/{version}"


def _write_hdf5(path: Path, name: str, values: np.ndarray) -> None:
    """Through memory: on a full disk the HDF5 library fails a second time while closing, in words of its own."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset(name, data=values)
    _made(path).write_bytes(buffer.getbuffer())


def _write_volume(path: Path, volume: np.ndarray) -> None:
    image = nibabel.Nifti1Image(volume, np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, _made(path))


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
