"""The folder of one calibration: written beside its place, moved there whole, `result.json` last.

result.json   what was decided and from what; its presence says that the run is complete
report.html   for a person
scores.csv    every score behind the decision
anomalies/    some of the synthetic anomalies, with thumbnails of their parents
screened/     thumbnails of the photos that were screened out, where there are any
banks/        one folder for each candidate: what it needs to score
contest.json  of a later calibration in the service: how it was judged beside the detector before
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.errors import GoodpartsError, UsageError

RESULT = "result.json"
REPORT = "report.html"
SCORES = "scores.csv"
ANOMALIES = "anomalies"
BANKS = "banks"
CONTEST = "contest.json"
SCREENED = "screened"
ENTRIES = (REPORT, SCORES, ANOMALIES, BANKS, RESULT)  # that every run has
OPTIONAL = (CONTEST, SCREENED)  # that some have
REPLAY = "goodparts-replay"  # the file that marks the folder of a replay
SCHEMA_VERSION = 1
NAME_KEPT = 40  # letters of a run's name in that of its draft: file systems allow 255 bytes in all
NEEDED = ("chosen", "candidates", "threshold", "aspect", "software")  # by those who read a result


def check_output(out: Path, *, force: bool, images: Path | None = None) -> None:
    """Before any work: can the run on the photos in `images` be put at `out`? UsageError says why not."""
    check_place(out)
    if images is not None and out.exists() and images.exists() and out.samefile(images):
        raise UsageError(
            f"--out {out}: is the folder of the photos. Give another one: the next calibration would take "
            "the result's pictures for good parts."
        )
    if (out / RESULT).exists() and not force:
        raise UsageError(
            f"--out {out}: already holds a result. Give another folder, or --force to replace it."
        )
    taken = [name for name in ENTRIES if (out / name).exists()]
    if taken and not (out / RESULT).exists():
        raise UsageError(f"--out {out}: holds {taken[0]} but no result. Give a new or empty folder.")


def check_place(out: Path) -> None:
    """UsageError if no folder can be there, whoever makes it."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file. Give the name of a folder, new or empty.")
    for path in (out, *out.parents):
        if path.is_symlink() and not path.exists():
            where = "" if path == out else f"{path} is "
            gone = f"{where}a link to {path.readlink()}, which is not there"
            raise UsageError(f"--out {out}: {gone}. Give another folder.")
    if not (above := _nearest(out)).is_dir():
        raise UsageError(f"--out {out}: {above} is a file. Give the name of a folder, new or empty.")


@contextmanager
def writing(out: Path) -> Iterator[Path]:
    """A temporary folder that becomes `out` when the block ends well, and vanishes when it does not.

    It lies beside `out`, or in it where it exists: a mounted folder is another file system than its parent.
    Folders above `out` that are missing are made at the end.
    Files in `out` that are not a run's own are left alone. OSError (disk full, no rights) becomes a
    GoodpartsError that names the place.
    """
    try:
        prefix = f".{out.name[:NAME_KEPT]}-unfinished-"
        draft = Path(tempfile.mkdtemp(prefix=prefix, dir=out if out.is_dir() else _nearest(out)))
    except OSError as error:
        raise _write_error(out, error) from error
    replaces = (out / RESULT).exists()
    try:
        yield draft
        if (out / RESULT).exists() and not replaces:
            raise UsageError(
                f"--out {out}: another calibration has put its result there meanwhile; it was not replaced. "
                "Give another folder and run it again."
            )
        _move_into_place(draft, out)
    except OSError as error:
        raise _write_error(out, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write result.json and make sure that it is on the disk. NaN is refused: JSON has none."""
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    # A path of the settings may hold bytes that are not UTF-8: Python's escape of them is also JSON's.
    with (folder / RESULT).open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_result(run: Path) -> dict[str, Any]:
    """The result of a complete run. UsageError if `run` is not one."""
    path = run / RESULT
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = "Give the folder that `goodparts calibrate` wrote."
        raise UsageError(
            f"--result {run}: no {RESULT} there, so this is not a finished run. {hint}"
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}). Calibrate again.") from error
    version = result.get("schema_version") if isinstance(result, dict) else None
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{path}: schema_version {version}, this release reads {SCHEMA_VERSION}. Calibrate again."
        )
    missing = [key for key in NEEDED if key not in result]
    if missing:
        raise UsageError(
            f"{path}: {', '.join(missing)} missing. Copy the run folder again, or calibrate again."
        )
    return result


def is_run_folder(folder: Path) -> bool:
    """Whether pictures below `folder` are a run's or a replay's own, and no photos; also of a run that lost
    its result."""
    is_run = (folder / ANOMALIES).is_dir() and (folder / SCORES).is_file()
    return is_run or (folder / REPLAY).is_file()


def _nearest(out: Path) -> Path:
    """The nearest folder above `out` that is there."""
    return next((path for path in out.parents if path.exists()), out)


def _move_into_place(draft: Path, out: Path) -> None:
    draft.chmod(0o755)  # mkdtemp makes it private
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        draft.rename(out)
        return
    # A replaced run stops being a run before it loses anything else, and is one again with the last move.
    (out / RESULT).unlink(missing_ok=True)
    for name in OPTIONAL:  # of the old run: the new one may have none
        _remove(out / name)
    for entry in sorted(draft.iterdir(), key=lambda path: path.name == RESULT):
        _remove(out / entry.name)
        entry.rename(out / entry.name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_error(out: Path, error: OSError) -> GoodpartsError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return GoodpartsError(f"{out}: the disk is full; nothing was kept. Free some space and run it again.")
    where = f" ({error.filename})" if error.filename else ""
    return GoodpartsError(
        f"{out}: cannot be written: {error.strerror or error}{where}. Check the folder's rights."
    )
