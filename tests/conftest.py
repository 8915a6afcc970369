"""What every test may rely on."""

import os
import signal

# A shell starts background jobs with SIGINT ignored, and children inherit that; Ctrl-C is tested here.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Networks that whoever runs the tests has fetched for other work are none of the tests'.
for variable in ("TORCH_HOME", "HF_HOME", "NLTK_DATA"):
    os.environ[variable] = os.devnull
os.environ.pop("HF_HUB_CACHE", None)

# One thread a process, whatever a library (numba, for one) asks for meanwhile: sums depend on their number, and
# pytest-xdist gives every core a process.
for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"
