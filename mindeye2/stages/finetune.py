"""Train one subject's decoder on chosen sessions, from a model pretrained on other subjects or from scratch."""

from mindeye2.job import Job
from mindeye2.settings import Finetune
from mindeye2.train.adopt import adopt_finetuned
from mindeye2.train.run import train_model

OUTPUTS: tuple[str, ...] = ("model.safetensors", "model.json")
# Of a model that was trained here.
OPTIONAL: tuple[str, ...] = ("history.csv", "loss.png")


def run(job: Job) -> None:
    """Train on the training trials of exactly ``config.train_sessions``, or take an imported model over.

    inputs: behav, betas, clip, lowlevel_vae and convnext where they are trained on, pretrain unless from scratch:
    all of its weights but the ridges are taken over, and all of them are trained. Resumes from the checkpoint
    below ``job.work``.
    """
    settings = job.settings(Finetune)
    if settings.source == "imported":
        adopt_finetuned(job)
    else:
        train_model(job, settings, subjects=[job.config["subject"]], sessions=tuple(job.config["train_sessions"]))
