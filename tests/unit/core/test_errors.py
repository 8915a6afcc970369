"""A full disk is told as one, however a library puts it."""

import errno
import os

import pytest

from mindeye2 import cli
from mindeye2.errors import UserError, refusal


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/store/a"), "/store/a: No space left on device"),
        (OSError(errno.EROFS, "told otherwise"), "Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "b"), "b: Permission denied"),
        (OSError(errno.ESTALE, "Stale file handle", "a"), "a: Stale file handle; wait until the file system works"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a"), "a: Disk quota exceeded; make room or grant access"),
        (Exception("I/O error: Input/output error (os error 5)"), "Input/output error; wait until"),
        (OSError("100000 requested and 32752 written"), "No space left on device"),
        (Exception("Error while serializing: I/O error: No space left on device (os error 28)"), "No space left on"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "c"), None),
        (ValueError("28"), None),
        (UserError("a: no"), None),
    ],
)
def test_refusal_names_the_file_and_what_the_system_said(error, said):
    assert (refusal(error) or "").startswith(said or "") and (refusal(error) is None) == (said is None)


def test_command_that_may_not_write_says_so_in_one_line(monkeypatch, capsys):
    def refuse(arguments):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "store/.damaged")

    monkeypatch.setitem(cli.COMMANDS, "verify", refuse)
    assert cli.main(["verify"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("mindeye2: error: store/.damaged: Permission denied; make room or grant access")
    assert said.count("\n") == 1
