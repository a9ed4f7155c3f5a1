"""Runnable measurements: `make bench`. Each prints its command, seed and machine with its figures."""
