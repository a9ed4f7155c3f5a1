"""Installs a bundle of engines: wholly, or not at all.

DIR            a link to the installed bundle; it is what engines.folders names
.DIR-HASH      an installed bundle, never changed: HASH is of its list of files
.DIR-HASH.2    the same again, where the first was damaged afterwards
.DIR-unfinished-…   left by an import that was killed; the next one removes it

The link is replaced in one step, so at every moment DIR is the old bundle or the new one. The one
before is kept.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle_archive import check_space, differing, read_list, sync, unpack
from appliance.errors import GoodpartsError, UsageError
from appliance.progress import Progress
from engines.bundle import WHEELS, Bundle

HASH_LETTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    bundle: Bundle
    sha256: str  # of the list of files
    out: Path
    changed: bool  # False: this bundle was installed already, and is whole
    previous: Path | None  # what `out` was before


def import_bundle(path: Path, out: Path, progress: Progress) -> Installed:
    """Make `out` the bundle in `path`. BundleError, and `out` as it was, if anything is not as listed."""
    out = Path(os.path.abspath(out))  # noqa: PTH100  # resolve() would follow the link that `out` is
    _check_out(out)
    bundle, sha256 = read_list(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _locked(out.parent, out):
        before = _target(out)
        _remove(_leftovers(out))
        whole = _whole_place(bundle, sha256, out, before, progress)
        place = whole or _new_place(path, bundle, sha256, out, progress)
        if place != before:
            _point(out, place)
            _remove(folder for folder in _places(out) if folder not in (place, before))
    return Installed(
        bundle=bundle,
        sha256=sha256,
        out=out,
        changed=place != before,
        previous=before if before and before.is_dir() and before != place else None,
    )


def closing_words(done: Installed) -> str:
    """What was installed and what a person does next."""
    bundle, out = done.bundle, done.out
    state = "installed" if done.changed else "already installed, and whole"
    lines = [f"{out}: {state}: engines {', '.join(bundle.engines)}", f"bundle {done.sha256}"]
    lines += ["name the folder in the settings:", "  engines:", f"    folders: [{_in_yaml(out)}]"]
    if bundle.extra:
        lines += [
            f"to update Goodparts from its wheels{_python_words(bundle)}:",
            f"  {_pip_command(bundle, out)}",
        ]
    if done.previous is not None:
        back = shlex.join(["ln", "-sfn", done.previous.name, str(out)])
        lines += ["the engines before are kept; to go back to them:", f"  {back}"]
    return "\n".join(lines)


def _in_yaml(path: Path) -> str:
    """Quoted where a person at a shell would quote it too."""
    text = str(path)
    return text if shlex.quote(text) == text else json.dumps(text, ensure_ascii=False)


def _python_words(bundle: Bundle) -> str:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not bundle.python or bundle.python == here:
        return ""
    return f" (they are for Python {bundle.python}, this is {here}: they will not fit)"


def _pip_command(bundle: Bundle, out: Path) -> str:
    options = ["--no-index", "--find-links", str(out / WHEELS), "--upgrade", f"goodparts[{bundle.extra}]"]
    return shlex.join([sys.executable, "-m", "pip", "install", *options])


def _check_out(out: Path) -> None:
    """UsageError where `out` is something that an import did not make."""
    if out == out.parent:
        raise UsageError(f"--out {out}: is the root folder. Give a folder of its own for the engines.")
    if out.is_symlink():
        if _target(out) is None:
            raise UsageError(
                f"--out {out}: is a link to {out.readlink()}, which no import made. Give another folder."
            )
        return
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(
            f"--out {out}: is a folder with things in it. Give a new name, or move it away: import makes a "
            "link there, which it can change in one step."
        )
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file. Give the name of a folder.")


def _target(out: Path) -> Path | None:
    """The installed bundle that `out` points to, even if it is gone; None if it points to none."""
    if not out.is_symlink():
        return None
    place = out.parent / out.readlink()
    return place if _is_place(out, place) else None


def _is_place(out: Path, place: Path) -> bool:
    name = rf"\.{re.escape(out.name)}-[0-9a-f]{{{HASH_LETTERS}}}(\.\d+)?"
    return place.parent == out.parent and re.fullmatch(name, place.name) is not None


def _places(out: Path) -> list[Path]:
    return [path for path in sorted(out.parent.iterdir()) if _is_place(out, path) and path.is_dir()]


def _leftovers(out: Path) -> list[Path]:
    return [path for path in out.parent.iterdir() if path.name.startswith(_draft_prefix(out))]


def _draft_prefix(out: Path) -> str:
    return f".{out.name}-unfinished-"


def _whole_place(
    bundle: Bundle, sha256: str, out: Path, current: Path | None, progress: Progress
) -> Path | None:
    """A folder with this very bundle, every file of it checked; the current one if it is whole."""
    known = [path for path in _places(out) if path.name.startswith(f".{out.name}-{sha256[:HASH_LETTERS]}")]
    for place in sorted(known, key=lambda path: path != current):
        wrong = differing(bundle, place, progress)
        if wrong is None:
            return place
        progress.say(f"{place / wrong}: is not what was installed; the bundle is installed again")
    return None


def _new_place(path: Path, bundle: Bundle, sha256: str, out: Path, progress: Progress) -> Path:
    """The bundle, checked and on the disk, in a folder that appears under its name when it is whole."""
    check_space(bundle, out.parent)
    place = _free_place(out, sha256)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=_draft_prefix(out)) as draft:
        folder = Path(draft) / "bundle"
        folder.mkdir()
        unpack(path, bundle, sha256, folder, progress)
        folder.rename(place)
    sync(out.parent)
    return place


def _free_place(out: Path, sha256: str) -> Path:
    place = first = out.with_name(f".{out.name}-{sha256[:HASH_LETTERS]}")
    for number in itertools.count(2):
        if not place.exists():
            break
        place = first.with_name(f"{first.name}.{number}")
    return place


def _point(out: Path, place: Path) -> None:
    """Make `out` a link to `place`, in one step."""
    link = out.with_name(f"{_draft_prefix(out)}link")
    link.symlink_to(place.name)
    if out.is_dir() and not out.is_symlink():
        out.rmdir()  # an empty folder: it was looked at before
    link.replace(out)
    sync(out.parent)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _locked(parent: Path, out: Path) -> Iterator[None]:
    """One import at a time in a folder; a lock on the folder itself leaves no file behind."""
    handle = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(handle, out)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, out: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise GoodpartsError(f"{out}: another import is at work beside it. Wait for it to end.") from error
