"""behav: one subject's trials as WebDataset shards, one per session and one for the shared images."""

from mindeye2.data import haxby, layout, nsd
from mindeye2.data.behav import shards
from mindeye2.data.released_trials import read_trials
from mindeye2.data.shards import shard_path, write_shard
from mindeye2.job import Job
from mindeye2.progress import track
from mindeye2.settings import Behav

OUTPUTS = ("wds/train/*.tar", "wds/test/0.tar")


def run(job: Job) -> None:
    root, source = job.paths["dataset"], job.config["dataset"]["source"]
    subject, sessions = job.config["subject"], job.config["sessions"]
    layout.found(job.paths.__getitem__, layout.behav_needs(source, subject, sessions))

    if source == "haxby":
        labels = haxby.read_labels(root / layout.HAXBY_LABELS, subject=subject, sessions=sessions)
        trials = haxby.trials(labels, sessions=sessions)
    elif source == "released":
        trials = read_trials(root, subject=subject, sessions=sessions)
    else:
        trials = nsd.read_responses(
            root / layout.responses(subject),
            subject=subject,
            sessions=sessions,
            design=nsd.read_design(root / layout.EXPERIMENT_DESIGN),
        )

    window = job.settings(Behav).window
    for split, number, samples in track(shards(trials, window=window), f"behav subj{subject:02d}", sessions + 1):
        write_shard(shard_path(job.work, split, number), samples)
