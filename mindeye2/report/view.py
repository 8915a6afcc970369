"""A run as the page sees it: its entries, its variants in order, its leading metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mindeye2.report.catalogue import PICTURES, chance_level, metric
from mindeye2.report.cells import Cell
from mindeye2.report.provenance import Provenance
from mindeye2.report.published import VARIANT as PUBLISHED
from mindeye2.report.published import comparable, published_rows, true_token_variants
from mindeye2.report.rows import Row
from mindeye2.report.summary import Column, Entry, columns_of, summarise
from mindeye2.report.tables import grouped
from mindeye2.report.words import key_column

_KEY = (
    "retrieval_image_to_brain",
    "retrieval_brain_to_image",
    "clip",
    "pixel_correlation",
    "alexnet5",
    "brain_correlation_nsd_general",
    "ssim",
    "clip_l",
    "caption_clip",
)


@dataclass(frozen=True)
class Run:
    """All that the page is made from."""

    name: str
    config: Mapping[str, Any]
    rows: Sequence[Row]
    cells: Sequence[Cell]
    provenance: Provenance
    pictures: bool
    pictures_per_subject: int


@dataclass(frozen=True)
class View:
    """What every section of the page needs to know."""

    run: Run
    entries: list[Entry]
    columns: list[Column]
    variants: list[str]
    baselines: list[str]
    series: dict[str, int]
    sessions: list[int]
    subjects: list[int]
    pools: dict[str, int]
    unit: str
    lead: Column

    @property
    def default(self) -> str:
        """The variant that pictures and leading numbers are shown of."""
        return "default" if "default" in self.variants else self.variants[0]

    @property
    def controls(self) -> dict[str, str]:
        """Variants that decode no measured responses: name -> noise or shuffled."""
        overlays, base = self.run.config["matrix"]["variants"], self.run.config["reconstruct"].get("voxels", "measured")
        kinds = {name: overlays.get(name, {}).get("reconstruct", {}).get("voxels", base) for name in self.variants}
        return {name: kind for name, kind in kinds.items() if kind != "measured"}

    @property
    def ceilings(self) -> list[str]:
        """Variants that decode true tokens: what the networks can do, whatever the brain."""
        return true_token_variants(self.run.config)

    @property
    def decoders(self) -> list[str]:
        """Variants and baselines that are to be ranked: no controls, and nothing that knows the truth."""
        apart = {*self.controls, *self.ceilings}
        return [name for name in (*self.variants, *self.baselines) if name not in apart]

    def of_default(self, subject: int) -> Cell:
        """The default variant's cell with most sessions and the first seed."""
        cells = [c for c in self.run.cells if c.subject == subject and c.variant == self.default]
        return max(cells, key=lambda cell: cell.sessions)


def make_view(run: Run) -> View:
    rows = list(run.rows)
    # Another CLIP than the paper's judge gives numbers that must not stand beside it.
    own_judge = () if run.config["evaluate"]["clip"] == "openai_clip" else ("clip",)
    published = published_rows(rows, without=own_judge) if comparable(run.config) else []
    columns = columns_of(rows)
    variants = list(dict.fromkeys(cell.variant for cell in run.cells))
    baselines = [name for name in dict.fromkeys(row.variant for row in rows) if name not in variants]
    names = [*variants, *baselines, *([PUBLISHED] if published else [])]
    overlays = run.config["matrix"]["variants"]
    base = run.config["evaluate"]["retrieval_pool"]
    return View(
        run=run,
        entries=summarise([*rows, *published]),
        columns=columns,
        variants=variants,
        baselines=baselines,
        series={name: index for index, name in enumerate(names)},
        sessions=sorted({row.sessions for row in rows}),
        subjects=sorted({cell.subject for cell in run.cells}),
        pools={name: overlays.get(name, {}).get("evaluate", {}).get("retrieval_pool", base) for name in names},
        unit="run" if run.config["dataset"]["source"] == "haxby" else "session",
        lead=_lead(rows, baselines),
    )


def _lead(rows: list[Row], baselines: list[str]) -> Column:
    measured = [row for row in rows if row.value is not None] or rows
    return key_column(columns_of(measured), columns_of([row for row in measured if row.variant in baselines]))


def account(config: Mapping[str, Any]) -> str:
    """``simulated``, ``haxby`` or ``nsd``: which account of the data the page gives."""
    source = config["dataset"]["source"]
    return "simulated" if config.get("simulate") else {"released": "nsd"}.get(source, source)


def main_columns(view: View) -> list[Column]:
    """The leading metric, all of identification, and the metrics of the leading pictures."""
    pictures = ("", leading_picture(view))
    columns = [column for table in grouped(view.columns) for column in table.columns]
    shown = [c for c in columns if c[1] in pictures and metric(c[0]).group in ("identification", "picture")]
    return list(dict.fromkeys([view.lead, *shown]))


def key_columns(view: View) -> list[Column]:
    """The columns that are drawn and shown large, the most telling first; only what has values."""
    main = main_columns(view)
    pictures = ("", leading_picture(view))
    told = [c for c in view.columns if c in main or (c[0] in _KEY and c[1] in pictures)]
    measured = {(row.metric, row.picture) for row in view.run.rows if row.value is not None}
    rank = {name: place for place, name in enumerate(_KEY)}
    order = sorted(told, key=lambda c: -1 if c == view.lead else rank.get(c[0], len(_KEY)))
    return [column for column in order if column in measured]


def leading_picture(view: View) -> str:
    """The most finished kind of picture of the default variant, or of the run where that has none; else empty.

    The default's, because variants that go further than it have its kind too, and so all stand in one column.
    """
    own = {row.picture for row in view.run.rows if row.variant == view.default and row.picture}
    made = own or {picture for _, picture in view.columns}
    return next((kind for kind in PICTURES if kind in made), "")


def chance_of(view: View, column: Column) -> float | None:
    """Chance level of a column, None where it has none or differs between rows."""
    levels = {
        chance_level(column[0], entry.get(column).n, view.pools[entry.variant])
        for entry in view.entries
        if entry.get(column).value is not None and entry.variant != PUBLISHED
    }
    return levels.pop() if len(levels) == 1 else None
