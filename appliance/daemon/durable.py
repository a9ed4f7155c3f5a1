"""Changes of the service's own files that are there after a power cut, or were never made."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from appliance.errors import GoodpartsError


class StateError(GoodpartsError):
    """The service's own folder cannot be read or changed, or another process is changing it."""


def cannot(path: Path, error: OSError, *, so: str = "nothing was changed") -> StateError:
    """What a person is told of an OSError at `path`; `so`: what came of it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StateError(f"{path}: the disk is full; {so}. Free some space and try again.")
    if error.errno == errno.EROFS:
        return StateError(f"{path}: its file system is read-only; {so}. Mount it for writing and try again.")
    return StateError(f"{path}: {error.strerror or error}; {so}. Check the folder and its rights.")


def append_line(path: Path, line: str) -> int:
    """Add a line that is on the disk on return; returns the file's size before, for `cut`.

    OSError leaves the file as it was, or with a torn last line, which the next line does not join.
    """
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        give_to_owner_of(path.parent, file)
        size = os.fstat(file).st_size
        torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        data = (b"\n" if torn else b"") + line.encode("utf-8") + b"\n"
        try:
            if os.write(file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))
            os.fsync(file)
        except OSError:
            os.ftruncate(file, size)
            raise
    finally:
        os.close(file)
    return size


def cut(path: Path, size: int) -> None:
    """Take back what was appended since the file had this size."""
    os.truncate(path, size)


def point_link(link: Path, target: str) -> None:
    """Make the symbolic link name `target`, in one step: whoever reads it finds the old one or the new one.

    On the disk for certain only after `sync` of its folder.
    """
    draft = link.with_name(f".{link.name}-new")
    draft.unlink(missing_ok=True)  # left by a process that died here
    draft.symlink_to(target)
    try:
        draft.replace(link)
    except OSError:
        draft.unlink()
        raise


def write_durably(path: Path, data: bytes) -> None:
    """The whole file or none, on the disk when this returns. Folders above it are made; names that begin
    with a dot are drafts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Put a file's contents, or a folder's list of names, on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """All files below `folder`, and the folders themselves."""
    for place, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            sync(Path(place) / name)
        sync(Path(place))


def _raise(error: OSError) -> None:
    raise error


def give_to_owner_of(folder: Path, file: int) -> None:
    """What an administrator's command makes in the service's folder, the service must be able to change."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(file, owner.st_uid, owner.st_gid)
