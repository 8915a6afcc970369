"""Pretrain a decoder on several subjects: one ridge each, everything else shared."""

from mindeye2.job import Job
from mindeye2.settings import Pretrain
from mindeye2.train.run import train_model

OUTPUTS: tuple[str, ...] = ("model.safetensors", "model.json", "history.csv", "loss.png")


def run(job: Job) -> None:
    """Train on all training trials of all sessions of ``config.subjects``.

    inputs: behav and betas (one per subject, ascending), clip, lowlevel_vae and convnext where they are trained
    on. Resumes from the checkpoint below ``job.work``.
    """
    train_model(job, job.settings(Pretrain), subjects=job.config["subjects"])
