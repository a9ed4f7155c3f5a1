"""Runnable measurements: `make bench`. Each prints its command, seed and machine with its figures."""

import os

# As the command line sets it, and before numpy is loaded: BLAS' own threads beside the workers' take cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
