"""Settings of a run as a whole, which are no stage's: its name, where things lie, what is compared, the miniature."""

# Frozen pydantic models: their defaults are copied, never shared.
# ruff: noqa: RUF012

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mindeye2.section import Section, unkeyed
from mindeye2.settings import Positive, Rate
from mindeye2.units import read_bytes


def _amount(text: str) -> str:
    try:
        read_bytes(text)
    except ValueError as error:
        raise ValueError(f"store.quota: {error}") from None
    return text


class Run(Section):
    """The run as a whole."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "paper"
    """Folder of the finished tables: results/<name>/."""


class Paths(Section):
    """Where things lie. Never in a key; MINDEYE2_DATASET, _CAPTIONS, _WEIGHTS, _PICTURES, _MODELS
    and _STORE override."""

    dataset: str = "nsd"
    """Root of the official NSD tree (or of another dataset.source)."""
    captions: str = "coco"
    """Folder with COCO's captions_{train,val}2017.json."""
    weights: str = "weights"
    """Folder of the frozen networks, one sub-folder each."""
    pictures: str = "pictures"
    """Folder of pictures for unclip.pictures: folder, as image files or WebDataset shards (.tar)."""
    models: str = "models"
    """Folder of imported models, for pretrain.source or finetune.source: imported."""
    store: str = "store"
    """Folder of the content-addressed objects; may be shared between checkouts."""


class Storage(Section):
    """The store as a whole. Never in a key; jobs follow what the store's folder says."""

    group: str | None = unkeyed(None)
    """Group of the system whose members share the store: they read its files and build in it. None: you alone do."""
    quota: Annotated[str, AfterValidator(_amount)] | None = unkeyed(None)
    """Storage that the store may take, such as 500 GB or 2 TiB: a run whose missing objects would not fit is not
    started. They are taken to be as large as the stored ones of their stage, or as the paper's."""


class Variant(Section):
    """Settings of the sections in which a variant differs from the rest of the configuration."""

    sessions: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    """Numbers of sessions of this variant alone, instead of matrix.sessions."""
    betas: dict[str, Any] = {}
    targets: dict[str, Any] = {}
    model: dict[str, Any] = {}
    pretrain: dict[str, Any] = {}
    finetune: dict[str, Any] = {}
    unclip: dict[str, Any] = {}
    reconstruct: dict[str, Any] = {}
    refine: dict[str, Any] = {}
    evaluate: dict[str, Any] = {}


class Matrix(Section):
    """What is compared: every subject x sessions x seed x variant."""

    subjects: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 2, 5, 7)
    """Evaluated subjects; each is left out of its own pretraining."""
    sessions: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 40)
    """The first so many sessions to fine-tune on. Unused with leave_one_session_out."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (42,)
    """Root seeds; with several, cells show mean and spread."""
    split: Literal["shared", "leave_one_session_out"] = "shared"
    """Test on the images shared by all subjects, or on each session in turn and pool the folds."""
    variants: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")], Variant], Field(min_length=1)
    ] = {"default": Variant(), "scratch": Variant(finetune={"init": "scratch"})}
    """Name -> overlay: settings of sections, and sessions to have other numbers of them than the rest."""


class Simulate(Section):
    """The miniature NSD that ``mindeye2 simulate`` writes; no stage reads this section."""

    seed: int = 0
    """Root of every draw of the simulation."""
    trials_per_session: Positive = 96
    """Presentations in one session (750 in NSD)."""
    shared_images: Positive = 64
    """Test images that every subject sees (1000 in NSD)."""
    image_px: Positive = 64
    """Side of the pictures in the stimulus brick."""
    voxels: dict[Positive, Positive] = {1: 420, 2: 360, 3: 390, 4: 330}
    """Subject -> voxels of its nsdgeneral mask."""
    ncsnr: Rate = 0.6
    """Median noise-ceiling signal-to-noise ratio of those voxels, single trial."""
