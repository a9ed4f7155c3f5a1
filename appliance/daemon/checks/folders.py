"""Folders: the rights in them, the space, the file systems, and whether the kernel can watch them all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from appliance.daemon.checks.finding import Case, Finding, fail, ok, read_text, warn
from appliance.daemon.file_systems import TELLS, holds_a_database
from appliance.daemon.places import Places
from appliance.photo_files import Refusal, has_photo_suffix, walk
from appliance.report.words import plural
from appliance.settings import StationSettings

# A run with 60 photos takes 14 to 23 MB and 200 to 250 files (measured on three calibrations); the banks of
# one with the 400 that intake.maximum allows have six times the rows.
RUN_BYTES = 100 << 20
RUN_FILES = 300
LEAST_BYTES = 512 << 20  # less, and a calibration and the log may fill the disk between two looks
WATCHES_SHARE = 0.8  # of the watches of a user that we may need: others have theirs
OBSERVER_FILES = 1  # inotify instances for each folder that is watched
OTHERS_INSTANCES = 16  # that other programs of the same user hold


def rights(case: Case) -> Iterator[Finding]:
    """As the user who asks: what this user may, the service may if it is the same one."""
    yield from _writable(case.settings.state_dir, "state_dir")
    for what, folder in (*watched_folders(case), *_foreign_folders(case)):
        yield _readable(folder, what)
    for station in case.stations:
        if station.scoring.images is not None:
            yield from _writable(verdicts_folder(case, station), f"station {station.name}: verdicts")
    if case.machine.user == 0:
        remedy = "Ask as the service's user: sudo -u goodparts goodparts doctor --config FILE"
        yield warn("rights", "asked as root, who may everything: rights were not really tested", remedy)


def verdicts_folder(case: Case, station: StationSettings) -> Path:
    return Places.of(case.settings.state_dir, station.name).verdicts_of(station.scoring)


def watched_folders(case: Case) -> Iterator[tuple[str, Path]]:
    """(which setting, folder) of all folders from which the service takes photos."""
    for station in case.stations:
        for setting, folder in (("images", station.images), ("scoring.images", station.scoring.images)):
            if folder is not None:
                yield f"station {station.name}: {setting}", folder


def _foreign_folders(case: Case) -> Iterator[tuple[str, Path]]:
    for station in case.stations:
        if station.generators.foreign.pictures is not None:
            yield f"station {station.name}: generators.foreign.pictures", station.generators.foreign.pictures


def _readable(folder: Path, what: str) -> Finding:
    """Looks into all folders, and into the first photo."""
    remedy = "Mount or make the folder, or give the service's user the right to read it."
    photo, closed = None, []
    try:
        for entry in walk(os.path.realpath(folder)):
            if isinstance(entry, Refusal):
                closed.append(entry.name)
            elif photo is None and has_photo_suffix(entry.name) and entry.is_file(follow_symlinks=False):
                photo = entry.path
        if photo is not None:
            with open(photo, "rb") as file:  # noqa: PTH123 - names of any bytes
                file.read(1)
    except OSError as error:
        said = f"{what}: {error.filename or folder} cannot be read ({error.strerror})"
        return fail("rights", said, remedy)
    if closed:
        said = f"{what}: {plural(len(closed), 'folder')} in {folder} cannot be listed, {closed[0]} for one"
        return warn("rights", said, "Give the service's user the right to read them.")
    return ok("rights", f"{what}: {folder} can be read")


def _writable(folder: Path, what: str) -> Iterator[Finding]:
    """Writes a file and takes it away again; where the folder is missing, where it would be made."""
    place = _nearest(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".goodparts-doctor-") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        said = f"{what}: {place} cannot be written ({error.strerror})"
        yield fail("rights", said, f"Make {folder}, owned by the service's user, on a disk that is not full.")
        return
    yield ok("rights", f"{what}: {folder} " + ("can be written" if place == folder else "can be made"))


def space(case: Case) -> Iterator[Finding]:
    """For the runs that are kept; inodes are counted too, since a disk can run out of them first."""
    folder = _nearest(case.settings.state_dir)
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    runs = sum(station.retention.runs + 1 for station in case.stations)
    wanted = LEAST_BYTES + runs * RUN_BYTES
    said = f"{folder}: {free / 2**30:.1f} GiB free, {runs} runs may take {wanted / 2**30:.1f}"
    remedy = "Free some space, put state_dir on a larger disk, or lower retention."
    if free < LEAST_BYTES:
        yield fail("space", said, remedy)
    else:
        yield warn("space", said, remedy) if free < wanted else ok("space", said)
    if status.f_files:  # btrfs and others make them as they need them
        files = runs * RUN_FILES
        said = f"{folder}: {status.f_favail} more files possible, {runs} runs may take {files}"
        enough = status.f_favail >= files
        yield ok("space", said) if enough else warn("space", said, "Delete small files on that disk.")


def file_systems(case: Case) -> Iterator[Finding]:
    state = case.settings.state_dir
    kind = case.machine.fs_type(state)
    if not holds_a_database(kind):
        said = f"state_dir {state} is on {kind}, on which the database would be damaged"
        yield fail("file_systems", said, "Put state_dir on a local disk, such as /var/lib/goodparts.")
    elif kind in ("overlay", "tmpfs", "ramfs"):
        said = f"state_dir {state} is on {kind}: all that was learned is gone with the container or the power"
        yield warn("file_systems", said, "Put state_dir on a disk, in a container on a volume.")
    else:
        yield ok("file_systems", f"state_dir {state} is on {kind}")
    for what, folder in watched_folders(case):
        kind = case.machine.fs_type(folder)
        how = "changes are told" if kind in TELLS else "no changes are told, it is polled"
        yield ok("file_systems", f"{what}: {folder} is on {kind}: {how}")


def inotify(case: Case) -> Iterator[Finding]:
    """One watch a folder below `images`. With too few the service looks by itself, which is slower."""
    limits = {name: _limit(case, name) for name in ("max_user_watches", "max_user_instances")}
    if any(limit is None for limit in limits.values()):
        remedy = "In a unit or container, let /proc/sys be seen (ProcSubset=all)."
        yield warn("inotify", "the limits of inotify cannot be read", remedy)
        return
    watched = [folder for _, folder in watched_folders(case) if case.machine.fs_type(folder) in TELLS]
    needed = {
        "max_user_watches": sum(map(count_folders, watched)),
        "max_user_instances": len(watched) * OBSERVER_FILES,
    }
    for name, limit in limits.items():
        allowed = limit or 0
        reserve = OTHERS_INSTANCES if name == "max_user_instances" else round(allowed * (1 - WATCHES_SHARE))
        said = f"fs.inotify.{name} is {allowed}, {needed[name]} are needed"
        line = f"fs.inotify.{name} = {max(2 * needed[name] + reserve, allowed * 2)}"
        remedy = f"Put `{line}` into /etc/sysctl.d/90-goodparts.conf, then: sysctl --system"
        enough = needed[name] + reserve <= allowed
        yield ok("inotify", said) if enough else warn("inotify", f"{said}: it is polled instead", remedy)


def count_folders(folder: Path) -> int:
    """The folder and all below it; 0 if it is not there."""
    waiting, count = [os.fspath(folder)] if os.path.isdir(folder) else [], 0  # noqa: PTH112 - as below
    while waiting:
        count += 1
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:  # gone, or not to be read
            waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return count


def _limit(case: Case, name: str) -> int | None:
    said = read_text(case.machine.root / "proc/sys/fs/inotify" / name)
    return int(said) if said is not None else None


def _nearest(folder: Path) -> Path:
    # Not Path.exists, which raises where a folder above is closed to whoever asks.
    return next((place for place in (folder, *folder.parents) if os.path.exists(place)), Path("/"))  # noqa: PTH110
