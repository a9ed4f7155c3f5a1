"""On what kind of file system a path lies: whether it tells of changes, and whether it holds a database.

Asked is the kernel's table of mounts, by the number of the very mount that the path lies on: mounts can
cover each other, so names alone can mislead.
"""

from __future__ import annotations

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
UNKNOWN = "unknown"

# inotify(7) tells of all changes on these, since nobody but this machine's kernel makes them. Not on others:
# changes by other machines (NFS, SMB), below a container's layers (overlay) or by a program that is the file
# system (FUSE) come without an event. What is not named is polled: that is slower and always right.
TELLS = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "nilfs2", "bcachefs", "reiserfs"}
    | {"tmpfs", "ramfs", "vfat", "exfat", "ntfs3"}
)
# SQLite's write-ahead log shares memory between processes through a file, which these do not offer, or not
# between two machines: https://www.sqlite.org/wal.html
NETWORKED = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs"}
    | {"gfs2", "ocfs2", "9p", "v9fs", "virtiofs", "vboxsf", "prl_fs", "vmhgfs", "drvfs", "autofs"}
)


def fs_type(path: Path) -> str:
    """Such as `ext4`, `nfs4` or `fuse.sshfs`; of a path that is not there, where it would be made."""
    try:
        handle = os.open(_nearest(path), os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return UNKNOWN
    try:
        information = Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii")
        return type_of_mount(MOUNTS.read_bytes(), _mount_number(information))
    except (OSError, ValueError):
        return UNKNOWN
    finally:
        os.close(handle)


def tells_of_changes(path: Path) -> bool:
    """Whether events of the file system can be relied on below `path`; where not, it is to be polled."""
    return fs_type(path) in TELLS


def holds_a_database(kind: str) -> bool:
    """Whether SQLite's write-ahead log is safe on this kind of file system."""
    return kind not in NETWORKED and not kind.startswith("fuse")


def type_of_mount(mounts: bytes, number: int) -> str:
    """mounts: what /proc/PID/mountinfo holds (proc(5)): number, …, `-`, type, source, options."""
    for line in mounts.splitlines():
        before, separator, after = line.partition(b" - ")
        if separator and before.split()[:1] == [b"%d" % number]:
            return after.split()[0].decode("ascii", "backslashreplace")
    return UNKNOWN


def _mount_number(information: str) -> int:
    """information: what /proc/PID/fdinfo/FD holds. ValueError if it does not say."""
    for line in information.splitlines():
        name, _, value = line.partition(":")
        if name == "mnt_id":
            return int(value)
    raise ValueError("no mnt_id")


def _nearest(path: Path) -> Path:
    path = path.absolute()
    return next((place for place in (path, *path.parents) if os.path.lexists(place)), Path("/"))
