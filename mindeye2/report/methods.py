"""The methods of a run as a text to publish, in Markdown with pandoc's citations: its own settings and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mindeye2.config import Config, parse_config
from mindeye2.report.catalogue import metric
from mindeye2.report.citations import CITED_BY_METRIC, WORKS, bibliography
from mindeye2.report.contrasts import flat
from mindeye2.report.facts import Facts, gather
from mindeye2.report.unclip import unclip_training
from mindeye2.report.words import BETAS, enumerated, plural

_BACKBONES = {
    "residual_mlp": "a residual MLP of {blocks} (dropout {dropout:g})",
    "linear": "an affine backbone",
    "legacy_mixer": "the backbone of the released models ({blocks})",
}
_METRICS = {
    "pixel_correlation": "pixel correlation",
    "alexnet2": "two-way identification by AlexNet's second layer",
    "alexnet5": "two-way identification by AlexNet's fifth layer",
    "inception": "two-way identification by InceptionV3",
    "clip": "two-way identification by CLIP",
    "brain_correlation": "brain correlation by region",
    "efficientnet": "distance of EfficientNet-B1 features",
    "swav": "distance of SwAV features",
    "sentence": "cosine of sentence embeddings of the captions",
    "clip_b": "cosine of the captions in CLIP ViT-B/32",
    "clip_l": "cosine of the captions in CLIP ViT-L/14",
    "caption_clip": "cosine of the captions in CLIP",
}
_SCHEDULES = {
    "cycle": "one-cycle schedule",
    "linear": "linear decay",
    "legacy_linear": "linear schedule of the original, which rises to the last step",
}
_BASELINES = {
    "linear_svm": "a linear support vector machine that names the category",
    "linear_ridge": "closed-form ridge regression from voxels to tokens",
}
BIGG_TOKENS = (256, 1664)
_RETRIEVAL = ("retrieval_brain_to_image", "retrieval_image_to_brain")


def write_methods(
    folder: Path,
    *,
    run: str,
    config: Mapping[str, Any],
    cells: Sequence[Mapping[str, Any]],
    store: Path,
    manifests: Sequence[Mapping[str, Any]],
) -> None:
    """Write methods.md and methods.bib beside the run's matrix.csv in ``folder``; see ``facts.gather``."""
    parsed = parse_config(dict(config))
    variant = "default" if "default" in parsed.matrix.variants else next(iter(parsed.matrix.variants))
    facts = gather(cells, folder / "matrix.csv", variant=variant, store=store, manifests=manifests)
    methods = Methods(run, parsed, variant, facts)
    (folder / "methods.md").write_text(methods.markdown(), encoding="utf-8")
    (folder / "methods.bib").write_text(bibliography(methods.cited), encoding="utf-8")


@dataclass
class Methods:
    """The text of the variant ``variant``, part by part; ``cited`` collects the works as they are mentioned."""

    run: str
    config: Config
    variant: str
    facts: Facts
    cited: dict[str, None] = field(default_factory=dict)

    def __post_init__(self):
        self.settings = self.config.variant(self.variant)

    def markdown(self) -> str:
        parts = {
            "Data": self.data(),
            "Decoder": self.decoder(),
            "Training": self.training(),
            "Reconstruction": self.reconstruction(),
            "Evaluation": self.evaluation(),
            "Variants": self.variants(),
            "Software": self.software(),
        }
        text = [f"# Methods of {self.run}"]
        text += [f"## {title}\n\n{body}" for title, body in parts.items() if body]
        text.append("## References\n\n" + "\n".join(f"- [@{key}] {WORKS[key].line}" for key in self.cited))
        return "\n\n".join(text) + "\n"

    def cite(self, *keys: str) -> str:
        """`` [@key; @key]`` as pandoc reads it, to stand after a word."""
        self.cited.update(dict.fromkeys(keys))
        return f" [{'; '.join(f'@{key}' for key in keys)}]"

    def data(self) -> str:
        source, betas = self.settings.dataset.source, self.settings.betas
        subjects = [f"subject {subject} ({count} voxels)" for subject, count in self.facts.voxels.items()]
        decoded = f"The responses of {enumerated(subjects)} were decoded." if subjects else ""
        if source == "haxby":
            sessions = self.settings.dataset.sessions[self.config.matrix.subjects[0]]
            origin = (
                f"The responses are one slice of one subject of Haxby et al.{self.cite('haxby2001')}, as distributed "
                f"with PyMVPA{self.cite('hanke2009pymvpa')}: {sessions} runs, with pictures of eight categories. The "
                "photographs that the subject saw are not distributed; the targets are drawn pictures of the category."
            )
        elif self.settings.simulate:
            origin = (
                "Nothing was measured on a person: the pictures were drawn and the responses simulated, in the layout "
                f"of the Natural Scenes Dataset{self.cite('allen2022nsd')} with "
                f"{self.settings.simulate.trials_per_session} trials a session."
            )
        else:
            origin = (
                f"The responses are those of the Natural Scenes Dataset{self.cite('allen2022nsd')}, recorded at 7 T "
                f"while the subjects saw photographs of COCO{self.cite('lin2014coco')}. Single trials were estimated "
                f"by GLMsingle{self.cite('prince2022glmsingle')} with {BETAS[betas.version]}, at 1.8 mm in the mask "
                "nsdgeneral."
                if source == "nsd"
                else f"The responses are those of the Natural Scenes Dataset{self.cite('allen2022nsd')} as released "
                f"with MindEye2{self.cite('scotti2024mindeye2')}, z-scored; the subjects saw photographs of "
                f"COCO{self.cite('lin2014coco')}."
            )
        scored = ""
        if source != "released":
            over = f"each {self._unit}" if betas.scope == "session" else f"all {self._unit}s"
            rows = "the trials of training pictures" if betas.statistics == "training" else "all trials"
            scored = f"Every voxel was z-scored over {over}, by the mean and standard deviation of {rows}."
        return _join(origin, decoded, scored, self._split())

    @property
    def _unit(self) -> str:
        return "run" if self.settings.dataset.source == "haxby" else "session"

    def _split(self) -> str:
        if self.config.matrix.split == "leave_one_session_out":
            return f"Each {self._unit} was decoded by a model trained on all others, and the {self._unit}s were pooled."
        shown = self._count("retrieval_brain_to_image")
        number = f" ({shown})" if shown else ""
        return (
            f"The pictures that all subjects were shown were kept for testing{number}; no trial of them was trained "
            "on. " + ("Trials of a test picture were decoded one by one and the outputs averaged" + self._repeats())
        )

    def _repeats(self) -> str:
        if self.settings.reconstruct.repeats == "legacy":
            return ", in three passes as in the original, which count the first of two trials twice."
        return "."

    def decoder(self) -> str:
        model, facts = self.settings.model, self.facts
        shape = f" {facts.tokens[0]} × {facts.tokens[1]}" if facts.tokens else ""
        alignment = (
            "For each subject an affine map, regularised as in ridge regression, takes the voxels"
            if model.alignment == "ridge"
            else "For each subject an input layer with LayerNorm, GELU and dropout takes the voxels"
        )
        blocks = plural(model.num_blocks, "block")
        backbone = _BACKBONES[model.backbone].format(blocks=blocks, dropout=model.dropout)
        shared = ", the same for all subjects" if self.settings.pretrains else ""
        prior = self.settings.model.prior
        method = self.cite("scotti2024mindeye2")
        heads = [
            f"a diffusion prior{self.cite('ramesh2022prior')} ({plural(prior.depth, 'layer')}, "
            f"{plural(prior.heads, 'head')} of width {prior.dim_head}, {prior.timesteps} noise levels)"
        ]
        if facts.retrieval:
            heads.append("a head for retrieval")
        if facts.lowlevel:
            heads.append("a low-level head that predicts latents of a variational autoencoder")
        return _join(
            f"The decoder is MindEye2{method}. {alignment} to a latent "
            f"space of {model.hidden_dim} dimensions{shared}; {backbone} gives{shape} tokens of {self._clip()}.",
            f"On top of it {'stand' if len(heads) > 1 else 'stands'} {enumerated(heads)}.",
            "All frozen networks are the tiny ones that come with the software, trained on its own drawn pictures; "
            "they stand for CLIP, Stable Diffusion XL and GIT."
            if facts.own_networks
            else "",
        )

    def _clip(self) -> str:
        if self.facts.own_networks:
            return "a CLIP image encoder"
        if self.settings.targets.network == "openai_clip":
            return f"OpenAI's CLIP ViT-L/14{self.cite('radford2021clip')}"
        if self.facts.tokens == BIGG_TOKENS:
            return f"OpenCLIP's ViT-bigG/14{self.cite('radford2021clip', 'ilharco2021openclip', 'cherti2023scaling')}"
        return f"a CLIP image encoder{self.cite('radford2021clip', 'ilharco2021openclip')}"

    def training(self) -> str:
        settings, matrix = self.settings, self.config.matrix
        if settings.finetune.source == "imported":
            return "The models were trained elsewhere and imported; their training is not known here."
        said = []
        if settings.pretrains:
            said.append(self._pretraining())
        sessions = self.config.sessions_of(self.variant)
        if matrix.split == "shared":
            first = "first session" if sessions == (1,) else f"first {enumerated(sessions, 'or')} sessions"
            data = f"the {first} of the subject"
        else:
            data = f"all {self._unit}s of the subject but one"
        start = (
            "The pretrained model was then fine-tuned" if settings.pretrains else "The model was trained from scratch"
        )
        said.append(f"{start} on {data}, {self._course('finetune')}.")
        own = self._recipe("finetune")
        if settings.pretrains and settings.pretrain.source == "trained" and self._recipe("pretrain") == own:
            said.append(f"Pretraining and fine-tuning both used {own}.")
        else:
            if settings.pretrains and settings.pretrain.source == "trained":
                said.append(f"Pretraining used {self._recipe('pretrain')}.")
            said.append(f"{'Fine-tuning' if settings.pretrains else 'Training'} used {own}.")
        seeds = [str(seed) for seed in matrix.seeds]
        said.append(f"{'Seeds were' if len(seeds) > 1 else 'The seed was'} {enumerated(seeds)}.")
        return _join(*said)

    def _pretraining(self) -> str:
        if self.settings.pretrain.source == "imported":
            return "For each decoded subject, a model pretrained elsewhere on other subjects was imported."
        named = self.settings.pretrain.subjects
        who = f"subjects {enumerated(named)}, less the decoded one," if named else "all other subjects of the data"
        others = {len(self.settings.pretraining_subjects(subject)) for subject in self.config.matrix.subjects}
        number = f" ({others.pop()} each)" if len(others) == 1 and not named else ""
        return (
            f"For each decoded subject, a model was pretrained on all sessions of {who}{number}, "
            f"{self._course('pretrain')}."
        )

    def _course(self, stage: str) -> str:
        """``for 150 epochs (1250 steps) with batches of 24 trials``."""
        training = getattr(self.settings, stage)
        by_sessions = {count: steps for (name, count), steps in sorted(self.facts.steps.items()) if name == stage}
        told = [" to ".join(dict.fromkeys((str(steps[0]), str(steps[-1])))) for steps in by_sessions.values()]
        told = list(dict.fromkeys(told))
        steps = ""
        if told:
            respectively = ", respectively" if len(told) > 1 else ""
            steps = f" ({enumerated(told)} steps{respectively})"
        return f"for {plural(training.num_epochs, 'epoch')}{steps} with batches of {training.batch_size} trials"

    def _recipe(self, stage: str) -> str:
        training = getattr(self.settings, stage)
        weights = {
            "the prior's loss": training.prior_scale,
            "the contrastive loss": training.clip_scale,
            "the low-level loss": training.lowlevel_scale if self.settings.model.lowlevel else 0.0,
        }
        losses = [f"{weight:g} for {name}" for name, weight in weights.items() if weight]
        clipped = f", gradients clipped at norm {training.grad_clip:g}" if training.grad_clip else ""
        contrastive = ""
        if training.clip_scale:
            # A share of few epochs may be none: it is rounded down.
            mixing, share = int(training.mixup_pct * training.num_epochs), f"{100 * training.mixup_pct:g} %"
            parts = [f"BiMixCo{self.cite('kim2020mixco')} in the first {share} of the epochs"] if mixing else []
            if mixing < training.num_epochs:
                parts.append(f"SoftCLIP{self.cite('scotti2023mindeye')}")
            contrastive = f"; the contrastive loss was {' and after them '.join(parts)}"
        teacher = ""
        if weights["the low-level loss"] and training.contrastive_scale and not self.facts.own_networks:
            teacher = f", and the low-level loss had a contrastive part against VICRegL{self.cite('bardes2022vicregl')}"
        return (
            f"AdamW{self.cite('loshchilov2019adamw')} (weight decay {training.weight_decay:g}{clipped}) with a peak "
            f"learning rate of {training.max_lr:g} and the {_SCHEDULES[training.lr_schedule]}, in "
            f"{training.precision}; loss weights were {enumerated(losses)}{contrastive}{teacher}"
        )

    def reconstruction(self) -> str:
        settings = self.settings
        reconstruct, refine = settings.reconstruct, settings.refine
        if reconstruct.num_images == 0:
            return "No pictures were decoded."
        sdxl = "" if self.facts.own_networks else self.cite("podell2023sdxl")
        git = "" if self.facts.own_networks else self.cite("wang2022git")
        used = {reconstruct.sampler, refine.sampler if refine.strength else None}
        faster = f" of DPM-Solver++(2M){self.cite('lu2022dpm')}" if "dpmpp_2m" in used else ""
        solver = {"euler": "", "dpmpp_2m": faster}
        away = " away from tokens of zeros" if reconstruct.unconditional == "zeros" else ""
        few = f"The first {reconstruct.num_images} test pictures were decoded. " if reconstruct.num_images else ""
        text = (
            f"{few}Tokens were sampled from the prior in {reconstruct.prior_steps} steps and decoded by an unCLIP "
            f"network on Stable Diffusion XL{sdxl} in {reconstruct.steps} steps{solver[reconstruct.sampler]} (guidance "
            f"{reconstruct.guidance:g}{away}); GIT{git} captioned them.{unclip_training(settings)}"
        )
        if refine.strength == 0:
            return _join(text, "The pictures were not refined.")
        prompt = "prompted by that caption" if refine.prompt == "caption" else "without a prompt"
        refined = (
            f"Stable Diffusion XL then refined the pictures, {prompt}: image to image with the last "
            f"{int(refine.steps * refine.strength)} of {refine.steps} steps{solver[refine.sampler]} (strength "
            f"{refine.strength:g}, guidance {refine.guidance:g})."
        )
        return _join(text, refined)

    def evaluation(self) -> str:
        evaluate = self.settings.evaluate
        said = []
        retrieved = self._count("retrieval_brain_to_image")
        if retrieved:
            said.append(
                f"Retrieval was scored in both directions by top-1 accuracy among {evaluate.retrieval_pool} test "
                f"pictures, or all where there are fewer, as the mean over {evaluate.retrieval_repetitions} draws "
                f"({retrieved})."
            )
        names = _merged([name for name, _ in self.facts.counts if name not in _RETRIEVAL])
        if names:
            counts = {self._count(name) for name in names}
            common = f", each with {counts.pop()}," if len(counts) == 1 else ""
            told = [self._metric(name, counted=not common) for name in names]
            said.append(f"{'Further metrics' if retrieved else 'Metrics'}{common} are {enumerated(told)}.")
        if any(name.endswith("_git") for name, _ in self.facts.counts):
            said.append("Captions were compared with the true ones and with the captioner's of the seen picture.")
        if evaluate.blend_weight and self.facts.lowlevel and any(p == "refined" for _, p in self.facts.counts):
            said.append(
                f"Refined pictures were measured blended with {100 * evaluate.blend_weight:g} % of the low-level "
                "picture."
            )
        if evaluate.baselines:
            baselines = enumerated([_BASELINES[name] for name in evaluate.baselines])
            said.append(f"Compared on the same trials: {baselines}.")
        said.append(
            f"Intervals are 95 % bootstrap intervals over test items ({evaluate.bootstrap} resamples); a value "
            "that is not defined counts as a failure."
        )
        absent = [_title(name) for name in _merged(self.facts.absent) if name not in names]
        if absent:
            said.append(f"Not computed: {enumerated(absent)}.")
        return _join(*said)

    def _metric(self, name: str, *, counted: bool) -> str:
        """``SSIM [@wang2004ssim] (n = 1000)``"""
        key = CITED_BY_METRIC.get(name, "")
        if name.startswith("brain_correlation"):
            key = "styves2023gnet"
        elif name.startswith("umap_"):
            key = "mcinnes2018umap"
        elif name in ("clip", "clip_b", "clip_l") and not self.facts.own_networks:
            key = "radford2021clip"
        count = f" ({self._count(name)})" if counted else ""
        return f"{_title(name)}{self.cite(key) if key else ''}{count}"

    def _count(self, name: str) -> str:
        """``n = 1000``, or ``n = 907 to 1000`` where subjects differ; empty where nothing was computed."""
        found = [counts for (known, _), counts in self.facts.counts.items() if _merged([known]) == [name]]
        numbers = sorted({n for counts in found for n in counts})
        if not numbers:
            return ""
        return f"n = {numbers[0]}" if len(numbers) == 1 else f"n = {numbers[0]} to {numbers[-1]}"

    def variants(self) -> str:
        lines = []
        for name, overlay in self.config.matrix.variants.items():
            if name != self.variant:
                settings = flat(overlay.model_dump(mode="json", exclude_defaults=True))
                told = ", ".join(f"`{setting}` = {value}" for setting, value in settings.items())
                lines.append(f"- `{name}`: {told or 'the same settings'}")
        if not lines:
            return ""
        return f"The text above describes the variant `{self.variant}`. The others differ in\n\n" + "\n".join(lines)

    def software(self) -> str:
        versions = self.facts.versions
        commit = (
            f" at commit {enumerated([commit[:12] for commit in self.facts.commits])}" if self.facts.commits else ""
        )
        works = {"snakemake": "molder2021snakemake", "torch": "paszke2019pytorch"}
        titles = {"snakemake": "Snakemake", "torch": "PyTorch", "python": "Python"}
        first = [package for package in titles if package in versions]
        named = []
        for package in [*first, *(package for package in versions if package not in first)]:
            cited = self.cite(works[package]) if package in works else ""
            named.append(f"{titles.get(package, package)} {' and '.join(versions[package])}{cited}")
        return (
            f"All was computed by mindeye2{commit} with {enumerated(named)}. Settings, hashes of raw data "
            "and weights, and the key of every object are in `ro-crate-metadata.json`, from which `mindeye2 reproduce` "
            "plans the run again."
        )


def _join(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _merged(names: Sequence[str]) -> list[str]:
    """Each metric once, whatever the region of the brain; what captions are held against beside the true ones is no
    metric of its own."""
    plain = [name for name in names if not name.endswith(("_git", "_ceiling", "_relative"))]
    return list(dict.fromkeys("brain_correlation" if name.startswith("brain_corr") else name for name in plain))


def _title(name: str) -> str:
    return _METRICS.get(name) or metric(name).name
