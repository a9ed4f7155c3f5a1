"""appliance/daemon/file_systems.py: on what a path lies."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.daemon import file_systems
from appliance.daemon.file_systems import fs_type, holds_a_database, tells_of_changes, type_of_mount

TABLE = b"""\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 27 0:50 / /srv/cam\\040era\\040-\\040x rw,relatime shared:1 master:2 - cifs //10.0.0.2/a\\040-\\040b rw
41 27 0:51 / /mnt/usb rw - fuse.sshfs me@there:/ rw
"""


@pytest.mark.parametrize(
    ("number", "kind"), [(22, "proc"), (27, "ext4"), (40, "cifs"), (41, "fuse.sshfs"), (2, "unknown")]
)
def test_the_table_of_mounts_is_read(number: int, kind: str) -> None:
    """Optional fields before the dash, and spaces in names, which the kernel escapes."""
    assert type_of_mount(TABLE, number) == kind


def test_what_is_known_of_this_machine() -> None:
    """The kernel's own, as on every Linux."""
    assert fs_type(Path("/proc/self/status")) == "proc"
    assert not tells_of_changes(Path("/proc"))


def test_a_path_that_is_not_there_is_where_it_would_be_made(tmp_path: Path) -> None:
    """A state_dir before the first start, say; relative ones likewise."""
    assert fs_type(tmp_path / "a" / "b") == fs_type(tmp_path)
    assert fs_type(Path("no-such-folder")) == fs_type(Path.cwd())


def test_a_link_counts_for_what_it_leads_to(tmp_path: Path) -> None:
    """Photos behind a link to a share are on the share."""
    (tmp_path / "link").symlink_to("/proc")
    assert fs_type(tmp_path / "link") == "proc"


def test_a_link_to_nowhere_is_unknown(tmp_path: Path) -> None:
    """And is polled."""
    (tmp_path / "link").symlink_to("gone")
    assert fs_type(tmp_path / "link") == "unknown"
    assert not tells_of_changes(tmp_path / "link")


def test_without_the_table_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sandbox that hides it: then it is polled."""
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "none")
    assert fs_type(tmp_path) == "unknown" and not tells_of_changes(tmp_path)


@pytest.fixture
def covered(tmp_path: Path) -> Iterator[Path]:
    """A folder with a tmpfs on it, and a second one on that."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting needs root")
    for kind in ("tmpfs", "ramfs"):
        done = subprocess.run([mount, "-t", kind, kind, tmp_path], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("no mounts in this sandbox")
    yield tmp_path
    for _ in range(2):
        assert ctypes.CDLL(None).umount(os.fsencode(tmp_path)) == 0


def test_of_two_mounts_on_one_place_the_upper_counts(covered: Path) -> None:
    """Names alone would not tell."""
    assert fs_type(covered / "new") == "ramfs"


@pytest.mark.parametrize(
    ("kind", "tells", "holds"),
    [
        ("ext4", True, True),
        ("xfs", True, True),
        ("btrfs", True, True),
        ("tmpfs", True, True),
        ("overlay", False, True),
        ("nfs4", False, False),
        ("cifs", False, False),
        ("fuse.sshfs", False, False),
        ("fuseblk", False, False),
        ("9p", False, False),
        ("of-tomorrow", False, True),
    ],
)
def test_kinds_and_what_they_are_good_for(
    kind: str, tells: bool, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not known is polled, which is always right."""
    monkeypatch.setattr(file_systems, "fs_type", lambda path: kind)
    assert tells_of_changes(Path("/any")) is tells
    assert holds_a_database(kind) is holds
