"""Folders that appear whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.errors import UsageError


def check_output(out: Path, *, force: bool) -> None:
    """Before any work: may `out` be written? UsageError if something is there and `force` is not given."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file. Give the name of a folder.")
    if out.exists() and any(out.iterdir()) and not force:
        raise UsageError(f"--out {out}: is there already. Give another folder, or --force to replace it.")


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` to write into; it takes the place of `out` when the block ends well.

    If the block fails nothing is left, and what was at `out` stays.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name[:40]}-unfinished-") as temporary:
        fresh = Path(temporary) / "fresh"
        fresh.mkdir()
        yield fresh
        if out.exists():
            out.rename(Path(temporary) / "replaced")
        fresh.rename(out)
