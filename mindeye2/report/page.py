"""report.html: one self-contained page of everything that a run found and where it came from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mindeye2.report.catalogue import PICTURES, chance_level, metric
from mindeye2.report.contrasts import contrasts, flat, single_differences
from mindeye2.report.controls import controls
from mindeye2.report.dag import dag
from mindeye2.report.figures import marker_key
from mindeye2.report.histories import Histories, read_runs
from mindeye2.report.page_tables import PageTable, detail_table, main_table, where
from mindeye2.report.panels import metric_panels
from mindeye2.report.paper import rebuild
from mindeye2.report.pictures import comparison, gallery, has_pictures, tile_side_px
from mindeye2.report.provenance import duration, keys_of
from mindeye2.report.published import VARIANT as PUBLISHED
from mindeye2.report.summary import overall
from mindeye2.report.tables import grouped, notes
from mindeye2.report.view import Run, View, account, key_columns, leading_picture, main_columns, make_view
from mindeye2.report.words import enumerated, headline, interval, named, plural

_CARDS = 4
_KINDS_PER_PICTURE = 4


def render(run: Run) -> str:
    """The page; nothing in it leads to another file, and no name of the machine is in it."""
    view = make_view(run)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    return environment.get_template("page.html").render(
        run=run,
        view=view,
        dataset=account(run.config),
        unit=view.unit,
        scope=_scope(view),
        variants=_variants(view),
        cards=_cards(view),
        sentences=_sentences(view),
        main=_main(view),
        leading=PICTURES.get(leading_picture(view)),
        notes=notes(run.rows),
        details=[
            detail_table(view.entries, table, pools=view.pools, label=where(view.unit), unranked=view.ceilings)
            for table in grouped(view.columns)
        ],
        controls=controls(view),
        paper=rebuild(run.rows, run.config),
        meanings=_meanings(view),
        panels=metric_panels(view),
        legend=[(name, key) for name, _, key in _variants(view)],
        **_pictures(view),
        **_training(view),
        dag=dag({r.stage: plural(r.objects, "object") for r in run.provenance.stages}, run.provenance.edges),
        provenance=run.provenance,
        origins=[(cell, keys_of(cell)) for cell in run.cells],
        config_yaml=_yaml(run),
        own_judge=run.config["evaluate"]["clip"] != "openai_clip",
        blend=round(100 * run.config["evaluate"]["blend_weight"]),
        published=PUBLISHED if PUBLISHED in view.series else None,
    )


def _sentences(view: View) -> list[Markup]:
    """The headline, then what single settings change where seeds tell how sure that is."""
    lead = headline(
        view.entries,
        view.lead,
        view.decoders,
        sessions=view.sessions,
        unit=view.unit,
        pool=view.pools[view.default],
    )
    differing = single_differences(view.run.config, view.default)
    differing = {name: setting for name, setting in differing.items() if name in view.decoders}
    return lead + contrasts(
        view.run.rows, view.lead, differing, default=view.default, sessions=view.sessions, unit=view.unit
    )


def _scope(view: View) -> str:
    counts = [
        plural(len(view.variants), "variant"),
        plural(len(view.subjects), "subject"),
        f"{enumerated(view.sessions)} {view.unit}{'s' if view.sessions != [1] else ''}",
        plural(len({cell.seed for cell in view.run.cells}), "seed"),
    ]
    return ", ".join(counts)


def _variants(view: View) -> list[tuple[str, str, Markup]]:
    """Name, what sets it apart, sign in the plots."""
    overlays = view.run.config["matrix"]["variants"]
    told = []
    for name, index in view.series.items():
        if name == PUBLISHED:
            text = "the paper's numbers (arXiv:2403.11207, Tables 7 and 8)"
        elif name in view.baselines:
            text = "baseline on the same trials"
        else:
            settings = flat(overlays.get(name, {}))
            text = ", ".join(f"{field} = {value}" for field, value in settings.items()) or "the configuration below"
        told.append((name, text, marker_key(index)))
    return told


def _main(view: View) -> PageTable:
    return main_table(
        view.entries,
        main_columns(view),
        variants=list(view.series),
        sessions=view.sessions,
        pools=view.pools,
        label=where(view.unit),
        unranked=view.ceilings,
    )


def _meanings(view: View) -> list[tuple[str, str]]:
    """Title and meaning of every metric of the run that has more to tell than its title."""
    known = [metric(name) for name in dict.fromkeys(name for name, _ in view.columns)]
    return [(one.title, one.meaning) for one in known if one.meaning]


def _cards(view: View) -> list[dict[str, Any]]:
    """The default variant's leading numbers at the largest number of sessions."""
    entry = overall(view.entries, view.default, view.sessions[-1])
    cards = []
    for column in key_columns(view):
        value = entry.get(column) if entry else None
        if value is not None and value.value is not None and len(cards) < _CARDS:
            chance = chance_level(column[0], value.n, view.pools[view.default])
            known = metric(column[0])
            aside = [interval(column[0], value), f"chance {known.with_unit(chance)}" if chance else ""]
            cards.append(
                {
                    "value": known.with_unit(value.value),
                    "name": named(column),
                    "aside": [text for text in aside if text],
                }
            )
    return cards


def _pictures(view: View) -> dict[str, Any]:
    """Galleries of the default variant, and the same pictures across variants and sessions, by subject."""
    run = view.run
    if not run.pictures:
        return {"galleries": [], "comparisons": [], "pixelated": False}
    count, seen = run.pictures_per_subject, "target" if account(run.config) == "haxby" else "seen"
    first_seed = run.cells[0].seed
    shown = [cell for cell in run.cells if cell.seed == first_seed and has_pictures(cell)]
    subjects = [subject for subject in view.subjects if has_pictures(view.of_default(subject))]
    compared = {subject: [cell for cell in shown if cell.subject == subject] for subject in subjects}
    tiles = count * sum(_KINDS_PER_PICTURE + 1 + len(cells) for cells in compared.values())
    side = tile_side_px(tiles)
    galleries, comparisons = [], []
    for subject in subjects:
        reference = view.of_default(subject)
        galleries.append((subject, reference.sessions, gallery(reference, count, side, seen=seen, unit=view.unit)))
        cells = [(f"{cell.variant}, {plural(cell.sessions, view.unit)}", cell) for cell in compared[subject]]
        if len(cells) > 1:
            comparisons.append((subject, comparison(reference, cells, count, side, seen=seen, unit=view.unit)))
    return {"galleries": galleries, "comparisons": comparisons, "pixelated": side <= 64}


def _training(view: View) -> dict[str, Any]:
    histories = [
        Histories(read_runs(view.run.cells, stage, view.unit), stage, view.series, view.unit)
        for stage in ("pretrain", "finetune", "unclip")
    ]
    return {
        "losses": [panel for history in histories for panel in history.totals()],
        "loss_parts": [panel for history in histories for panel in history.parts(view.sessions[-1])],
        "trained": [(name, key) for name, _, key in _variants(view) if name in view.variants],
    }


def _yaml(run: Run) -> str:
    """The configuration as a file could hold it; ``paths`` are the machine's and stay out."""
    import yaml

    content = {"run": {"name": run.name}, **_plain({k: v for k, v in run.config.items() if k != "paths"})}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def _plain(content: Any) -> Any:
    """JSON's text keys that are numbers as numbers again: ``{"1": 40}`` -> ``{1: 40}``."""
    if isinstance(content, Mapping):
        return {int(k) if str(k).isdigit() else k: _plain(v) for k, v in content.items()}
    return [_plain(item) for item in content] if isinstance(content, list | tuple) else content
