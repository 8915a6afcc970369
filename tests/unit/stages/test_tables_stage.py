"""The tables stage as the runner sees it."""

import subprocess
import sys

from mindeye2.stages.tables import OUTPUTS


def test_declares_what_a_run_is_read_by():
    assert OUTPUTS == ("matrix.csv", "matrix.md", "matrix.tex", "report.html")


def test_needs_no_network_library():
    """The tables of a finished run are written on a machine without an accelerator, in seconds."""
    heavy = "torch", "diffusers", "transformers", "open_clip", "sklearn", "matplotlib"
    code = f"import sys, mindeye2.stages.tables; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
