"""The one exception a person is meant to read."""


class UserError(Exception):
    """Something the user can put right: names the value, the rule it breaks and the remedy, in one line.

    Entry points print it after ``mindeye2: error:`` and exit with status 1, without a traceback.
    """
