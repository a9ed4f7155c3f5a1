"""Draws pictures, trains the embedded models on them, and exports the pack. See `build`."""
