"""Objects made of a small official tree, or of the released files of the same trials."""

import h5py

from mindeye2.job import Job
from mindeye2.settings import Behav, Betas, Stimuli
from mindeye2.stages import behav, betas

SESSIONS, TRIALS, PX = 3, 30, 32


def run_stage(module, work, root, source, *, inputs=None, subject=1, sessions=SESSIONS, **settings):
    """Run one dataset stage on the files of ``source`` below ``root``; its folder ``work``."""
    name = module.__name__.rsplit(".", 1)[1]
    section = {"stimuli": Stimuli, "behav": Behav, "betas": Betas}[name](**settings).keyed()
    if name == "betas" and source == "released":
        section = {"dtype": section["dtype"]}
    config = {"dataset": {"source": source}, name: section, "subject": subject, "sessions": sessions}
    work.mkdir(parents=True)
    folder = {"nsd": "nsd", "released": "released"}[source]
    paths = {"dataset": root / folder, "captions": root / "coco"}
    module.run(Job(name, "", config, inputs or {}, paths, work))
    return work


def behav_and_betas(work, root, source, **settings):
    shared = {name: settings.pop(name) for name in ("subject", "sessions") if name in settings}
    known = run_stage(behav, work / "behav", root, source, **shared)
    return known, run_stage(betas, work / "betas", root, source, inputs={"behav": [known]}, **shared, **settings)


def values_of(folder):
    with h5py.File(folder / "betas.h5") as file:
        return file["betas"][:]
