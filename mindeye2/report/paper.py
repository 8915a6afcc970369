"""Tables 1, 2, 3, 7, 8 and 9 of the paper, rebuilt from a run: our value, the printed one, and the difference."""

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mindeye2.report.catalogue import ABSENT, metric
from mindeye2.report.page_tables import Group, Head, Line, PageTable, Shown
from mindeye2.report.published import (
    NOTHING,
    OURS,
    PERCENT,
    RETRIEVAL_POOL,
    SESSIONS,
    SUBJECTS,
    TABLE_1,
    TABLE_1_METRICS,
    TABLE_2,
    TABLE_2_METHODS,
    TABLE_3,
    TABLE_3_METHODS,
    TABLE_9,
    TABLE_9_METRICS,
    comparable,
    number,
    true_token_variants,
)
from mindeye2.report.rows import Row
from mindeye2.report.summary import MEAN, Value, count_text, overall, summarise

COLUMN_OF = {"retrieval_image_to_brain": "Image", "retrieval_brain_to_image": "Brain"}
"""Our direction of retrieval -> the paper's column: its code takes one for the other."""

OVER_SUBJECTS = "40 sessions; 1 hour is 1 session"

GROUPS = {
    "pictures": ("pixel_correlation", "ssim", "alexnet2", "alexnet5", "inception", "clip", "efficientnet", "swav"),
    "retrieval": tuple(COLUMN_OF),
    "brain correlation": tuple(TABLE_3),
    "captions": tuple(TABLE_2),
}

Place = tuple[int, int, str, str]
"""Subject or MEAN, sessions, metric, picture."""


@dataclass(frozen=True)
class Pair:
    """A cell of the paper: where a run has it (None: another method's) and what is printed, ``NOTHING`` or a number."""

    place: Place | None
    metric: str
    printed: str


@dataclass(frozen=True)
class Paper:
    """``tables`` is empty where the run has no cell of the paper, and ``notes`` says why."""

    tables: tuple[PageTable, ...]
    notes: tuple[str, ...]


def rebuild(rows: Iterable[Row], config: Mapping[str, Any]) -> Paper:
    """The tables with the values of the variant ``default``, or of the first one where none is called that.

    Table 9, in which no brain is, holds whatever the data every variant that decodes true tokens.
    """
    rows = list(rows)
    variants = dict.fromkeys(row.variant for row in rows)
    variant = "default" if "default" in variants else next(iter(variants))
    own = [r for r in rows if r.variant == variant and r.subject in SUBJECTS and r.sessions in SESSIONS]
    nine, about_nine = _table_9(rows, config)
    if reason := _why_not(config, own):
        which = "Of the paper's tables only Table 9 is rebuilt" if nine else "The paper's tables are not rebuilt"
        return Paper(nine, (f"{which}: {reason}.", *about_nine))
    otherwise = _measured_otherwise(_evaluate_of(config, variant))
    values = _values(own, without=otherwise)
    tables = (_table_1(values), _table_2(values), _table_3(values), _per_subject(values, 40), _per_subject(values, 1))
    return Paper((*tables, *nine), (*_notes(variant), *dict.fromkeys(otherwise.values()), *about_nine))


def _evaluate_of(config: Mapping[str, Any], variant: str) -> Mapping[str, Any]:
    return {**config["evaluate"], **config["matrix"]["variants"].get(variant, {}).get("evaluate", {})}


def _why_not(config: Mapping[str, Any], own: Sequence[Row]) -> str:
    if config.get("simulate"):
        return "they were measured on people, and this run's responses are simulated"
    if config["dataset"]["source"] == "haxby":
        return "they were measured on the Natural Scenes Dataset, and this run is on other data"
    if not comparable(config):
        return "they are of the images that all subjects saw, which this run is not tested on"
    if not own:
        return "they hold subjects 1, 2, 5 and 7 with 40 sessions or 1, none of which this run has"
    return ""


def _measured_otherwise(evaluate: Mapping[str, Any]) -> dict[str, str]:
    """Metrics that must not stand beside the paper's, and why."""
    reasons = {}
    if evaluate["clip"] != "openai_clip":
        reasons["clip"] = "CLIP is left open: this run's judge is not the paper's (OpenAI's ViT-L/14)."
    if evaluate["retrieval_pool"] != RETRIEVAL_POOL:
        pool = evaluate["retrieval_pool"]
        reason = f"Retrieval is left open: this run looks among {pool} pictures, the paper among {RETRIEVAL_POOL}."
        reasons |= dict.fromkeys(COLUMN_OF, reason)
    return reasons


def _notes(variant: str) -> tuple[str, ...]:
    return (
        f"The value of this run's variant {variant} stands first, below it the paper's (arXiv:2403.11207v2) and ours "
        f"less the paper's, in the same unit. {ABSENT} where this run has no value, or the paper none.",
        "N is the number of test images behind our values of a row; the paper's are 1000 for each subject. A mean "
        "over subjects is formed only where this run has all four: 1, 2, 5 and 7.",
        "The paper's column “Image” is image → brain here (given a picture, its brain pattern is found) and its "
        "“Brain” is brain → image: the published code takes one direction for the other.",
        "Two-way identification compares each reconstruction with the other true pictures, as the published code "
        "does; the paper's text describes the transpose.",
    )


def _values(own: Sequence[Row], *, without: Collection[str]) -> dict[Place, Value]:
    """What was computed, by place; of means those over all four subjects only."""
    subjects = {sessions: {row.subject for row in own if row.sessions == sessions} for sessions in SESSIONS}
    return {
        (entry.subject, entry.sessions, *column): value
        for entry in summarise(own)
        if entry.subject != MEAN or subjects[entry.sessions] == set(SUBJECTS)
        for column, value in entry.values.items()
        if value.value is not None and column[0] not in without
    }


def _table_1(values: Mapping[Place, Value]) -> PageTable:
    lines = []
    for method, printed in TABLE_1.items():
        row = zip(TABLE_1_METRICS, printed.split(), strict=True)
        # Retrieval is printed once, with the refined pictures.
        pairs = [Pair(None if value == NOTHING else _mean_place(method, name), name, value) for name, value in row]
        lines.append(_line(method, pairs, values))
    heads = tuple(_title(name) for name in TABLE_1_METRICS)
    return _table("Table 1: all methods, mean over the subjects", "method", heads, {OVER_SUBJECTS: lines})


def _table_2(values: Mapping[Place, Value]) -> PageTable:
    lines = []
    for name, printed in TABLE_2.items():
        places = ((1, 40, name, ""), None, (1, 40, f"{name}_git", ""), None)
        pairs = [Pair(place, name, value) for place, value in zip(places, printed.split(), strict=True)]
        lines.append(_line(_title(name), pairs, values))
    title = "Table 2: captions, against COCO's and against GIT's of the seen picture"
    return _table(title, "metric", TABLE_2_METHODS, {"subject 1, 40 sessions": lines})


def _table_3(values: Mapping[Place, Value]) -> PageTable:
    lines = []
    for name, printed in TABLE_3.items():
        row = zip(TABLE_3_METHODS, printed.split(), strict=True)
        lines.append(_line(_title(name), [Pair(_mean_place(m, name), name, value) for m, value in row], values))
    title = "Table 3: brain correlation, mean over the subjects"
    return _table(title, "region", TABLE_3_METHODS, {OVER_SUBJECTS: lines})


def _table_9(rows: Sequence[Row], config: Mapping[str, Any]) -> tuple[tuple[PageTable, ...], tuple[str, ...]]:
    """The table and its notes; neither where no variant decodes true tokens."""
    lines, notes = [], []
    ours, others = (printed.split() for printed in TABLE_9.values())
    for variant in true_token_variants(config):
        own = [row for row in rows if row.variant == variant and row.picture == "unrefined"]
        entry = overall(summarise(own), variant, max((row.sessions for row in own), default=0))
        reasons = _measured_otherwise(_evaluate_of(config, variant))
        left_open = {name: reasons[name] for name in TABLE_9_METRICS if name in reasons}
        notes += left_open.values()
        places = {name: (MEAN, 0, name, "unrefined") for name in TABLE_9_METRICS}
        found = {places[name]: entry.get((name, "unrefined")) for name in places if entry and name not in left_open}
        known = {place: value for place, value in found.items() if value.value is not None}
        pairs = [Pair(places[name], name, value) for name, value in zip(TABLE_9_METRICS, ours, strict=True)]
        lines.append(_line(f"SDXL unCLIP: {variant}", pairs, known))
    if not lines:
        return (), ()
    pairs = [Pair(None, name, value) for name, value in zip(TABLE_9_METRICS, others, strict=True)]
    lines.append(_line("Versatile Diffusion", pairs, {}))
    heads = tuple(_title(name) for name in TABLE_9_METRICS)
    table = _table("Table 9: pictures decoded from true tokens", "network", heads, {"unrefined pictures": lines})
    notes.append(
        "Table 9 has no brain in it: the value of each variant that decodes the true tokens of this run's test "
        "pictures stands first, below it the paper's, of 30 000 pictures of COCO at 480 pixels, and ours less the "
        "paper's. FID needs that many pictures and is left open."
    )
    if config.get("simulate"):
        notes.append("This run's pictures are drawn and its networks tiny: its Table 9 says nothing of the paper's.")
    return (table,), tuple(dict.fromkeys(notes))


def _mean_place(method: str, name: str) -> Place | None:
    if method not in OURS:
        return None
    sessions, picture = OURS[method]
    return MEAN, sessions, name, "" if name in COLUMN_OF else picture


def _per_subject(values: Mapping[Place, Value], sessions: int) -> PageTable:
    groups = {}
    for group, names in GROUPS.items():
        picture = "refined" if group in ("pictures", "brain correlation") else ""
        groups[group] = [
            _line(
                _title(name),
                [
                    Pair((subject, sessions, name, picture), name, _printed(name, number(name, subject, sessions)))
                    for subject in SUBJECTS
                ],
                values,
            )
            for name in names
        ]
    label = "Table 7: 40 sessions, refined pictures" if sessions == 40 else "Table 8: 1 session, refined pictures"
    return _table(label, "metric", tuple(f"subject {subject}" for subject in SUBJECTS), groups)


def _printed(name: str, value: float) -> str:
    return f"{100 * value:.2f}" if name in PERCENT else f"{value:.3f}"


def _title(name: str) -> str:
    """``Image → brain % ↑ (“Image”)`` for a direction of retrieval."""
    known = metric(name)
    unit = " %" if name in PERCENT else ""
    column = f" (“{COLUMN_OF[name]}”)" if name in COLUMN_OF else ""
    return f"{known.title}{unit} {known.arrow}{column}"


def _table(title: str, corner: str, heads: Sequence[str], groups: Mapping[str, Sequence[Line]]) -> PageTable:
    return PageTable(
        title=title,
        heads=tuple(Head(head, "", "") for head in heads),
        groups=tuple(Group(label, tuple(lines)) for label, lines in groups.items()),
        corner=corner,
    )


def _line(title: str, pairs: Sequence[Pair], values: Mapping[Place, Value]) -> Line:
    """A row whose N is that of most of its values; a cell with another number gives its own."""
    counts = [values[pair.place].counts for pair in pairs if pair.place in values]
    common = statistics.mode(counts) if counts else ()
    cells = tuple(_cell(pair, values.get(pair.place), common) for pair in pairs)
    return Line(title, count_text(common) or ABSENT, cells)


def _cell(pair: Pair, value: Value | None, counts: tuple[int, ...]) -> Shown:
    """``96.3``, ``paper 96.1``, ``+0.2``: with the decimals that are printed."""
    printed = None if pair.printed == NOTHING else pair.printed
    places = len(printed.partition(".")[2]) if printed else (1 if pair.metric in PERCENT else 3)
    scale = 100 if pair.metric in PERCENT else 1
    aside = [] if printed is None else [f"paper {float(printed):.{places}f}"]
    if value is None:
        return Shown(ABSENT, tuple(aside), False)
    main = f"{scale * value.value:.{places}f}"
    if value.spread is not None:
        main += f" ± {scale * value.spread:.{places}f}"
    if printed is not None:
        aside.append(_signed(scale * value.value - float(printed), places))
    if value.counts != counts:
        aside.append(f"n = {count_text(value.counts)}")
    return Shown(main, tuple(aside), False)


def _signed(difference: float, places: int) -> str:
    """``+0.2``, ``−0.2``, ``±0.0`` where nothing of it is left after rounding."""
    shown = f"{abs(difference):.{places}f}"
    sign = "±" if float(shown) == 0 else "+" if difference > 0 else "−"
    return f"{sign}{shown}"


def markdown(paper: Paper) -> str:
    """The tables as sections below those of the matrix, or the line that says why there are none."""
    if not paper.tables:
        return "\n".join(f"- {note}\n" for note in paper.notes)
    parts = ["## The paper's tables\n"]
    for table in paper.tables:
        heads = [table.corner, "N", *(head.title for head in table.heads)]
        lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
        lines += [
            [line.variant, line.count, *map(_md_cell, line.cells)] for group in table.groups for line in group.lines
        ]
        parts.append(f"### {table.title}\n")
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
    parts.append("\n".join(f"- {note}" for note in paper.notes) + "\n")
    return "\n".join(parts)


def _md_cell(cell: Shown) -> str:
    return f"{cell.main} ({', '.join(cell.aside)})" if cell.aside else cell.main
