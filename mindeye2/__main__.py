"""``python -m mindeye2`` and the ``mindeye2`` command."""

import sys

from mindeye2.cli import main

if __name__ == "__main__":
    sys.exit(main())
