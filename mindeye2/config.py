"""A whole configuration: read from YAML, validated once, its variants laid over it."""

import json
import os
import re
from pathlib import Path
from string import Formatter
from typing import Any

from pydantic import ValidationError, model_validator

from mindeye2.errors import UserError
from mindeye2.presets import PRESETS
from mindeye2.run_settings import Matrix, Paths, Run, Simulate, Storage
from mindeye2.section import Section
from mindeye2.settings import (
    Behav,
    Betas,
    Dataset,
    Evaluate,
    Finetune,
    Model,
    Pretrain,
    Reconstruct,
    Refine,
    Stimuli,
    Tables,
    Targets,
    Unclip,
)


class Config(Section):
    """Every section; a file that leaves one out gets its defaults, which are the paper's."""

    run: Run = Run()
    paths: Paths = Paths()
    store: Storage = Storage()
    dataset: Dataset = Dataset()
    stimuli: Stimuli = Stimuli()
    behav: Behav = Behav()
    betas: Betas = Betas()
    targets: Targets = Targets()
    model: Model = Model()
    pretrain: Pretrain = Pretrain()
    finetune: Finetune = Finetune()
    unclip: Unclip = Unclip()
    reconstruct: Reconstruct = Reconstruct()
    refine: Refine = Refine()
    evaluate: Evaluate = Evaluate()
    tables: Tables = Tables()
    matrix: Matrix = Matrix()
    simulate: Simulate | None = None
    """Set where the dataset is a simulated one."""

    @model_validator(mode="after")
    def _possible(self):
        matrix, known = self.matrix, self.dataset.sessions
        for subject in matrix.subjects:
            if subject not in known:
                raise ValueError(
                    f"matrix.subjects: {subject} is not in dataset.sessions; "
                    f"choose from {', '.join(map(str, sorted(known)))} or add its number of sessions there"
                )
        for field in ("subjects", "sessions", "seeds"):
            _check_each_once(f"matrix.{field}", getattr(matrix, field))
        for name in matrix.variants:
            self._check_sessions(name)
            self._check_training(name)
            self._check_imported(name)
            self._check_decoding(name)
            self._check_unclip(name)
        if self.simulate and self.simulate.voxels.keys() != known.keys():
            raise ValueError(
                f"simulate.voxels names subjects {sorted(self.simulate.voxels)}, dataset.sessions {sorted(known)}; "
                "name the same subjects in both"
            )
        return self

    def _check_sessions(self, name: str) -> None:
        own = self.matrix.variants[name].sessions
        field, counts = (f"matrix.variants.{name}.sessions", own) if own else ("matrix.sessions", self.matrix.sessions)
        _check_each_once(field, counts)
        for subject in self.matrix.subjects if self.matrix.split == "shared" else ():
            known = self.dataset.sessions[subject]
            if max(counts) > known:
                raise ValueError(
                    f"{field}: {max(counts)} sessions of subject {subject}, which has {known}; "
                    f"ask for at most {known} or take the subject out of matrix.subjects"
                )

    def _check_training(self, name: str) -> None:
        """Every evaluated subject has others to pretrain on, where there is pretraining."""
        settings = self.variant(name)
        for subject in settings.pretrain.subjects or ():
            if subject not in self.dataset.sessions:
                raise ValueError(
                    f"matrix.variants.{name}: pretrain.subjects names {subject}, which is not in dataset.sessions; "
                    f"choose from {', '.join(map(str, sorted(self.dataset.sessions)))}"
                )
        for subject in self.matrix.subjects if settings.pretrains and settings.pretrain.source == "trained" else ():
            if not settings.pretraining_subjects(subject):
                raise ValueError(
                    f"matrix.variants.{name}: finetune.init is pretrained, but there is no subject to pretrain on but "
                    f"{subject} itself; set finetune.init: scratch, or name others in pretrain.subjects"
                )

    def _check_imported(self, name: str) -> None:
        """A model that was trained elsewhere has a folder, and has seen none of the trials that it is tested on."""
        settings = self.variant(name)
        known = {"pretrain": {"subject": 1}, "finetune": {"subject": 1, "sessions": 1}}
        for section, numbers in known.items():
            pattern = getattr(settings, section).folder
            if not _fills_in(pattern, numbers):
                raise ValueError(
                    f"matrix.variants.{name}: {section}.folder is {pattern!r}, of which only "
                    f"{' and '.join(f'{{{number}}}' for number in numbers)} can be filled in; correct it"
                )
        if settings.finetune.source == "imported" and self.matrix.split != "shared":
            raise ValueError(
                f"matrix.variants.{name}: finetune.source is imported, but matrix.split {self.matrix.split} tests on "
                "sessions that such a model was trained on; set matrix.split: shared"
            )

    def _check_decoding(self, name: str) -> None:
        """Pictures come from a trained prior that estimates the tokens which the unCLIP network decodes."""
        settings = self.variant(name)
        if settings.reconstruct.num_images == 0:
            return
        hindrance = None
        if settings.finetune.prior_scale == 0 and settings.reconstruct.tokens == "prior":
            hindrance = "finetune.prior_scale is 0, so that no prior is trained"
        elif settings.targets.network != "clip":
            hindrance = f"targets.network is {settings.targets.network}, whose tokens the unCLIP network does not know"
        if hindrance:
            raise ValueError(
                f"matrix.variants.{name}: {hindrance}, and pictures cannot be decoded; set reconstruct.num_images: 0"
            )

    def _check_unclip(self, name: str) -> None:
        """There are pictures to train on that nobody is tested on, and at the side that is asked for."""
        settings = self.variant(name)
        if not settings.trains_unclip or settings.unclip.pictures == "folder":
            return
        if self.matrix.split != "shared":
            raise ValueError(
                f"matrix.variants.{name}: unclip.pictures is stimuli, but matrix.split {self.matrix.split} tests on "
                "all of them; set unclip.pictures: folder"
            )
        if self.dataset.source == "released" and settings.unclip.image_px != self.stimuli.image_px:
            raise ValueError(
                f"matrix.variants.{name}: unclip.image_px is {settings.unclip.image_px}, but the released pictures "
                f"come in one size alone; set unclip.image_px: {self.stimuli.image_px}"
            )

    @property
    def pretrains(self) -> bool:
        """Whether fine-tuning starts from a model pretrained on others."""
        return self.finetune.source == "trained" and self.finetune.init == "pretrained"

    @property
    def trains_unclip(self) -> bool:
        """Whether pictures are decoded by a network that is trained here."""
        return self.reconstruct.unclip == "trained" and self.reconstruct.num_images != 0

    def pretraining_subjects(self, held_out: int) -> list[int]:
        """Who a model is pretrained on that is then fine-tuned on ``held_out``, ascending."""
        return sorted(set(self.pretrain.subjects or self.dataset.sessions) - {held_out})

    def sessions_of(self, variant: str) -> tuple[int, ...]:
        """Numbers of sessions that a variant is trained on."""
        return self.matrix.variants[variant].sessions or self.matrix.sessions

    def variant(self, name: str) -> "Config":
        """This configuration under one variant's overlay; ValueError names a field that does not fit."""
        overlay = self.matrix.variants[name].model_dump(exclude_defaults=True, exclude={"sessions"})
        changed = {}
        for section, values in overlay.items():
            base = getattr(self, section)
            try:
                changed[section] = base.parse(merged(base.model_dump(mode="json"), values))
            except ValidationError as error:
                raise ValueError(first_problem(error, ("matrix", "variants", name, section))) from None
        return self.model_copy(update=changed)


def _fills_in(pattern: str, numbers: dict[str, int]) -> bool:
    """Whether ``str.format`` puts nothing but these numbers into a pattern, no attribute of theirs, with few digits."""
    try:
        parts = [part[1:] for part in Formatter().parse(pattern) if part[1] is not None]
    except ValueError:
        return False
    return all(
        name in numbers and conversion is None and re.fullmatch(r"(0?\d)?d?", digits)
        for name, digits, conversion in parts
    )


def _check_each_once(field: str, values: tuple[int, ...]) -> None:
    if len(set(values)) != len(values):
        raise ValueError(f"{field}: {list(values)} names a value twice; name each once")


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over``, mappings merged level by level."""
    both = dict(base)
    for name, value in over.items():
        nested = isinstance(value, dict) and isinstance(base.get(name), dict)
        both[name] = merged(base[name], value) if nested else value
    return both


def with_presets(content: dict[str, Any]) -> dict[str, Any]:
    """A configuration with ``preset`` replaced by the settings it stands for, at the top and in each variant.

    What stands beside a preset wins over it; a variant's preset, as the rest of its overlay, over the sections.
    UserError names a preset that does not exist.
    """
    content = _with_preset(content)
    matrix = content.get("matrix")
    variants = matrix.get("variants") if isinstance(matrix, dict) else None
    if not isinstance(variants, dict):
        return content
    expanded = {
        name: _with_preset(overlay, f"matrix.variants.{name}.") if isinstance(overlay, dict) else overlay
        for name, overlay in variants.items()
    }
    return {**content, "matrix": {**matrix, "variants": expanded}}


def _with_preset(content: dict[str, Any], under: str = "") -> dict[str, Any]:
    rest = dict(content)
    name = rest.pop("preset", None)
    if name is None:
        return rest
    if not isinstance(name, str) or name not in PRESETS:
        raise UserError(f"{under}preset: {name!r} is no preset; choose from {', '.join(PRESETS)} or remove the line")
    return merged(PRESETS[name], rest)


_RULES = {
    "too_short": "must hold at least one value",
    "tuple_type": "must be a list, such as [1, 2]",
    **dict.fromkeys(("model_type", "dict_type"), "must be a mapping, such as {name: value}"),
}
"""What is expected, where pydantic says it in the words of JSON or Python."""


def drop_places(sections: dict[str, Any]) -> None:
    """Take out what should be named below a folder of ``paths`` and was given as a place on this machine instead: of no
    use elsewhere, and nobody's business there."""
    for section, field in (("pretrain", "folder"), ("finetune", "folder"), ("refine", "weights")):
        place = sections.get(section, {}).get(field)
        if place is not None and (place.startswith("~") or Path(place).is_absolute()):
            del sections[section][field]


def first_problem(error: ValidationError, under: tuple[str, ...] = ()) -> str:
    """One line for the first thing that pydantic refused: field, value, rule and remedy."""
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in (*under, *problem["loc"]) if part != "[key]")
    value, kind = problem["input"], problem["type"]
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    if kind == "extra_forbidden":
        return f"{field}: no such setting; config/README.md lists every field, so correct the name or remove it"
    if isinstance(value, str) and kind in ("float_type", "int_type"):
        return (
            f"{field}: {value!r} is text, not a number; write a number (YAML reads 1e-4 and 1.0e4 as text, 1.0e-4 and "
            "1.0e+4 as numbers)"
        )
    if kind == "missing":
        return f"{field}: not given; add the value"
    rule = _RULES.get(kind) or re.sub(r"^(Input|String) should", "must", problem["msg"])
    return f"{field}: {json.dumps(value, default=str)[:80]} {rule}; correct the value"


def _need_plain(content: Any, field: str = "") -> None:
    """UserError for what YAML knows and no setting is: a date, bytes, a set."""
    if isinstance(content, dict):
        for name, value in content.items():
            _need_plain(name, field)
            _need_plain(value, f"{field}.{name}" if field else str(name))
    elif isinstance(content, list):
        for value in content:
            _need_plain(value, field)
    elif not isinstance(content, str | int | float | None):
        raise UserError(f"{field}: YAML reads {content} as a {type(content).__name__}; put quotes around text")


def parse_config(content: dict[str, Any]) -> Config:
    """Validate a whole configuration, presets expanded, and apply the MINDEYE2_* variables to its paths.

    Raises UserError with one line that names the field, the value, the rule and the remedy.
    """
    try:
        _need_plain(content)
        config = Config.parse(with_presets(content))
    except RecursionError:
        raise UserError("the configuration is nested in itself or too deeply; remove the YAML alias (*name)") from None
    except ValidationError as error:
        raise UserError(first_problem(error)) from None
    moved = {
        name: os.environ[variable]
        for name in Paths.model_fields
        if os.environ.get(variable := f"MINDEYE2_{name.upper()}")
    }
    paths = config.paths.model_copy(update=moved)
    for name, path in paths:
        _need_place(name, path)
    return config.model_copy(update={"paths": paths})


def _need_place(name: str, path: str) -> None:
    """UserError for a path that leads nowhere: an unknown person's home, links in a circle, a null character."""
    try:
        Path(path).expanduser().resolve()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"paths.{name}: {path!r}: {error}; correct it, or MINDEYE2_{name.upper()}") from None


def read_yaml(text: str, origin: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        said = " ".join(str(getattr(error, "problem", error)).split())
        raise UserError(f"{origin}{line}: not valid YAML ({said}); correct it") from None
    except RecursionError:
        raise UserError(f"{origin}: not valid YAML (nested too deeply); correct it") from None


def from_text(content: Any) -> Any:
    """Values of Snakemake's ``--config``, which leaves what is in braces or brackets as text, read as YAML."""
    if isinstance(content, dict):
        return {name: from_text(value) for name, value in content.items()}
    if isinstance(content, list):
        return [from_text(value) for value in content]
    return read_yaml(content, f"--config …{content}") if isinstance(content, str) else content


def load_config(path: str | Path, assignments: list[str] | tuple[str, ...] = ()) -> Config:
    """Read a configuration file and override single fields with ``section.field=value`` (value in YAML)."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give an existing configuration, such as config/demo.yaml") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8, or give a configuration such as "
            "config/demo.yaml"
        ) from None
    content = read_yaml(text, str(path)) or {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {type(content).__name__}, not sections; see config/README.md")
    return parse_config(with_assignments(content, assignments))


def with_assignments(content: dict[str, Any], assignments: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """A configuration's content under each ``section.field=value``; UserError names one of another form."""
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not all(name.split(".")):
            raise UserError(
                f"--set {assignment}: not of the form section.field=value; write for example finetune.num_epochs=10"
            )
        nested = read_yaml(value, f"--set {name}")
        for part in reversed(name.split(".")):
            nested = {part: nested}
        content = merged(content, nested)
    return content
