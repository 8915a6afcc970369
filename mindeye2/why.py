"""``mindeye2 why NAME``: what one cell of the matrix is made of, and what each missing object lacks."""

import difflib
from collections.abc import Iterator

from mindeye2 import activity
from mindeye2.errors import UserError
from mindeye2.explain import explain
from mindeye2.identity import STAGES
from mindeye2.nodes import Cell, Node, Plan
from mindeye2.specs import called
from mindeye2.store import Store
from mindeye2.units import counted, show_bytes


def cell_name(cell: Cell) -> str:
    return f"{cell.variant}/subj{cell.subject:02d}/{cell.sessions}sess/seed{cell.seed}"


def find(plan: Plan, name: str) -> list[Node]:
    """The objects that a name stands for, in the order in which data flows.

    A name is a cell's (``default/subj01/1sess/seed42``; the seed may be left out where there is one), that and a stage
    (``…/finetune``), or an address ``stage/key``. UserError, with names that are alike, where there is none.
    """
    cells = {cell_name(cell): cell for cell in plan.cells}
    if len({cell.seed for cell in plan.cells}) == 1:
        cells |= {called.rpartition("/")[0]: cell for called, cell in cells.items()}
    if name in plan.nodes:
        return [plan.nodes[name]]
    if name in cells:
        return _below(plan, cells[name])
    rest, _, stage = name.rpartition("/")
    if rest in cells and stage in STAGES:
        nodes = [node for node in _below(plan, cells[rest]) if node.stage == stage]
        if nodes:
            return nodes
        raise UserError(f"{name}: there is no {stage} in this cell; see mindeye2 why {rest}")
    shortest = {id(cell): called for called, cell in cells.items()}
    near = difflib.get_close_matches(name, shortest.values(), n=3, cutoff=0.0)
    raise UserError(
        f"{name or repr(name)}: no cell or object of run {plan.config.run.name}; the nearest are {', '.join(near)}; "
        "mindeye2 plan lists all objects"
    )


def _below(plan: Plan, cell: Cell) -> list[Node]:
    """Every object that a cell rests on, its own included."""
    needed = plan.below(cell.evaluate)
    return [node for node in plan.ordered() if node.id in needed]


def describe(plan: Plan, store: Store, name: str) -> Iterator[str]:
    """Lines for a terminal: each object with its state, and beneath it what there is to know."""
    nodes, running = find(plan, name), activity.building(store)
    missing = {node.id for node in plan.missing(store)}
    reasons = {node.id: reason for node, reason in explain(plan, store, [node for node in nodes if node.id in missing])}
    for node in nodes:
        state = "running" if node.id in running else "missing" if node.id in missing else "stored"
        yield f"{node.stage:<12} {node.key}  {state:<8} {called(node.names)}"
        if state == "stored":
            details = _stored(store, node)
        elif state == "running":
            details = [str(running[node.id])]
        else:
            details = _lacking(node, missing, reasons[node.id])
        log = activity.log_of(node)
        if log.exists():
            details.append(f"log: {log}")
        yield from (f"{'':<12} {detail}" for detail in details)
    lacking = sum(node.id in missing for node in nodes)
    yield f"{counted(len(nodes), 'object')}, {len(nodes) - lacking} stored, {lacking} to build"


def _stored(store: Store, node: Node) -> list[str]:
    try:
        manifest = store.manifest(node.stage, node.key)
        size = sum(file["size"] for file in manifest["files"].values())
        return [
            f"{manifest['end']} on {manifest['host']} ({manifest['device']}), "
            f"{manifest['seconds']:.1f} s, {show_bytes(size)}"
        ]
    except (OSError, ValueError, KeyError) as error:
        return [f"its manifest cannot be read ({error}); mindeye2 verify sets it aside"]


def _lacking(node: Node, missing: set[str], reason: str) -> list[str]:
    details = [f"because {reason}"]
    inputs = [name for names in node.spec["inputs"].values() for name in names]
    waits = list(dict.fromkeys(name for name in inputs if name in missing))
    if waits:
        details.append(f"waits for {called(waits)}")
    else:
        details.append("all that it is made from is there: the next snakemake builds it")
    stopped = activity.stopped([node])
    if stopped:
        details.append(f"stopped: {stopped[0].line}")
    return details
