"""Where things lie below state_dir."""

from __future__ import annotations

from pathlib import Path

CHAMPION = "champion"  # in a station's folder: a link to the run that serves


def station_folder(state_dir: Path, name: str) -> Path:
    """name: of a station of the settings, never one that came from outside."""
    return state_dir / "stations" / name
