"""Nobody reads the store but its owner, or the members of one group: real files, and other users where root tests."""

import grp
import multiprocessing
import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from mindeye2 import permissions
from mindeye2.errors import UserError
from mindeye2.garbage import collect, register_root, register_run, verify
from mindeye2.store import Store, spec_key

ALICE, BOB, CAROL = 40_001, 40_002, 40_003
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="acts as other users")


@pytest.fixture(autouse=True)
def careless_umask():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def group() -> grp.struct_group:
    """A group that the tests' user may hand files to, another than the user's first where there is one."""
    others = [entry for entry in grp.getgrall() if entry.gr_gid in os.getgroups() or os.geteuid() == 0]
    return next((entry for entry in others if entry.gr_gid != os.getegid()), grp.getgrgid(os.getegid()))


@pytest.fixture
def place() -> Path:
    """A folder that every user can reach and write to, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def spec_of(number: int) -> dict:
    return {"format": 1, "stage": "betas", "config": {"x": number}, "code": "1", "inputs": {}, "sources": {}}


def begin(store: Store, number: int) -> str:
    key = spec_key(spec_of(number))
    os.umask(permissions.umask(store.root))
    (store.work("betas", key) / "wds").mkdir(parents=True)
    (store.work("betas", key) / "data.txt").write_text(str(number))
    (store.work("betas", key) / "wds" / "0.tar").write_text("x")
    return key


def put(store: Store, number: int) -> str:
    key = begin(store, number)
    with store.lock("betas", key) as lock:
        store.seal("betas", key, {"spec": spec_of(number)})
        assert store.publish("betas", key, lock)
    return key


def modes(root: Path) -> dict[str, str]:
    paths = (root, *root.rglob("*"))
    return {str(path.relative_to(root)): oct(path.lstat().st_mode & 0o7777) for path in paths if not path.is_symlink()}


def test_private_store_is_its_owners_alone(tmp_path):
    store = Store(tmp_path / "store")
    permissions.prepare(store.root, None)
    key = put(store, 1)
    begun = begin(store, 2)
    with store.lock("betas", begun):
        os.umask(0)
        register_run("paper", [f"betas/{key}"], store)
        found = modes(store.root)
    assert found["."] == oct(0o700)
    assert {found[f"betas/{key}/{name}"] for name in ("data.txt", "wds/0.tar", "manifest.json")} == {oct(0o400)}
    assert found[f"betas/{key}/wds"] == oct(0o700)
    assert len(found) > 10
    assert not [name for name, mode in found.items() if int(mode, 8) & 0o077]


def test_store_made_under_a_careless_umask_is_closed(tmp_path):
    root = tmp_path / "store"
    root.mkdir(mode=0o755)
    permissions.prepare(root, None)
    assert modes(root) == {".": oct(0o700)}


@pytest.mark.parametrize("name", ["thesis.tex", ".ssh", "workflow"])
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_folder_of_other_things_is_no_store_and_keeps_its_permissions(tmp_path, group, name, mode):
    root = tmp_path / "home"
    for folder in (root, root / name, root / "betas"):
        folder.mkdir()
        folder.chmod(mode)
    for wanted in (None, group.gr_name) if mode == 0o755 else (group.gr_name,):
        with pytest.raises(UserError, match=f"{root}: is no store, since it holds {name}, .*; set paths.store"):
            permissions.prepare(root, wanted)
    assert set(modes(root).values()) == {oct(mode)}


def test_store_that_another_checkout_makes_at_the_same_moment(tmp_path, monkeypatch):
    root = tmp_path / "store"
    root.mkdir(mode=0o755)
    seen = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path != root and seen(path))
    permissions.prepare(root, None)
    assert modes(root) == {".": oct(0o700)}


def test_shared_store_is_the_groups_and_nobody_elses(tmp_path, group):
    store = Store(tmp_path / "store")
    permissions.prepare(store.root, group.gr_name)
    key, begun = put(store, 1), begin(store, 2)
    with store.lock("betas", begun):
        os.umask(0o077)
        register_run("paper", [f"betas/{key}"], store)
        found = modes(store.root)
        groups = {path.lstat().st_gid for path in (store.root, *store.root.rglob("*"))}
    assert groups == {group.gr_gid}
    folders = (".", "betas", ".roots", f"betas/{key}", f"betas/{key}/wds", f"betas/{begun}.work")
    assert {found[name] for name in folders} == {oct(0o2770)}
    assert {found[f"betas/{key}/{name}"] for name in ("data.txt", "wds/0.tar", "manifest.json")} == {oct(0o440)}
    assert {found[f"betas/{begun}.work/data.txt"], found[f"betas/.{begun}.lock"]} == {oct(0o660)}
    assert not [name for name, mode in found.items() if int(mode, 8) & 0o007]


def test_private_store_becomes_a_groups_with_all_that_is_in_it(tmp_path, group):
    store, other = Store(tmp_path / "store"), tmp_path / "other"
    permissions.prepare(store.root, None)
    key, begun = put(store, 1), begin(store, 2)
    other.write_text("{}")
    other.chmod(0o600)
    (store.root / "betas" / "link").symlink_to(other)
    permissions.prepare(store.root, group.gr_name)
    found = modes(store.root)
    assert {path.lstat().st_gid for path in store.root.rglob("*") if not path.is_symlink()} == {group.gr_gid}
    assert found[f"betas/{key}/data.txt"] == oct(0o440)
    assert found[f"betas/{begun}.work/data.txt"] == oct(0o660)
    assert found["betas"] == found["."] == oct(0o2770)
    assert stat.S_IMODE(other.stat().st_mode) == 0o600, "what a link points at is not the store's"


def test_shared_store_is_not_closed_by_leaving_the_setting_out(tmp_path, group):
    permissions.prepare(tmp_path / "store", group.gr_name)
    with pytest.raises(UserError, match=rf"shared with the group {group.gr_name}; set store\.group") as caught:
        permissions.prepare(tmp_path / "store", None)
    assert "\n" not in str(caught.value)
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o2770


def test_group_that_does_not_exist_is_named_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match=r"store\.group: there is no group nobody-has-this here; choose from") as caught:
        permissions.prepare(tmp_path / "store", "nobody-has-this")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def as_user(user: int, groups: list[int], act) -> object:
    """What ``act()`` returns, or the name and text of what it raises, in a process of another user."""
    here, there = multiprocessing.Pipe(duplex=False)

    def run():
        os.setgroups(groups)
        os.setgid(user)
        os.setuid(user)
        os.umask(0)
        try:
            there.send(act())
        except (OSError, UserError) as error:
            there.send(f"{type(error).__name__}: {error}")

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    answer = here.recv() if here.poll(10) else None
    process.join()
    return answer


@needs_root
def test_other_users_cannot_read_a_private_store(place):
    store = Store(place / "store")
    as_user(ALICE, [], lambda: permissions.prepare(store.root, None))
    key = as_user(ALICE, [], lambda: put(store, 1))
    path = store.object("betas", key) / "data.txt"
    assert as_user(ALICE, [], path.read_text) == "1"
    assert as_user(BOB, [], path.read_text).startswith("PermissionError")
    refused = as_user(BOB, [], lambda: permissions.prepare(store.root, None))
    assert refused.startswith(f"UserError: {store.root}: the store belongs to {ALICE}, who has not shared it")


@needs_root
def test_group_that_the_user_is_not_in_is_named_before_anything_is_written(place, group):
    answer = as_user(BOB, [], lambda: permissions.prepare(place / "store", group.gr_name))
    assert answer.startswith(f"UserError: store.group: you are not in the group {group.gr_name}; choose from yours")
    assert list(place.iterdir()) == []


@needs_root
def test_members_read_build_go_on_and_clear_up_and_others_do_not(place, group):
    store, ours = Store(place / "store"), [group.gr_gid]
    as_user(ALICE, ours, lambda: permissions.prepare(store.root, group.gr_name))
    key = as_user(ALICE, ours, lambda: put(store, 1))
    begun = as_user(ALICE, ours, lambda: begin(store, 2))
    path = store.object("betas", key) / "data.txt"

    def go_on() -> bool:
        permissions.prepare(store.root, group.gr_name)
        os.umask(permissions.umask(store.root))
        with store.lock("betas", begun) as lock:
            store.seal("betas", begun, {"spec": spec_of(2)})
            return store.publish("betas", begun, lock)

    def change() -> None:
        path.write_text("2")

    assert as_user(BOB, ours, path.read_text) == "1"
    assert as_user(BOB, ours, change).startswith("PermissionError")
    assert as_user(CAROL, [], path.read_text).startswith("PermissionError")
    assert as_user(BOB, ours, go_on) is True
    assert as_user(ALICE, ours, lambda: store.damage("betas", begun, whole=True)) is None
    for name in ("data.txt", "wds/0.tar", "manifest.json"):
        assert stat.S_IMODE((store.object("betas", begun) / name).stat().st_mode) == 0o440
    path.chmod(0o600)
    path.write_text("9")
    path.chmod(0o440)
    ((name, _, aside),) = as_user(BOB, ours, lambda: list(verify(store)))
    assert name == f"betas/{key}"
    assert [found for found, _ in as_user(BOB, ours, lambda: collect(store, dry_run=False))] == [
        store.object("betas", begun),
        aside,
    ]
    assert not [name for name, mode in modes(store.root).items() if int(mode, 8) & 0o007]


@needs_root
def test_results_in_a_closed_home_keep_their_objects_from_a_colleagues_collection(place, group):
    store, home, ours = Store(place / "store"), place / "alice", [group.gr_gid]

    def finish() -> str:
        permissions.prepare(store.root, group.gr_name)
        (home / "results").mkdir(parents=True, mode=0o700)
        home.chmod(0o700)
        key = put(store, 1)
        register_root(home / "results", [f"betas/{key}"], store)
        return key

    key = as_user(ALICE, ours, finish)
    loose = as_user(BOB, ours, lambda: put(store, 2))
    assert as_user(BOB, ours, lambda: (home / "results").exists()).startswith("PermissionError")
    assert [found.name for found, _ in as_user(BOB, ours, lambda: collect(store, dry_run=False))] == [loose]
    shutil.rmtree(home)
    assert [found.name for found, _ in as_user(BOB, ours, lambda: collect(store, dry_run=False))] == [key]
