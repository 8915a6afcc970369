"""From a configuration to the objects it needs.

Pure Python; nothing is read but the configuration and the fingerprints of raw files.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mindeye2.config import Config, drop_places
from mindeye2.data import layout
from mindeye2.networks import METRIC_NETWORKS
from mindeye2.nodes import Cell, Node, Plan
from mindeye2.settings import Stimuli
from mindeye2.sources import Fingerprints
from mindeye2.store import canonical_json

PLAN_FOLDER = Path(".plan")


class _Branch:
    """The nodes of one variant."""

    def __init__(self, plan: Plan, variant: str, fingerprints: Fingerprints):
        self.plan, self.variant, self.prints = plan, variant, fingerprints
        self.config = plan.config.variant(variant)
        self._made: dict[tuple, Node] = {}

    def _once(self, make: Callable[[], Node], *name) -> Node:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def stimuli(self) -> Node:
        return self._once(lambda: self._stimuli("stimuli", self.config.stimuli), "stimuli")

    def _stimuli(self, name: str, settings: Stimuli) -> Node:
        source = self.config.dataset.source
        return self.plan.add(
            "stimuli",
            name,
            {"dataset": {"source": source}, "stimuli": settings.keyed()},
            sources=self.prints.files(layout.stimuli_needs(source, self.prints.root("dataset"))),
        )

    def behav(self, subject: int) -> Node:
        return self._once(lambda: self._behav(subject), "behav", subject)

    def _behav(self, subject: int) -> Node:
        dataset = self.config.dataset
        needs = layout.behav_needs(dataset.source, subject, dataset.sessions[subject])
        return self.plan.add(
            "behav",
            f"subj{subject:02d}",
            {
                "dataset": {"source": dataset.source},
                "behav": self.config.behav.keyed(),
                "subject": subject,
                "sessions": dataset.sessions[subject],
            },
            sources=self.prints.files(needs),
        )

    def betas(self, subject: int) -> Node:
        return self._once(lambda: self._betas(subject), "betas", subject)

    def _betas(self, subject: int) -> Node:
        dataset, betas = self.config.dataset, self.config.betas
        needs = layout.betas_needs(dataset.source, subject, dataset.sessions[subject], betas.version)
        # Released betas are normalised already: nothing but their number format is ours to choose.
        settings = {"dtype": betas.dtype} if dataset.source == "released" else betas.keyed()
        return self.plan.add(
            "betas",
            f"subj{subject:02d}",
            {
                "dataset": {"source": dataset.source},
                "betas": settings,
                "subject": subject,
                "sessions": dataset.sessions[subject],
            },
            {"behav": self.behav(subject)},
            self.prints.files(needs),
        )

    def target(self, network: str) -> Node:
        return self._once(lambda: self._target(network), "targets", network)

    def _target(self, network: str) -> Node:
        targets = self.config.targets.keyed()
        matters = {"lowlevel_vae": "lowlevel_vae", "convnext": "augmented_views"}.get(network, "pixel_range")
        folder = self.config.targets.lowlevel_vae if network == "lowlevel_vae" else network
        return self._targets(network, network, {matters: targets[matters]}, self.stimuli(), folder)

    def _targets(self, name: str, network: str, settings: dict[str, Any], stimuli: Node, folder: str) -> Node:
        return self.plan.add(
            "targets",
            name,
            {"network": network, "targets": settings},
            {"stimuli": stimuli},
            self.prints.network(folder),
        )

    def tokens(self) -> Node:
        return self.target(self.config.targets.network)

    def captions(self) -> Node:
        return self._once(self._captions, "captions")

    def _captions(self) -> Node:
        """What the captioner says of the true pictures that can be test images."""
        images = "shared" if self.config.matrix.split == "shared" else "all"
        return self.plan.add(
            "targets",
            f"captions of {images} images",
            {"network": "captioner", "images": images, "targets": {}},
            {"stimuli": self.stimuli(), "clip": self.tokens()},
            self.prints.network("captioner"),
        )

    def _training_targets(self, settings) -> dict[str, Node]:
        roles = {"clip": self.tokens()}
        if self.config.model.lowlevel:
            roles["lowlevel_vae"] = self.target("lowlevel_vae")
            if settings.contrastive_scale > 0 and settings.lowlevel_scale > 0:
                roles["convnext"] = self.target("convnext")
        return roles

    def _imported(self, stage: str, name: str, subject: int, folder: str) -> Node:
        """pretrain or finetune of a model that was trained elsewhere, checked against the subject's own data."""
        return self.plan.add(
            stage,
            name,
            {"model": self.config.model.keyed(), stage: getattr(self.config, stage).keyed(), "subject": subject},
            {"betas": self.betas(subject), "clip": self.tokens()},
            self.prints.model(folder),
            {"imported": self.prints.root("models") / folder},
        )

    def pretrain(self, held_out: int, seed: int) -> Node:
        name, settings = f"{self.variant}/without-subj{held_out:02d}/seed{seed}", self.config.pretrain
        if settings.source == "imported":
            return self._imported("pretrain", name, held_out, settings.folder.format(subject=held_out))
        others = self.config.pretraining_subjects(held_out)
        return self.plan.add(
            "pretrain",
            name,
            {
                "model": self.config.model.keyed(),
                # Who is trained on stands beside it, so that naming everybody is the same object as naming nobody.
                "pretrain": settings.model_copy(update={"subjects": None}).keyed(),
                "subjects": others,
                "seed": seed,
            },
            {
                "behav": [self.behav(subject) for subject in others],
                "betas": [self.betas(subject) for subject in others],
                **self._training_targets(settings),
            },
        )

    def finetune(self, name: str, subject: int, train: list[int], seed: int, pretrain: Node | None) -> Node:
        settings = self.config.finetune
        if settings.source == "imported":
            folder = settings.folder.format(subject=subject, sessions=len(train))
            return self._imported("finetune", name, subject, folder)
        return self.plan.add(
            "finetune",
            name,
            {
                "model": self.config.model.keyed(),
                "finetune": settings.keyed(),
                "subject": subject,
                "train_sessions": train,
                "seed": seed,
            },
            {
                "behav": self.behav(subject),
                "betas": self.betas(subject),
                **self._training_targets(settings),
                "pretrain": pretrain,
            },
        )

    def unclip(self) -> Node:
        return self._once(self._unclip, "unclip")

    def _unclip(self) -> Node:
        """The unCLIP network that is trained here; its tokens are those of correctly normalised pictures, always."""
        settings = self.config.unclip
        sized = self.config.stimuli.model_copy(update={"image_px": settings.image_px})
        if settings.pictures == "stimuli":
            stimuli = self._stimuli("stimuli for unclip", sized)
        else:
            described = {"dataset": {"source": "folder"}, "stimuli": sized.keyed()}
            stimuli = self.plan.add("stimuli", "pictures for unclip", described, sources=self.prints.pictures())
        return self.plan.add(
            "unclip",
            f"{settings.init} on {settings.pictures}",
            {"unclip": settings.keyed()},
            {
                "stimuli": stimuli,
                "clip": self._targets("clip for unclip", "clip", {"pixel_range": "pm1"}, stimuli, "clip"),
                "vae": self._targets("vae for unclip", "vae", {}, stimuli, "vae"),
            },
            self.prints.network("sdxl", part="unet") if settings.init == "sdxl" else self.prints.network("unclip"),
        )

    def fold(self, name: str, subject: int, train: list[int], test: list[int] | None, seed: int, pretrain: Node | None):
        """finetune, reconstruct and, unless it is left out, refine of one set of training sessions and one test set."""
        config = self.config
        finetune = self.finetune(name, subject, train, seed, pretrain)
        pictures = config.reconstruct.num_images != 0
        trained = config.trains_unclip
        networks = [*([] if trained else ["unclip"]), "vae", "captioner"] if pictures else []
        if pictures and config.model.lowlevel and config.targets.lowlevel_vae not in networks:
            networks.append(config.targets.lowlevel_vae)
        reconstruct = self.plan.add(
            "reconstruct",
            name,
            {
                "reconstruct": config.reconstruct.keyed(),
                "subject": subject,
                "test_sessions": test,
                "pixel_range": config.targets.pixel_range,
                "lowlevel_vae": config.targets.lowlevel_vae,
                "seed": seed,
            },
            {
                "finetune": finetune,
                "behav": self.behav(subject),
                "betas": self.betas(subject),
                "unclip": self.unclip() if trained else None,
                "clip": self.tokens() if config.reconstruct.tokens == "targets" else None,
            },
            self._networks(networks),
        )
        refine = None
        if pictures and config.refine.strength > 0:
            refine = self.plan.add(
                "refine",
                name,
                {"refine": config.refine.keyed(), "seed": seed},
                {"reconstruct": reconstruct},
                {**self.prints.network("sdxl", inside=config.refine.weights), **self.prints.network("vae")},
                {"sdxl": self.prints.root("weights") / Path(config.refine.weights).expanduser()},
            )
        return finetune, reconstruct, refine

    def _networks(self, names: list[str]) -> dict[str, dict]:
        files: dict[str, dict] = {}
        for name in names:
            files.update(self.prints.network(name))
        return files

    def cell(self, subject: int, sessions: int, seed: int) -> Cell:
        config, known = self.config, self.config.dataset.sessions[subject]
        pretrain = self.pretrain(subject, seed) if config.pretrains else None
        name = f"{self.variant}/subj{subject:02d}/{sessions}sess/seed{seed}"
        if config.matrix.split == "shared":
            parts = [(name, list(range(1, sessions + 1)), None)]
        else:
            every = range(1, known + 1)
            parts = [(f"{name}/without-session{test:02d}", [s for s in every if s != test], [test]) for test in every]
        folds = [self.fold(called, subject, train, test, seed, pretrain) for called, train, test in parts]
        finetune, reconstruct, refine = ([node for node in nodes if node] for nodes in zip(*folds, strict=True))
        pictures = config.reconstruct.num_images != 0
        places = {
            name: self.prints.place(name, caches=config.evaluate.usual_caches)
            for name in ((config.evaluate.clip, *METRIC_NETWORKS) if pictures else ())
        }
        networks = {name: place for name, place in places.items() if place is not None}
        described = {
            "evaluate": config.evaluate.keyed(),
            "split": config.matrix.split,
            "subject": subject,
            "seed": seed,
        }
        if "linear_ridge" in config.evaluate.baselines:
            described["folds"] = [{"train": train, "test": test} for _, train, test in parts]
        evaluate = self.plan.add(
            "evaluate",
            name,
            described,
            {
                "reconstruct": reconstruct,
                "refine": refine,
                "stimuli": self.stimuli(),
                "clip": self.tokens(),
                "captions": self.captions() if pictures else None,
                "behav": self.behav(subject),
                "betas": self.betas(subject),
            },
            {file: print for name in networks for file, print in self.prints.network(name, networks[name]).items()},
            networks,
        )
        unclip = self.unclip() if config.trains_unclip else None
        return Cell(self.variant, subject, sessions, seed, pretrain, unclip, finetune, reconstruct, refine, evaluate)


def make_plan(config: Config, folder: Path = PLAN_FOLDER, prints: Fingerprints | None = None) -> Plan:
    """Every node that the configuration's matrix needs.

    ``prints`` answers for the raw files, by default from what ``folder`` remembers of them. Raises UserError naming
    the first one that is missing or damaged.
    """
    plan, prints = Plan(config), prints or Fingerprints(config, folder / "fingerprints.json")
    matrix = config.matrix
    try:
        for variant in matrix.variants:
            branch = _Branch(plan, variant, prints)
            for subject in matrix.subjects:
                known = config.dataset.sessions[subject]
                counts = config.sessions_of(variant) if matrix.split == "shared" else [known - 1]
                for sessions in counts:
                    for seed in matrix.seeds:
                        plan.cells.append(branch.cell(subject, sessions, seed))
    finally:
        prints.remember()
    plan.tables = _tables(plan)
    return plan


def _tables(plan: Plan) -> Node:
    roles: dict[str, dict[str, Node]] = {
        role: {} for role in ("evaluate", "finetune", "reconstruct", "refine", "pretrain", "unclip")
    }

    def place(role: str, node: Node) -> int:
        roles[role].setdefault(node.id, node)
        return list(roles[role]).index(node.id)

    cells = [
        {
            "variant": cell.variant,
            "subject": cell.subject,
            "sessions": cell.sessions,
            "seed": cell.seed,
            "evaluate": place("evaluate", cell.evaluate),
            "finetune": [place("finetune", node) for node in cell.finetune],
            "reconstruct": [place("reconstruct", node) for node in cell.reconstruct],
            "refine": [place("refine", node) for node in cell.refine],
            "pretrain": place("pretrain", cell.pretrain) if cell.pretrain else None,
            **({"unclip": place("unclip", cell.unclip)} if cell.unclip else {}),
        }
        for cell in plan.cells
    ]
    stimuli = [node for node in plan.nodes.values() if node.stage == "stimuli"]
    return plan.add(
        "tables",
        plan.config.run.name,
        {
            "tables": plan.config.tables.keyed(),
            "run": plan.config.run.name,
            "config": shown_config(plan.config),
            "cells": cells,
        },
        {**{role: list(nodes.values()) for role, nodes in roles.items()}, "stimuli": stimuli},
    )


def shown_config(config: Config) -> dict[str, Any]:
    """The configuration less paths, unkeyed fields and what is not asked for, as the report prints it."""
    content, left_out = {}, {"run", "paths", "store", "tables"}
    if not any(config.variant(variant).trains_unclip for variant in config.matrix.variants):
        left_out.add("unclip")
    for section in type(config).model_fields:
        value = getattr(config, section)
        if section not in left_out and value is not None:
            content[section] = value.keyed()
    for variant, overlay in config.matrix.variants.items():
        content["matrix"]["variants"][variant] = shown = overlay.model_dump(mode="json", exclude_defaults=True)
        drop_places(shown)
    return content


def plan_digest(plan: Plan) -> str:
    """Changes when any object behind the run changes."""
    return hashlib.sha256(canonical_json(sorted(plan.nodes)).encode()).hexdigest()[:20]
