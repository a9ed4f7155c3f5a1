"""The folder of a replay: whose it is, what lies where, one replay at a time.

replay.json, replay.html, tables/   what came of it, written when everything is done
units/TASK/seed-N-KEY/              one task at one seed; KEY stands for all that it depends on
cache/                              unless another folder is given
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.deliver import folder_name
from appliance.errors import GoodpartsError, UsageError
from appliance.run_folder import REPLAY, check_place

FORMAT = 3  # of the units; raise it when older ones cannot be read, or would be computed otherwise
JSON, PAGE, TABLES, UNITS, CACHE = "replay.json", "replay.html", "tables", "units", "cache"
OF_A_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)  # told without a file's name
SHOWN_DIGITS = 16  # of a unit's key in its folder's name


class Workplace:
    """The folder given by `--out`, which this process holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def unit(self, task: str, seed: int, key: str) -> Path:
        return self.folder / UNITS / folder_name(task) / f"seed-{seed}-{key[:SHOWN_DIGITS]}"

    def check_free(self, fingerprint: str, *, force: bool) -> None:
        """UsageError if a finished replay of something else lies here."""
        path = self.folder / JSON
        if force or not path.exists():
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))["fingerprint"]
        except (ValueError, KeyError, TypeError):
            found = None
        if found != fingerprint:
            raise UsageError(
                f"--out {self.folder}: holds a replay of other photos, settings, engines or seeds. Give "
                "another folder, or --force to replace its figures; what it computed stays."
            )

    def write(self, name: str, text: str) -> None:
        """A file beside its place, then moved there."""
        path = self.folder / name
        draft = path.with_name(f".{path.name}.tmp")
        path.parent.mkdir(exist_ok=True)
        try:
            with draft.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def write_json(self, result: Mapping[str, Any]) -> None:
        """NaN is refused: JSON has none."""
        self.write(JSON, json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def workplace(out: Path, root: Path) -> Iterator[Workplace]:
    """Claim `out` for this process; `root` holds the photos.

    UsageError if it is a file, holds something else, lies among the photos, is another release's or is in
    use; a GoodpartsError names the disk's fault.
    """
    check_out(out, root)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / ".lock").open("w") as lock:
            _hold(lock.fileno(), out)
            _mark(out)
            yield Workplace(out)
    except OSError as error:
        if error.filename is None and error.errno not in OF_A_DISK:
            raise  # no process could be started, for one
        raise _unwritable(out, error) from error


def check_out(out: Path, root: Path) -> None:
    """UsageError if `out` is a file, holds something else or lies among the photos of `root`."""
    check_place(out)
    if out.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"--out {out}: lies among the photos of {root}, and would be read as one of its folders. "
            "Give a folder elsewhere."
        )
    if out.is_dir() and not (out / REPLAY).is_file() and any(p.name != ".lock" for p in out.iterdir()):
        raise UsageError(f"--out {out}: holds files that are no replay's. Give a new or empty folder.")


def _hold(lock: int, out: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(f"--out {out}: another replay works there. Wait for it, or give another.") from error


def _mark(out: Path) -> None:
    mark, said = out / REPLAY, str(FORMAT)
    if not mark.exists():
        mark.write_text(f"{said}\n", encoding="utf-8")
    found = mark.read_text(encoding="utf-8").strip()
    if found != said:
        raise UsageError(
            f"--out {out}: is a replay of another release (format {found}, this one writes {said}). "
            "Give another folder; nothing there was changed."
        )


def _unwritable(out: Path, error: OSError) -> GoodpartsError:
    kept = "Finished tasks are kept: run the same command again."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return GoodpartsError(f"{out}: the disk is full. Free some space. {kept}")
    where = f" ({error.filename})" if error.filename else ""
    return GoodpartsError(f"{out}: cannot be written: {error.strerror or error}{where}. {kept}")
