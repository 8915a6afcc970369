"""A full disk is told as one, however a library puts it, and a place that is not there as none."""

import errno
import os
import re
from pathlib import Path

import pytest

from mindeye2 import cli
from mindeye2.errors import UserError, refusal

DEMO = Path(__file__).parents[3] / "config" / "demo.yaml"
STAGE = ["refine", "--spec", "a", "--store", "b", "--stamp", "c"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/store/a"), "/store/a: No space left on device"),
        (OSError(errno.EROFS, "told otherwise"), "Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "b"), "b: Permission denied"),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "notes.txt/betas"),
            "notes.txt/betas: Not a directory; correct the path",
        ),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), "x" * 300),
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


@pytest.mark.parametrize(
    ("command", "remedy"), [(["verify"], "does what is left"), (STAGE, "goes on from the last checkpoint")]
)
def test_interrupt_is_one_line_that_promises_a_checkpoint_only_where_there_is_one(monkeypatch, capsys, command, remedy):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "execute", interrupt)
    assert cli.main(command) == 130
    assert capsys.readouterr().err == f"mindeye2: interrupted; the same command {remedy}\n"


@pytest.mark.parametrize("command", ["verify", "gc"])
def test_a_store_that_is_not_there_is_not_called_sound(command, tmp_path, capsys):
    where = tmp_path / "stroe"
    assert cli.main([command, "--config", str(DEMO), "--set", f"paths.store={where}"]) == 1
    assert re.fullmatch(rf"mindeye2: error: {where}: no such store; correct paths\.store .*\n", capsys.readouterr().err)
