"""The one exception a person is meant to read, and what a file system says when it refuses."""

import errno
import os
import re

REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
MISPLACED = {errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
FAILURES = {errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EREMOTEIO}
"""What a file server says that was away or restarted, and a disk that cannot be read."""


class UserError(Exception):
    """Something the user can put right: names the value, the rule it breaks and the remedy, in one line.

    Entry points print it after ``mindeye2: error:`` and exit with status 1, without a traceback.
    """


def refusal(error: Exception) -> str | None:
    """What a file system said that has no room, grants no access or does not answer, and the remedy; else None.

    The file is named where it is known. safetensors has the number in its text alone, and numpy does not pass it on: a
    short write has none.
    """
    number, text = getattr(error, "errno", None), str(error)
    if number is None:
        found = re.search(r"\(os error (\d+)\)", text)
        number = int(found[1]) if found else errno.ENOSPC if re.search(r"\d+ requested and \d+ written", text) else None
    if number in REFUSALS:
        remedy = "make room or grant access"
    elif number in MISPLACED:
        remedy = "correct the path"
    elif number in FAILURES:
        remedy = "wait until the file system works again"
    else:
        return None
    file = getattr(error, "filename", None)
    said = f"{file}: {os.strerror(number)}" if file else os.strerror(number)
    return f"{said}; {remedy} and run the same command again"
