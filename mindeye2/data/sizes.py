"""How large the files of NSD and of the released dataset are: for planning a download before anything is there.

Sizes called exact are those of the numbers inside, from their shape and number format; a container adds a few
kilobytes. All others are estimates. No numeric library is imported here.
"""

import math
import re
from dataclasses import dataclass

IMAGES = 73_000
TRIALS_PER_SESSION = 750
VOXELS = {1: 15724, 2: 14278, 3: 15226, 4: 13153, 5: 13039, 6: 17907, 7: 12682, 8: 14386}
"""Voxels of nsdgeneral in func1pt8mm, by subject."""
SESSIONS = {1: 40, 2: 40, 3: 32, 4: 30, 5: 40, 6: 32, 7: 40, 8: 30}

_SHARED_TRIALS = {40: 3000, 32: 2371, 30: 2188}
GRIDS = {
    1: (81, 104, 83),
    2: (82, 106, 84),
    3: (81, 106, 82),
    4: (85, 99, 80),
    5: (79, 97, 78),
    6: (85, 113, 83),
    7: (78, 95, 81),
    8: (80, 103, 78),
}
"""Shape (x, y, z) of each subject's volumes in func1pt8mm, in voxels of 1.8 mm."""
_CHUNK_INDEX = 1.05
"""Each voxel's 750 trials are a chunk of their own, and HDF5 keeps an entry of its index for every chunk."""
_SAMPLE_BYTES = 12_800
"""Four members, each with its tar header, its extended header and its padding."""


@dataclass(frozen=True)
class Size:
    bytes: int
    exact: bool


# Path below its root -> size, where no subject enters.
_FIXED = {
    "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5": Size(IMAGES * 425 * 425 * 3, True),
    "nsddata/experiments/nsd/nsd_expdesign.mat": Size(3_000_000, False),
    "nsddata/experiments/nsd/nsd_stim_info_merged.csv": Size(10_000_000, False),
    "captions_train2017.json": Size(92_000_000, False),
    "captions_val2017.json": Size(4_000_000, False),
    "coco_images_224_float16.hdf5": Size(IMAGES * 3 * 224 * 224 * 2, True),
    "shared1000.npy": Size(IMAGES + 128, True),
    "COCO_73k_subj_indices.hdf5": Size(sum(SESSIONS.values()) * TRIALS_PER_SESSION * 8, False),
    "brain_region_masks.hdf5": Size(840_000, False),
    "evals/all_captions.pt": Size(810_000, False),
}
_SUBJECT = re.compile(r"subj0([1-8])")


def official_size(path: str) -> Size | None:
    """Size of one official or released file by its path below its root; None for a file that is neither."""
    if path in _FIXED:
        return _FIXED[path]
    found = _SUBJECT.search(path)
    if not found:
        return None
    subject = int(found[1])
    trials = SESSIONS[subject] * TRIALS_PER_SESSION
    if path.startswith("nsddata_betas/"):
        content = math.prod(GRIDS[subject]) * TRIALS_PER_SESSION * 2
        return Size(round(content * _CHUNK_INDEX), False)
    if path.startswith("betas_all_"):
        return Size(trials * VOXELS[subject] * 4, True)
    test = _SHARED_TRIALS[SESSIONS[subject]]
    if path.endswith("new_test/0.tar"):
        return Size(test * _SAMPLE_BYTES, False)
    if path.startswith("wds/"):
        return Size((trials - test) // SESSIONS[subject] * _SAMPLE_BYTES, False)
    if path.startswith("nsddata/"):
        return Size(trials * 90 if path.endswith(".tsv") else 100_000, False)
    return None
