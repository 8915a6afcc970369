"""Who can read the store: its owner alone, or the members of one group as well; never anybody else.

NSD is lent to people who signed for it. The store's own folder says which of the two holds (mode 0700, or 2770 and
the group), so that jobs, which never read the configuration, follow it, whatever the umask of whoever starts them:

==================  =======  ======  =================================================================
what                private  shared  why
==================  =======  ======  =================================================================
folders             0700     2770    members build, set aside and collect; what is new is the group's
files being made    0600     0660    another member goes on from a checkpoint or takes a lock over
files of an object  0400     0440    an object is never changed
==================  =======  ======  =================================================================
"""

import grp
import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mindeye2.errors import UserError
from mindeye2.identity import STAGES

CONTENT = {*STAGES, ".roots", ".damaged", "lost+found", ".snapshot"}
"""What a store's own folder may hold: the store's, and what file systems put there."""
PRIVATE_FOLDER, SHARED_FOLDER = 0o700, 0o2770
PRIVATE_FILE, SHARED_FILE, SHARED_DRAFT = 0o400, 0o440, 0o660


def shared_group(root: Path) -> int | None:
    """The group that the store at ``root`` is shared with; None where it is private, or not there yet."""
    try:
        status = root.stat()
    except FileNotFoundError:
        return None
    return status.st_gid if stat.S_IMODE(status.st_mode) == SHARED_FOLDER else None


def umask(root: Path) -> int:
    """Which permissions to take from whatever is written into the store at ``root``."""
    return 0o077 if shared_group(root) is None else 0o007


@contextmanager
def inside(root: Path) -> Iterator[None]:
    """While entered, files are made as the store at ``root`` has them; for processes that also write elsewhere."""
    before = os.umask(umask(root))
    try:
        yield
    finally:
        os.umask(before)


def prepare(root: Path, group: str | None) -> None:
    """Make the store's folder, private or the group's, or bring it in line with the setting ``store.group``.

    A private store becomes a group's with all that is in it; the way back is left to ``chmod``, lest a configuration
    without the setting lock the others out. UserError, nothing written, where the group does not exist or is not the
    user's, where the store is somebody else's or no store but a folder of other things, whose permissions are not ours
    to change, and where it is shared and the setting says otherwise.
    """
    wanted = None if group is None else _group_id(group)
    try:
        if not root.exists():
            # Another checkout may make it at the same moment.
            root.mkdir(parents=True, exist_ok=True)
            root.chmod(PRIVATE_FOLDER)
        status, shared = root.stat(), shared_group(root)
        if wanted is None and shared is not None:
            name = group_name(shared)
            raise UserError(
                f"{root}: the store is shared with the group {name}; set store.group: {name}, "
                f"or take it back by chmod -R g= {root}"
            )
        private = stat.S_IMODE(status.st_mode) == PRIVATE_FOLDER and _own(status)
        if private if wanted is None else shared == wanted:
            return
        if not _own(status):
            raise UserError(
                f"{root}: the store belongs to {user_name(status.st_uid)}, who has not shared it with you; have it "
                "shared by store.group, or set paths.store (or MINDEYE2_STORE) to a folder of your own"
            )
        _check_content(root)
        if wanted is None:
            root.chmod(PRIVATE_FOLDER)
        else:
            _share(root, wanted)
    except OSError as error:
        raise UserError(
            f"{error.filename or root}: {error.strerror}; the store's files must be readable by nobody else, "
            "so set paths.store (or MINDEYE2_STORE) to a folder where that can be arranged"
        ) from None


def _check_content(root: Path) -> None:
    """UserError where there is something in the folder that no store has; a home, say, or a checkout."""
    others = sorted({path.name for path in root.iterdir()} - CONTENT)
    if others:
        raise UserError(
            f"{root}: is no store, since it holds {others[0]}, and a store's files must be readable by nobody else; "
            "set paths.store (or MINDEYE2_STORE) to a folder of its own"
        )


def finish(folder: Path, root: Path) -> None:
    """Give a whole work folder, now an object of the store at ``root``, its final permissions.

    What another member of the group left there, whose permissions are not ours to change, is copied.
    """
    group = shared_group(root)
    for path in (folder, *folder.rglob("*")):
        own = _own(path.stat())
        if path.is_dir():
            if own:
                _give(path, group, PRIVATE_FOLDER if group is None else SHARED_FOLDER)
            continue
        if not own:
            copy = path.with_name(f".{path.name}.{os.getpid()}")
            shutil.copyfile(path, copy)
            copy.replace(path)
        _give(path, group, PRIVATE_FILE if group is None else SHARED_FILE)


def group_name(group: int) -> str:
    """Name of a group, or its number where it has none here."""
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


def user_name(user: int) -> str:
    """Name of a user, or the number where there is none here."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _own(status: os.stat_result) -> bool:
    return os.geteuid() in (0, status.st_uid)


def _group_id(name: str) -> int:
    own = {os.getegid(), *os.getgroups()}
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError:
        known = ", ".join(sorted(map(group_name, own)))
        raise UserError(f"store.group: there is no group {name} here; choose from yours: {known}") from None
    if group not in own and os.geteuid() != 0:
        known = ", ".join(sorted(map(group_name, own)))
        raise UserError(
            f"store.group: you are not in the group {name}; choose from yours ({known}), "
            "or have yourself added to it and log in again"
        )
    return group


def _share(root: Path, group: int) -> None:
    """Hand a store over to a group, its own folder last: until then, it counts as private and is done again."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(folder, name)
            # What is being built comes and goes meanwhile.
            with suppress(FileNotFoundError):
                if not path.is_symlink():
                    _give(path, group, SHARED_DRAFT if path.stat().st_mode & stat.S_IWUSR else SHARED_FILE)
        with suppress(FileNotFoundError):
            _give(Path(folder), group, SHARED_FOLDER)


def _give(path: Path, group: int | None, mode: int) -> None:
    """Set group and mode; the group first, since giving a file away clears the set-group-id bit."""
    if group is not None and path.stat().st_gid != group:
        os.chown(path, -1, group)
    path.chmod(mode)
