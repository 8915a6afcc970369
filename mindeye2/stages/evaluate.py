"""Every metric of one cell as a long table: pictures, captions, retrieval or identification, brain correlation."""

import csv
from collections.abc import Mapping

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
from mindeye2.metrics.features import JUDGES, load_clip, load_judge
from mindeye2.metrics.identification import class_identification
from mindeye2.metrics.pictures import DISTANCES, METRICS, judged, judged_by_clip, low_level
from mindeye2.metrics.plane import pair_distances, umap_plane
from mindeye2.metrics.resizing import resize
from mindeye2.metrics.table import Table
from mindeye2.metrics.texts import NETWORKS as CAPTION_NETWORKS
from mindeye2.metrics.texts import caption_metrics
from mindeye2.metrics.top1 import retrieval
from mindeye2.networks import absent
from mindeye2.objects import damaged, read_array
from mindeye2.seeds import numpy_generator
from mindeye2.settings import Evaluate
from mindeye2.shapes import Images
from mindeye2.stages.baselines import ridge_embeddings
from mindeye2.stages.brain import brain_correlations
from mindeye2.stages.decoded import Decoded, decoded_tokens, read_decoded
from mindeye2.stages.truth import true_captions, true_pictures

# metrics.csv, and with evaluate.umap umap.csv.
OUTPUTS: tuple[str, ...] = ("*.csv",)


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
    place = job.networks.get(settings.clip)
    clip = None if place is None else load_clip(place, settings.clip).to(default_device())

    ridge = ridge_embeddings(job, tokens) if "linear_ridge" in settings.baselines else None

    table = Table(seed=job.config["seed"], resamples=settings.bootstrap)
    pictures = {kind: torch.from_numpy(made.astype(np.float32)) for kind, made in decoded.pictures.items()}
    if "lowlevel" in pictures and "refined" in pictures:
        pictures["refined"] = blend(pictures["refined"], pictures["lowlevel"], settings.blend_weight)
    if pictures:
        _pictures(table, job, settings, decoded, pictures, clip)
    if shared:
        _retrieval(table, settings, decoded.embeddings if decoded.has_retrieval else None, tokens[decoded.images])
        if ridge is not None:
            _retrieval(table, settings, ridge, tokens[decoded.images], baseline="linear_ridge")
    else:
        _identification(table, job, settings, decoded, tokens, ridge)
    if pictures:
        _captions(table, job, settings, decoded, clip)
        brain_correlations(table, job, decoded, pictures, legacy=settings.repeats == "legacy")
        if settings.umap:
            _umap(table, job, decoded, tokens)
    table.write(job.work / "metrics.csv")


def _pictures(
    table: Table, job: Job, settings: Evaluate, decoded: Decoded, pictures: Mapping[str, Images], clip: Clip | None
) -> None:
    """Decoded pictures, by kind, against the true ones at their side."""
    px, antialias = decoded.pictures["unrefined"].shape[-1], settings.antialias
    truth = resize(true_pictures(job.input("stimuli"), decoded.shown), px, antialias=antialias)
    values = low_level(truth, pictures, antialias=antialias)
    passing = {"batch_size": settings.batch_size, "antialias": antialias, "image": decoded.shown}
    for judge in JUDGES:
        if judge.network in job.networks:
            network = load_judge(job.networks[judge.network], judge.network).to(default_device())
            values |= judged(judge, network, truth, pictures, **passing)
    if clip is not None:
        values |= judged_by_clip(clip, truth, pictures, **passing)

    networks = {metric: judge.network for judge in JUDGES for metric in judge.layers}
    for metric in METRICS:
        if metric not in values:
            table.leave_out(metric, absent(networks.get(metric, settings.clip)), pictures=pictures)
        for kind, each in values.get(metric, {}).items():
            table.measure(metric, each, picture=kind, undefined=float(metric in DISTANCES))


def _retrieval(
    table: Table, settings: Evaluate, embeddings: Array | None, truth: np.ndarray, *, baseline: str = ""
) -> None:
    """Both directions over all pools, the same ones for every decoder, with an interval over images."""
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
    drawn = found.draws.flatten()
    for direction in directions:
        hits = getattr(found, f"{direction}_hits").double().flatten()
        per_image = torch.zeros(len(truth), dtype=torch.double).index_add_(0, drawn, hits)
        times = torch.bincount(drawn, minlength=len(truth))
        table.measure_ratio(f"retrieval_{direction}", per_image, times, baseline=baseline)


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
    """Predicted captions against COCO's; ``_git``: against the captioner's of the true pictures.

    ``_ceiling`` compares the captioner's with COCO's, and ``_relative`` is the ratio of the two.
    """
    coco = true_captions(job.input("stimuli"), decoded.shown)
    git = read_array(job.input("captions") / "captions.npy")[decoded.shown].tolist()
    metrics = caption_metrics(
        job.networks,
        clip=clip,
        # CLIP-L is what the published column holds; another network must not pass for it.
        clip_metric="clip_l" if settings.clip == "openai_clip" else "caption_clip",
        device=default_device(),
        batch_size=settings.batch_size,
    )
    for metric, compare in metrics.items():
        if compare is None:
            names = [metric, *(f"{metric}_{against}" for against in ("git", "ceiling", "relative"))]
            table.leave_out(names, absent(CAPTION_NETWORKS.get(metric, settings.clip)))
            continue
        to_git, ceiling = compare(decoded.captions, git), compare(git, coco)
        table.measure(metric, compare(decoded.captions, coco))
        table.measure(f"{metric}_git", to_git)
        table.measure(f"{metric}_ceiling", ceiling)
        table.measure_ratio(f"{metric}_relative", to_git, ceiling)


def _umap(table: Table, job: Job, decoded: Decoded, tokens: np.ndarray) -> None:
    """Mean distance of true and decoded tokens in a plane fitted to both; umap.csv holds the places."""
    true = tokens[decoded.shown]
    rows = []
    for kind in ("backbone", "retrieval", "prior"):
        made = decoded_tokens(job.inputs["reconstruct"], kind)
        if made is None:
            table.leave_out(f"umap_distance_{kind}", "the model has no retrieval head")
            continue
        own, other = umap_plane(true, made, seed=table.seed)
        table.measure(f"umap_distance_{kind}", pair_distances(own, other))
        places = np.concatenate([own, other], axis=1).tolist()
        rows += [(kind, image, *place) for image, place in zip(decoded.shown.tolist(), places, strict=True)]
    with (job.work / "umap.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("tokens", "image", "true_x", "true_y", "decoded_x", "decoded_y"), *rows])
