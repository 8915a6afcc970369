"""The code's share of a key: blind to layout, awake to everything else."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from mindeye2 import identity

PACKAGE = Path(identity.__file__).parent
LEVELS = [
    {"data", "frozen", "model"},
    {"train", "generate", "metrics"},
    {"report"},
    {"stages"},
]


def canonical(source: str) -> object:
    return identity._canonical(ast.parse(source))


def test_comments_docstrings_and_layout_do_not_count():
    plain = "def f(x):\n    return x + 1\n"
    dressed = '"""Module."""\n\n# why\ndef f(x):\n    """Doc."""\n\n    return (x\n            + 1)  # here\n'
    assert canonical(plain) == canonical(dressed)


@pytest.mark.parametrize(
    "other", ["def f(x):\n    return x + 2\n", "def f(x):\n    return x - 1\n", "def f(y):\n    return y + 1\n"]
)
def test_any_other_change_counts(other):
    assert canonical("def f(x):\n    return x + 1\n") != canonical(other)


@pytest.mark.parametrize(("one", "other"), [("1", "1.0"), ("1", "True"), ("'a'", "b'a'")])
def test_constants_of_different_types_differ(one, other):
    assert canonical(f"x = {one}") != canonical(f"x = {other}")


@pytest.mark.parametrize("stage", identity.STAGES)
def test_reviewed(stage):
    """Every stage's present code is in code.lock: after an edit, say whether results stay the same."""
    versions = identity.read_lock().get(stage, {})
    assert any(identity.stage_digest(stage) in digests for digests in versions.values()), (
        f"the code of {stage} changed: `mindeye2 lock --same {stage}` if it gives the same results, "
        f"`mindeye2 lock --bump {stage}` if not"
    )


def test_label_of_a_reviewed_digest_and_of_an_unknown_one(monkeypatch):
    digest = identity.stage_digest("betas")
    monkeypatch.setattr(identity, "read_lock", lambda: {"betas": {"7": ["other", digest]}})
    identity.code_label.cache_clear()
    assert identity.code_label("betas") == "7"
    monkeypatch.setattr(identity, "read_lock", dict)
    identity.code_label.cache_clear()
    assert identity.code_label("betas") == digest
    identity.code_label.cache_clear()


def test_lock_same_adds_and_bump_opens_a_version(monkeypatch, tmp_path):
    monkeypatch.setattr(identity, "LOCK", tmp_path / "code.lock")
    identity.update_lock(["betas"], bump=False)
    assert list(identity.read_lock()["betas"]) == ["1"]
    monkeypatch.setattr(identity, "stage_digest", lambda stage: "edited")
    identity.update_lock(["betas"], bump=True)
    assert identity.read_lock()["betas"]["2"] == ["edited"]
    monkeypatch.setattr(identity, "stage_digest", lambda stage: "refactored")
    identity.update_lock(["betas"], bump=False)
    assert identity.read_lock()["betas"]["2"] == ["edited", "refactored"]


def test_closure_follows_imports_and_leaves_plumbing_out():
    modules = identity.closure("mindeye2.stages.betas")
    assert "mindeye2.data.betas" in modules
    assert not identity.PLUMBING & set(modules)
    assert not any(module.startswith("mindeye2.model") for module in modules)


def test_plumbing_imports_no_numeric_library():
    heavy = ["numpy", "torch", "pandas", "scipy", "h5py"]
    names = ", ".join(sorted(identity.PLUMBING - {"mindeye2.__main__"}))
    code = f"import sys, {names}; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
    for module in identity.PLUMBING:
        tree = ast.parse(identity.source_file(module).read_text())
        imported = {
            alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        assert not imported & set(heavy), module


def test_help_is_light():
    heavy = ["numpy", "pandas", "torch", "pydantic"]
    code = (
        "import sys, mindeye2.cli as c; c.build_parser().format_help(); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_facades_are_lazy_and_the_only_dynamic_imports():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        calls = {
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
        }
        if path.name == "__init__.py":
            for node in tree.body:
                assert not isinstance(node, ast.Import | ast.ImportFrom) or node.module == "importlib", path
        elif path.name != "runner.py":
            assert not calls & {"import_module", "__import__"}, path


def test_nothing_imports_through_a_facade():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                if (
                    node.module
                    and node.module.split(".")[0] == "mindeye2"
                    and identity.source_file(node.module) is None
                ):
                    for alias in node.names:
                        name = f"{node.module}.{alias.name}"
                        package = PACKAGE.joinpath(*name.split(".")[1:])
                        assert identity.source_file(name) or package.is_dir(), f"{path}: {name}"


def test_rooms_import_one_way():
    level = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0]
        if room not in level or path.name == "__init__.py":
            continue
        for module in identity.imported_modules(path):
            other = module.split(".")[1]
            if other not in level or other == room:
                continue
            assert level[other] < level[room], f"{path} imports {module}"
            assert (room, other) != ("metrics", "model"), f"{path} imports {module}"
