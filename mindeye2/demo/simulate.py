"""The simulated NSD: raw data in the official tree for anyone without access to the real one.

Beside the official files it writes ``truth/``, which no stage reads and NSD does not have: the scenes, and
each subject's noiseless betas. ``simulated.json`` marks a folder as ours and says what it was made from.
"""

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mindeye2 import seeds
from mindeye2.config import Config
from mindeye2.demo import anatomy, design, noise, nsd_tree, things, voxels, world
from mindeye2.errors import UserError
from mindeye2.progress import Progress

MARKER = "simulated.json"
_LEFTOVER_AGE_S = 3600.0
_SOURCES = (anatomy, design, noise, nsd_tree, things, voxels, world, seeds)


def simulate(config: Config) -> bool:
    """Write the tree below ``paths.dataset``, captions below ``paths.captions``; False if both are there already.

    Both folders are built beside their places and renamed into them, so that an interrupted run leaves
    nothing half-written. Raises UserError rather than replace a folder that this function did not write.
    """
    if config.simulate is None:
        raise UserError("simulate: not set; add the section, or use config/demo.yaml")
    dataset, captions = (_place(path) for path in (config.paths.dataset, config.paths.captions))
    if dataset.is_relative_to(captions) or captions.is_relative_to(dataset):
        raise UserError(f"paths.captions: {captions} and paths.dataset {dataset} lie in each other; choose two folders")
    digest = _digest(config)
    try:
        if _is_current(dataset, digest) and _is_current(captions, digest):
            return False
        for setting, folder in (("dataset", dataset), ("captions", captions)):
            _refuse_foreign(folder, setting)
        with _beside(dataset) as new_dataset, _beside(captions) as new_captions:
            _write(config, new_dataset, new_captions)
            for folder in (new_dataset, new_captions):
                _mark(folder, digest)
            _swap(new_captions, captions)
            _swap(new_dataset, dataset)
    except OSError as error:
        raise UserError(
            f"{error.filename or dataset}: {error.strerror or error}; free space or permissions there, "
            "or choose other paths.dataset and paths.captions"
        ) from error
    return True


def _write(config: Config, root: Path, captions: Path) -> None:
    settings, sessions = config.simulate, config.dataset.sessions
    seed = settings.seed
    plan = design.make_design(
        seed=seed,
        sessions=sessions,
        trials_per_session=settings.trials_per_session,
        shared_images=settings.shared_images,
    )
    coco = nsd_tree.coco_identities(len(plan.scenes), seed=seed)
    nsd_tree.write_stimuli(root, plan, px=settings.image_px)
    nsd_tree.write_design(root, plan)
    nsd_tree.write_stimulus_info(root, plan, coco)
    nsd_tree.write_captions(captions, plan, coco)
    _write_scenes(root / "truth", plan)

    description = voxels.describe(plan.scenes, seed=seed)
    smallest = min(settings.voxels, key=lambda subject: (settings.voxels[subject], subject))
    progress = Progress("simulate: sessions", sum(sessions.values()))
    for subject in plan.sessions:
        head = anatomy.make_anatomy(subject, voxels=settings.voxels[subject], seed=seed)
        own_images = plan.subject_images[subject - 1] - 1
        brain = voxels.make_brain(subject, head, description, own_images, median_ncsnr=settings.ncsnr, seed=seed)
        nsd_tree.write_responses(root, subject, design.responses(plan, subject, seed=seed))
        nsd_tree.write_masks(root, subject, head)
        for version, factor in noise.VERSIONS.items():
            nsd_tree.write_ncsnr(root, subject, version, brain.ncsnr / factor, head.brain)
        _write_sessions(root, plan, brain, subject, seed=seed, nifti=subject == smallest, progress=progress)
        _write_truth(root / "truth", subject, brain)
    progress.close()


def _write_sessions(
    root: Path, plan: design.Design, brain: voxels.Brain, subject: int, *, seed: int, nifti: bool, progress: Progress
) -> None:
    """Every session of one subject in every version; one voxel of the first subject's second session is stuck."""
    per_session, shown = plan.trials_per_session, plan.shown(subject)
    head, own_images = brain.anatomy, plan.subject_images[subject - 1] - 1
    stuck_session = min(2, plan.sessions[subject]) if subject == min(plan.sessions) else None
    stuck_voxel = np.flatnonzero(head.nsdgeneral[head.brain] == 1)[0]
    for session in range(1, plan.sessions[subject] + 1):
        generator = seeds.numpy_generator(seed, "simulate", "noise", subject, session)
        drawn = noise.draw_session(brain, own_images, trials=per_session, generator=generator)
        signal = brain.signal[shown[(session - 1) * per_session : session * per_session]]
        for version, factor in noise.VERSIONS.items():
            betas = drawn.gain * (signal + factor * drawn.noise) + drawn.offset
            if session == stuck_session:
                betas[:, stuck_voxel] = 0.0
            nsd_tree.write_betas(root, subject, version, session, betas, head.brain, nifti=nifti)
        progress.advance()


def _write_scenes(folder: Path, plan: design.Design) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"nsdId": row, "shared": bool(shared), **asdict(scene)}
        for row, (scene, shared) in enumerate(zip(plan.scenes, plan.is_shared(), strict=True))
    ]
    (folder / "scenes.json").write_text(json.dumps(rows))


def _write_truth(folder: Path, subject: int, brain: voxels.Brain) -> None:
    """Noiseless betas of every picture of the brick, in the order in which the nsdgeneral mask gives the voxels."""
    inside = brain.anatomy.nsdgeneral[brain.anatomy.brain] == 1
    np.savez(
        folder / f"{nsd_tree.subject_name(subject)}.npz",
        betas=brain.signal[:, inside].astype(np.float32),
        noise_sd=brain.noise_sd[inside].astype(np.float32),
        ncsnr=brain.ncsnr[inside].astype(np.float32),
        area=brain.anatomy.area[brain.anatomy.brain][inside],
    )


def _digest(config: Config) -> str:
    """Of everything that the bytes depend on: the settings and the source of the modules that make them."""
    content = {
        "simulate": config.simulate.model_dump(mode="json"),
        "sessions": {str(subject): count for subject, count in sorted(config.dataset.sessions.items())},
        "code": [hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest() for module in _SOURCES],
        "writer": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _place(path: str) -> Path:
    return Path(path).expanduser().resolve()


def _listing(folder: Path) -> dict[str, int]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MARKER)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _mark(folder: Path, digest: str) -> None:
    content = {"about": "simulated by mindeye2, not NSD", "digest": digest, "files": _listing(folder)}
    (folder / MARKER).write_text(json.dumps(content, indent=1))


def _is_current(folder: Path, digest: str) -> bool:
    """Whether the marker names this digest, and every file it lists is there in its size."""
    try:
        content = json.loads((folder / MARKER).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    if not isinstance(content, dict) or content.get("digest") != digest or not isinstance(content.get("files"), dict):
        return False
    return content["files"].items() <= _listing(folder).items()


def _refuse_foreign(folder: Path, setting: str) -> None:
    if not folder.exists() or (folder.is_dir() and ((folder / MARKER).is_file() or not any(folder.iterdir()))):
        return
    raise UserError(
        f"paths.{setting}: {folder} is there and was not written by mindeye2 simulate (no {MARKER}), it may be real "
        f"data; set another paths.{setting} (or MINDEYE2_{setting.upper()})"
    )


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """An empty folder next to ``folder`` on the same disk, gone afterwards unless it was renamed.

    What runs killed more than an hour ago left behind is removed; younger ones may still be at work.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f".{folder.name}.*.simulating"):
        if time.time() - leftover.stat().st_mtime > _LEFTOVER_AGE_S:
            shutil.rmtree(leftover, ignore_errors=True)
    building = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.simulating"
    building.mkdir()
    try:
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _swap(new: Path, place: Path) -> None:
    """Move ``new`` to ``place``, dropping what was there."""
    if place.exists():
        old = new.with_name(new.name.replace(".simulating", ".old.simulating"))
        place.rename(old)
        new.rename(place)
        shutil.rmtree(old)
    else:
        new.rename(place)
