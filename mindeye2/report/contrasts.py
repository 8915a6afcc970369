"""Which of two variants is better, by how much, and whether that is more than the difference between seeds."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mindeye2.report.catalogue import Metric, metric
from mindeye2.report.rows import Row
from mindeye2.report.summary import Column
from mindeye2.report.words import named, plural

ERRORS = 2
"""A difference counts when its mean over seeds exceeds so many of its standard errors."""
BESIDE = ("sessions", "evaluate.baselines")
"""Settings of a variant that change none of its values."""


@dataclass(frozen=True)
class Side:
    """One of two variants: its value of the setting in which they differ, its metric by seed."""

    variant: str
    setting: Any
    values: Sequence[float]

    def shown(self, known: Metric) -> str:
        """``41.0 ± 1.3 %``"""
        return f"{known.show(statistics.fmean(self.values))} ± {known.with_unit(statistics.stdev(self.values))}"


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"finetune": {"max_lr": 1}}`` -> ``{"finetune.max_lr": 1}``."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def single_differences(config: Mapping[str, Any], default: str) -> dict[str, tuple[str, Any, Any]]:
    """Variant -> the one setting in which it differs from ``default``, its value and the default's.

    Variants that differ in more than one setting are left out. The default's value is None where the
    configuration does not state it.
    """
    base, overlays = flat(config), {name: flat(over) for name, over in config["matrix"]["variants"].items()}
    found = {}
    for name, overlay in overlays.items():
        settings = [s for s in dict.fromkeys([*overlay, *overlays[default]]) if s not in BESIDE]
        pairs = {s: (overlay.get(s, base.get(s)), overlays[default].get(s, base.get(s))) for s in settings}
        differing = [(setting, *values) for setting, values in pairs.items() if values[0] != values[1]]
        if len(differing) == 1:
            found[name] = differing[0]
    return found


def contrasts(
    rows: Sequence[Row],
    column: Column,
    differing: Mapping[str, tuple[str, Any, Any]],
    *,
    default: str,
    sessions: Iterable[int],
    unit: str,
) -> list[Markup]:
    """One sentence per variant and number of sessions that has two seeds or more in common with ``default``."""
    said = []
    for count in sessions:
        known = _by_seed(rows, column, default, count)
        for variant, (setting, *settings) in differing.items():
            other = _by_seed(rows, column, variant, count)
            seeds = sorted(known.keys() & other.keys())
            if len(seeds) > 1:
                found = ([other[seed] for seed in seeds], [known[seed] for seed in seeds])
                sides = [Side(*side) for side in zip((variant, default), settings, found, strict=True)]
                said.append(_sentence(column, setting, sides, plural(count, unit)))
    return said


def _by_seed(rows: Iterable[Row], column: Column, variant: str, sessions: int) -> dict[int, float]:
    """Seed -> mean over subjects; a seed without a value for one of them is left out."""
    values: dict[int, list[float | None]] = defaultdict(list)
    for row in rows:
        if (row.variant, row.sessions, row.metric, row.picture) == (variant, sessions, *column):
            values[row.seed].append(row.value)
    return {seed: statistics.fmean(found) for seed, found in values.items() if None not in found}


def _sentence(column: Column, setting: str, sides: Sequence[Side], after: str) -> Markup:
    known, number = metric(column[0]), len(sides[0].values)
    better, worse = sorted(sides, key=lambda side: statistics.fmean(side.values), reverse=known.higher)
    gains = [(1 if known.higher else -1) * (a - b) for a, b in zip(better.values, worse.values, strict=True)]
    mean, spread = statistics.fmean(gains), statistics.stdev(gains)
    by = f"{known.show(mean)} ± {known.show(spread)}{' points' if known.percent else ''}"
    if mean > ERRORS * spread / number**0.5:
        lead = Markup("<strong><code>{}</code> is better than <code>{}</code> by {}</strong>")
    else:
        lead = Markup("<code>{}</code> and <code>{}</code> cannot be told apart, {} in favour of the first")
    return lead.format(better.variant, worse.variant, by) + Markup(
        " in {} after {} (<code>{}</code>, {} against {}): {} against {}, mean and standard deviation over {}; "
        "better in {} of them."
    ).format(
        named(column),
        after,
        setting,
        "the default" if better.setting is None else better.setting,
        "the default" if worse.setting is None else worse.setting,
        better.shown(known),
        worse.shown(known),
        plural(number, "seed"),
        sum(gain > 0 for gain in gains),
    )
