"""Every metric of one cell as a long table: pictures, captions, retrieval or identification, brain correlation."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mindeye2.data.batches import read_rows
from mindeye2.data.haxby import CATEGORIES
from mindeye2.data.shards import read_trials
from mindeye2.errors import UserError
from mindeye2.frozen.clip import Clip
from mindeye2.generate.device import default_device
from mindeye2.generate.refine import blend
from mindeye2.job import Job
from mindeye2.metrics.arrays import Array
from mindeye2.metrics.baselines import linear_svm
from mindeye2.metrics.brain import mean_per_group
from mindeye2.metrics.caption import rouge_1, rouge_l
from mindeye2.metrics.features import JUDGES, load_judge
from mindeye2.metrics.identification import class_identification
from mindeye2.metrics.intervals import normal_interval
from mindeye2.metrics.pictures import DISTANCES, METRICS, judged, judged_by_clip, low_level
from mindeye2.metrics.resizing import resize
from mindeye2.metrics.table import Row, Table
from mindeye2.metrics.top1 import retrieval
from mindeye2.objects import damaged, open_images, read_array, read_json
from mindeye2.seeds import numpy_generator
from mindeye2.settings import Evaluate
from mindeye2.stages.baselines import ridge_embeddings
from mindeye2.stages.decoded import Decoded, read_decoded

OUTPUTS: tuple[str, ...] = ("metrics.csv",)

REGIONS = ("nsd_general", "V1", "V2", "V3", "V4", "higher_vis")


@torch.inference_mode()
def run(job: Job) -> None:
    """Pool the folds, score everything whose network is in the weights folder, and say what was left out.

    Where no pictures were decoded, only retrieval or identification is scored.
    Test images are identified among each other. With ``leave_one_session_out`` every test item is a category's
    average over one session, and it is named among the categories' target tokens instead.
    """
    settings, shared = job.settings(Evaluate), job.config["split"] == "shared"
    if "linear_svm" in settings.baselines and shared:
        raise UserError(
            "evaluate.baselines: linear_svm names classes, which shared images have none of; "
            "remove it, or set matrix.split: leave_one_session_out"
        )
    decoded = read_decoded(job.inputs["reconstruct"], job.inputs.get("refine", []))
    tokens = read_array(job.input("clip") / "tokens.npy")
    if decoded.images.max() >= len(tokens):
        raise damaged(job.input("clip") / "tokens.npy", f"{len(tokens)} images, test image {decoded.images.max()}")
    folder = job.paths["weights"] / settings.clip
    clip = Clip.load(folder).to(default_device()) if decoded.pictures and folder.is_dir() else None

    ridge = ridge_embeddings(job, tokens) if "linear_ridge" in settings.baselines else None

    table = Table(seed=job.config["seed"], resamples=settings.bootstrap)
    if decoded.pictures:
        _pictures(table, job, settings, decoded, clip)
    if shared:
        _retrieval(table, settings, decoded.embeddings if decoded.has_retrieval else None, tokens[decoded.images])
        if ridge is not None:
            _retrieval(table, settings, ridge, tokens[decoded.images], baseline="linear_ridge")
    else:
        _identification(table, job, settings, decoded, tokens, ridge)
    if decoded.pictures:
        _captions(table, job, settings, decoded, clip)
        for region in REGIONS:
            table.leave_out(f"brain_correlation_{region}", "no weights of the GNet encoding model")
    table.write(job.work / "metrics.csv")


def _pictures(table: Table, job: Job, settings: Evaluate, decoded: Decoded, clip: Clip | None) -> None:
    """Truth and decoded pictures at the side of the decoded ones; refined ones blended with the low-level ones."""
    px, antialias = decoded.pictures["unrefined"].shape[-1], settings.antialias
    truth = resize(_true_pictures(job.input("stimuli"), decoded.shown), px, antialias=antialias)
    pictures = {kind: torch.from_numpy(made.astype(np.float32)) for kind, made in decoded.pictures.items()}
    if "lowlevel" in pictures and "refined" in pictures:
        pictures["refined"] = blend(pictures["refined"], pictures["lowlevel"], settings.blend_weight)

    values = low_level(truth, pictures, antialias=antialias)
    passing = {"batch_size": settings.batch_size, "antialias": antialias, "image": decoded.shown}
    for judge in JUDGES:
        folder = job.paths["weights"] / judge.network
        if folder.is_dir():
            network = load_judge(folder, judge.network).to(default_device())
            values |= judged(judge, network, truth, pictures, **passing)
    if clip is not None:
        values |= judged_by_clip(clip, truth, pictures, **passing)

    for metric in METRICS:
        if metric not in values:
            table.leave_out(metric, "no weights", pictures=pictures)
        for kind, each in values.get(metric, {}).items():
            table.measure(metric, each, picture=kind, undefined=float(metric in DISTANCES))


def _true_pictures(stimuli: Path, images: np.ndarray) -> Tensor:
    unique, place = np.unique(images, return_inverse=True)
    with open_images(stimuli) as pictures:
        if unique[-1] >= len(pictures):
            raise damaged(stimuli / "images.h5", f"{len(pictures)} images, test image {unique[-1]}")
        return torch.from_numpy(pictures[unique][place].astype(np.float32))


def _retrieval(
    table: Table, settings: Evaluate, embeddings: Array | None, truth: np.ndarray, *, baseline: str = ""
) -> None:
    """Both directions over the whole test set, with an interval over images; every decoder gets the same pools.

    Where the pool is smaller than the test set, the interval is the original's, over repetitions.
    """
    directions = ("brain_to_image", "image_to_brain")
    if embeddings is None:
        for direction in directions:
            table.leave_out(f"retrieval_{direction}", "the model has no retrieval head")
        return
    found = retrieval(
        embeddings,
        truth,
        pool=settings.retrieval_pool,
        repetitions=settings.retrieval_repetitions,
        generator=numpy_generator(table.seed, "evaluate", "retrieval"),
    )
    for direction in directions:
        name, hits = f"retrieval_{direction}", getattr(found, f"{direction}_hits").double()
        if len(hits) == 1:
            table.measure(name, hits[0], baseline=baseline)
        else:
            interval = normal_interval(hits.mean(dim=1))
            table.rows.append(Row(baseline, name, "", hits.mean().item(), len(truth), *interval))


def _identification(
    table: Table, job: Job, settings: Evaluate, decoded: Decoded, tokens: np.ndarray, ridge: Tensor | None
) -> None:
    """The seen category among all, by our decoder and by the baselines on the same averages of the same betas."""
    number, metric = len(CATEGORIES), f"identification_{len(CATEGORIES)}way"
    if len(tokens) != number:
        raise UserError(
            f"matrix.split: leave_one_session_out names categories, which these {len(tokens)} pictures do not have; "
            "set dataset.source: haxby, or matrix.split: shared"
        )
    candidates = torch.from_numpy(tokens.astype(np.float32)).flatten(1)
    embeddings = torch.from_numpy(decoded.embeddings.astype(np.float32)).flatten(1)
    seen = torch.from_numpy(decoded.images)
    table.measure(metric, class_identification(embeddings, candidates, seen))
    if ridge is not None:
        table.measure(metric, class_identification(ridge.flatten(1), candidates, seen), baseline="linear_ridge")
    if "linear_svm" in settings.baselines:
        trials = read_trials(job.input("behav"), "train")
        group = trials.session * number + trials.image
        betas = read_rows(job.input("betas") / "betas.h5", trials.row).astype(np.float32)
        session, category = np.divmod(np.unique(group), number)
        table.measure(
            metric, linear_svm(mean_per_group(betas, group).numpy(), category, session), baseline="linear_svm"
        )


def _captions(table: Table, job: Job, settings: Evaluate, decoded: Decoded, clip: Clip | None) -> None:
    """Predicted captions against the first wording of the true ones."""
    path = job.input("stimuli") / "captions.json"
    wordings = read_json(path)
    truth = []
    for image in decoded.shown.tolist():
        first = next((wording for wording in wordings[image] if wording.strip()), None)
        if first is None:
            raise damaged(path, f"image {image} has no caption")
        truth.append(first)

    for metric, compute in (("rouge_1", rouge_1), ("rouge_l", rouge_l)):
        values = [compute(*pair) for pair in zip(decoded.captions, truth, strict=True)]
        table.measure(metric, np.array(values))
    # CLIP-L is what the published column holds; another network must not pass for it.
    metric = "clip_l" if settings.clip == "openai_clip" else "caption_clip"
    if clip is None or not clip.has_text:
        table.leave_out(metric, "no weights")
    else:
        own, other = clip.embed_texts(decoded.captions), clip.embed_texts(truth)
        table.measure(metric, (own * other).sum(dim=1).cpu())
    table.leave_out("clip_b", "no weights")
    table.leave_out("meteor", "no WordNet")
    table.leave_out("sentence", "no weights")
