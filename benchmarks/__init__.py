"""Runnable measurements: `make bench`. Each prints its command, seed and machine with its figures."""

import os

# As the command line sets it, before numpy is loaded: appliance/threads.py says why.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
