"""The stages of a run and who reads whose objects, as a drawing."""

from collections.abc import Iterable, Mapping

from markupsafe import Markup

from mindeye2.report.figures import label, svg

# Where each stage stands: column and row of its box.
_PLACES = {
    "stimuli": (0, 0),
    "behav": (0, 2),
    "betas": (1, 2),
    "targets": (1, 0),
    "pretrain": (2, 1),
    "finetune": (3, 1),
    "unclip": (3, 0),
    "reconstruct": (4, 1),
    "refine": (5, 1),
    "evaluate": (6, 1),
    "tables": (7, 1),
}
STAGES = tuple(_PLACES)
_BOX_W, _BOX_H, _STEP_X, _STEP_Y, _MARGIN = 100, 46, 128, 84, 30


def dag(counts: Mapping[str, str], edges: Iterable[tuple[str, str]]) -> Markup:
    """The stages of a run as boxes with what ``counts`` says of each, and who reads whose objects.

    Neighbours are joined directly; a reader further away is reached by a fainter arc above or below.
    """
    body = [
        Markup(
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path class="tip" d="M0 0L8 4L0 8Z"/></marker></defs>'
        )
    ]
    known = [(a, b) for a, b in edges if a in _PLACES and b in _PLACES]
    body += [_edge(a, b) for a, b in sorted(known, key=lambda edge: -_reach(*edge))]
    for stage, text in counts.items():
        x, y = _corner(stage)
        body.append(Markup(f'<rect class="box" x="{x}" y="{y}" width="{_BOX_W}" height="{_BOX_H}" rx="8"/>'))
        body.append(label(x + _BOX_W / 2, y + 20, stage, kind="name strong"))
        body.append(label(x + _BOX_W / 2, y + 36, text, kind="tick"))
    columns = max(column for column, _ in _PLACES.values())
    said = "Stages and the objects they made: " + ", ".join(f"{stage} {text}" for stage, text in counts.items())
    width, height = columns * _STEP_X + _BOX_W + 4, 2 * _STEP_Y + _BOX_H + 2 * _MARGIN
    return svg(body, said, width, height, "dag")


def _reach(a: str, b: str) -> int:
    return abs(_PLACES[b][0] - _PLACES[a][0])


def _corner(stage: str) -> tuple[int, int]:
    column, row = _PLACES[stage]
    return 2 + column * _STEP_X, _MARGIN + row * _STEP_Y


def _edge(a: str, b: str) -> Markup:
    (x1, y1), (x2, y2) = _corner(a), _corner(b)
    row = _PLACES[a][1]
    if _reach(a, b) == 1:
        start, end = (x1 + _BOX_W, y1 + _BOX_H / 2), (x2, y2 + _BOX_H / 2)
        middle = (start[0] + end[0]) / 2
        path = f"M{start[0]} {start[1]}C{middle} {start[1]} {middle} {end[1]} {end[0]} {end[1]}"
        return Markup(f'<path class="edge" marker-end="url(#tip)" d="{path}"/>')
    # A box of the lower row is left and entered from below, all others from above.
    below = row == 2
    start_y, end_y = (y1 + _BOX_H, y2 + _BOX_H) if below else (y1, y2)
    height = 8 + 2 * _reach(a, b)
    lane = 2 * _STEP_Y + _BOX_H + _MARGIN + height if below else _MARGIN - height
    start_x, end_x = x1 + _BOX_W / 2 + 16, x2 + _BOX_W / 2 - 8
    middle = (start_x + end_x) / 2
    leave = f"C{start_x + 24} {lane} {start_x + 40} {lane} {middle} {lane}"
    path = f"M{start_x} {start_y}{leave}S{end_x} {lane} {end_x} {end_y}"
    return Markup(f'<path class="edge far" marker-end="url(#tip)" d="{path}"><title>{a} → {b}</title></path>')
