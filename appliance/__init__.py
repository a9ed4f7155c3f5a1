"""Goodparts on the box: photos of good parts in, a chosen anomaly detector with its reasons out."""

__version__ = "0.1.0"
