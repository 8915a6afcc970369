"""Which code a stage's result depends on, as a label that refactoring does not change.

A stage's digest covers the syntax trees of every project module that its module imports, directly or not.
Comments, docstrings and layout do not count. ``code.lock`` lists, per stage, digests that were reviewed as
giving the same results under one version label: a listed digest enters the key as its label, an unlisted
one as itself. So an edited loss gets new keys without anybody thinking of it, and a reviewed refactor
(``mindeye2 lock --same STAGE``) costs nobody a stored object.
"""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

from mindeye2.errors import UserError

PACKAGE = "mindeye2"
ROOT = Path(__file__).parent
LOCK = ROOT / "code.lock"

STAGES = (
    "stimuli",
    "behav",
    "betas",
    "targets",
    "pretrain",
    "finetune",
    "unclip",
    "reconstruct",
    "refine",
    "evaluate",
    "tables",
)

# Cannot change a result once the settings are in the key. A test holds that none imports a numeric library.
PLUMBING = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        "__main__",
        "activity",
        "check_data",
        "cli",
        "config",
        "crate",
        "errors",
        "explain",
        "fetch",
        "garbage",
        "identity",
        "job",
        "landing",
        "locks",
        "networks",
        "nodes",
        "permissions",
        "plan",
        "presets",
        "progress",
        "published",
        "reference",
        "reproduce",
        "run_settings",
        "runner",
        "section",
        "settings",
        "sources",
        "specs",
        "status",
        "store",
        "units",
        "usage",
        "views",
        "weights",
        "why",
    )
)

# Files that a stage reads from the package and that no import statement shows.
DATA_FILES = {"tables": ("report/page.html",)}


def source_file(module: str) -> Path | None:
    """File of a project module; None for a package or a name that is no module."""
    path = ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return path if path.is_file() else None


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imported_modules(path: Path) -> set[str]:
    """Project modules that a file imports anywhere, functions included; ``__init__`` facades are not modules."""
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found.update(name for name in names if name.split(".")[0] == PACKAGE and source_file(name))
    return found


def closure(module: str) -> list[str]:
    """Every project module that ``module`` depends on, itself included, plumbing left out, sorted."""
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in seen and name not in PLUMBING:
            seen.add(name)
            waiting.extend(imported_modules(source_file(name)))
    return sorted(seen)


def _canonical(node) -> object:
    """A syntax tree as nested lists that are equal on every Python from 3.11 on.

    ``ast.dump`` is not: new fields appear between versions, so empty ones are left out here.
    """
    if isinstance(node, ast.Constant):
        return ["Constant", type(node.value).__name__, repr(node.value)]
    if isinstance(node, ast.AST):
        fields = []
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                value = _without_docstrings(value)
            if name not in ("ctx", "kind", "type_ignores", "type_comment") and value is not None and value != []:
                fields.append([name, _canonical(value)])
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [_canonical(item) for item in node]
    return repr(node)


def _without_docstrings(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements less the bare strings: a docstring, and the strings that document fields."""
    return [
        statement
        for statement in body
        if not (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        )
    ]


@cache
def stage_digest(stage: str) -> str:
    """sha256 over the closure of ``mindeye2.stages.<stage>``, first 20 hex digits."""
    sha = hashlib.sha256()
    for module in closure(f"{PACKAGE}.stages.{stage}"):
        sha.update(f"{module}\n{json.dumps(_canonical(_tree(source_file(module))))}\n".encode())
    for name in DATA_FILES.get(stage, ()):
        sha.update(f"{name}\n".encode() + (ROOT / name).read_bytes())
    return sha.hexdigest()[:20]


def reread() -> None:
    """Forget what was read of the code: what is asked for next is told from the files as they are now."""
    for told in (_tree, stage_digest, code_label):
        told.cache_clear()


def read_lock() -> dict[str, dict[str, list[str]]]:
    """Stage -> version label -> digests reviewed as giving that version's results."""
    return json.loads(LOCK.read_text()) if LOCK.exists() else {}


@cache
def code_label(stage: str) -> str:
    """What the stage's code contributes to its key: the label of a reviewed digest, or the digest itself."""
    digest = stage_digest(stage)
    for label, digests in read_lock().get(stage, {}).items():
        if digest in digests:
            return label
    return digest


def update_lock(stages: list[str], *, bump: bool) -> list[str]:
    """Record the present code of ``stages`` as the same version, or as a new one; returns what was done."""
    lock, done = read_lock(), []
    for stage in stages:
        if stage not in STAGES:
            raise UserError(f"{stage}: no such stage; choose from {', '.join(STAGES)}")
        versions = lock.setdefault(stage, {})
        digest = stage_digest(stage)
        known = next((label for label, digests in versions.items() if digest in digests), None)
        if known:
            done.append(f"{stage}: {digest} is already version {known}")
            continue
        newest = max(map(int, versions), default=0)
        label = str(newest + 1) if bump or not versions else str(newest)
        versions.setdefault(label, []).append(digest)
        done.append(f"{stage}: {digest} recorded as version {label}")
    ordered = {stage: lock[stage] for stage in STAGES if stage in lock}
    LOCK.write_text(json.dumps(ordered, indent=1) + "\n")
    return done
