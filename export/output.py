"""Folders that appear whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engines.manifest import FILE_NAME
from export.errors import UsageError

OWN_PARTS = ("image", "text")  # folders with a manifest inside one export, that of a CLIP


def check_output(out: Path, *, force: bool) -> None:
    """Before any work: may `out` be written? UsageError if something is there and `force` is not given.

    Even by force no folder of other engines is replaced, nor one that the command runs in.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file. Give the name of a folder.")
    if Path.cwd().is_relative_to(out.resolve()):
        raise UsageError(
            f"--out {out}: is the folder where this runs, or holds it. Give a folder of its own."
        )
    others = sorted(
        path.parent.name for path in out.glob(f"*/{FILE_NAME}") if path.parent.name not in OWN_PARTS
    )
    if others:
        raise UsageError(
            f"--out {out}: holds the engines {', '.join(others)}, side by side. Give a folder "
            f"for this one, such as {out / 'NAME'}."
        )
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
        replaced = Path(temporary) / "replaced"
        try:
            if out.exists():
                out.rename(replaced)
            fresh.rename(out)
        except BaseException:  # a Ctrl-C between the two, or a failing disk
            if replaced.exists() and not out.exists():
                replaced.rename(out)
            raise
