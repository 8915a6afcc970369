"""Variants that are given nothing to decode, and the linear baseline, side by side with the levels of chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mindeye2.report.catalogue import chance_level, metric
from mindeye2.report.page_tables import PageTable, main_table, where
from mindeye2.report.summary import Column, overall
from mindeye2.report.view import View, main_columns
from mindeye2.report.words import enumerated, named, plural

MEANINGS = {
    "noise": "decodes, in place of every test trial, a draw from the standard normal distribution for each voxel",
    "shuffled": "decodes for every test picture the trials of another one; none keeps its own, so a decoder that is "
    "always right comes out just below chance",
}
CEILING = (
    "decodes the true tokens of every test picture, which no brain is in: what the networks behind the decoder can do; "
    "its retrieval is the decoder's own"
)
RIDGE = "linear_ridge"
RIDGE_MEANING = (
    "is ridge regression in closed form from the same training trials to CLIP tokens: a yardstick, what a linear map "
    "reaches without any of this model"
)


@dataclass(frozen=True)
class Controls:
    """What the page's section says; all variants in it share their training with ``default``'s."""

    meanings: tuple[tuple[str, str], ...]
    verdicts: tuple[Markup, ...]
    table: PageTable


def controls(view: View) -> Controls | None:
    """None where the run has neither a control, nor a variant with the truth, nor the linear baseline."""
    baselines = [name for name in view.baselines if name.partition("@")[0] == RIDGE]
    if not view.controls and not view.ceilings and not baselines:
        return None
    columns = [column for column in main_columns(view) if _has_chance(view, column)]
    meanings = [(name, MEANINGS[kind]) for name, kind in view.controls.items()]
    return Controls(
        meanings=(
            *meanings,
            *((name, CEILING) for name in view.ceilings),
            *((name, RIDGE_MEANING) for name in baselines),
        ),
        verdicts=tuple(_verdict(view, name, columns) for name in view.controls),
        table=main_table(
            view.entries,
            columns,
            variants=list(dict.fromkeys([view.default, *view.controls, *view.ceilings, *baselines])),
            unranked=view.ceilings,
            sessions=view.sessions,
            pools=view.pools,
            label=where(view.unit),
        ),
    )


def _has_chance(view: View, column: Column) -> bool:
    return any(
        entry.get(column).value is not None and chance_level(column[0], entry.get(column).n, 1) is not None
        for entry in view.entries
    )


def _verdict(view: View, variant: str, columns: Sequence[Column]) -> Markup:
    """Whether the control's 95 % interval lies above chance anywhere."""
    counted, above = 0, []
    for sessions in view.sessions:
        entry = overall(view.entries, variant, sessions)
        for column in columns if entry else ():
            value, known = entry.get(column), metric(column[0])
            chance = chance_level(column[0], value.n, view.pools[variant])
            if value.value is None or value.low is None or chance is None:
                continue
            counted += 1
            if value.low > chance:
                shown = f"{known.with_unit(value.value)}, chance {known.with_unit(chance)}"
                above.append(f"{named(column)} after {plural(sessions, view.unit)} ({shown})")
    name = Markup("<code>{}</code>").format(variant)
    if not above:
        return Markup("{} is not above chance: its 95\N{NO-BREAK SPACE}% interval lies above it in none of {}.").format(
            name, plural(counted, "comparison")
        )
    return Markup(
        "<strong>{} is above chance</strong> in {} of {}: {}. Something other than the measured responses tells the "
        "pictures; find it before trusting the other numbers."
    ).format(name, len(above), plural(counted, "comparison"), enumerated(above))
