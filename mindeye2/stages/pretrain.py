"""Pretrain a decoder on several subjects: one ridge each, everything else shared."""

from mindeye2.job import Job
from mindeye2.settings import Pretrain
from mindeye2.train.adopt import adopt_pretrained
from mindeye2.train.run import train_model

OUTPUTS: tuple[str, ...] = ("model.safetensors", "model.json")
# Of a model that was trained here.
OPTIONAL: tuple[str, ...] = ("history.csv", "loss.png")


def run(job: Job) -> None:
    """Train on all training trials of all sessions of ``config.subjects``, or take an imported model over.

    inputs: behav and betas (one per subject, ascending), clip, lowlevel_vae and convnext where they are trained
    on. Resumes from the checkpoint below ``job.work``.
    """
    settings = job.settings(Pretrain)
    if settings.source == "imported":
        adopt_pretrained(job)
    else:
        train_model(job, settings, subjects=job.config["subjects"])
