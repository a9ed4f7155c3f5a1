"""Runs a command under the calls that a unit allows, by the kernel's own filter: systemd need not run for it.

    python -m tests.unit_sandbox UNIT COMMAND...

Read from the unit: SystemCallFilter, SystemCallErrorNumber, RestrictAddressFamilies, MemoryDenyWriteExecute,
NoNewPrivileges and an empty CapabilityBoundingSet. systemd turns the same lines into the same filter.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ALLOW = 0x7FFF0000
EQUAL, MASKED_EQUAL = 4, 7
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
WRITE, EXECUTE = 2, 4  # of mmap and mprotect
_ENTRY = re.compile(r"^    (@?[\w-]+)$", re.MULTILINE)


class _Compare(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def values(unit: Path, key: str) -> list[str]:
    """All values of a key, in the order of the file."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def allowed_calls(unit: Path) -> set[str]:
    """The system calls that SystemCallFilter leaves, its groups looked up in the systemd of this machine."""
    calls: set[str] = set()
    for value in values(unit, "SystemCallFilter"):
        names = {call for name in value.removeprefix("~").split() for call in _members(name)}
        calls = calls - names if value.startswith("~") else calls | names
    return calls


def _members(name: str) -> Iterator[str]:
    if not name.startswith("@"):
        yield name
        return
    command = ["systemd-analyze", "--no-pager", "syscall-filter", name]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for entry in _ENTRY.findall(listed):
        yield from _members(entry)


def confine(unit: Path) -> None:
    """From here on this process and its children can do what the unit allows, for good."""
    assert values(unit, "SystemCallErrorNumber") == ["EPERM"]
    assert values(unit, "NoNewPrivileges") == ["yes"]
    assert values(unit, "CapabilityBoundingSet") == [""]
    calls = allowed_calls(unit)
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    _load_filter(calls, conditions(unit))


def conditions(unit: Path) -> dict[str, list[tuple[int, int, int, int]]]:
    """Calls that are allowed with some arguments only: (argument, operator, a, b), any of which suffices."""
    found: dict[str, list[tuple[int, int, int, int]]] = {}
    families = [name for value in values(unit, "RestrictAddressFamilies") for name in value.split()]
    if families:
        found["socket"] = [(0, EQUAL, int(getattr(socket, name)), 0) for name in families]
    if values(unit, "MemoryDenyWriteExecute") == ["yes"]:
        both = WRITE | EXECUTE
        found["mmap"] = [(2, MASKED_EQUAL, both, value) for value in (0, WRITE, EXECUTE)]
        found["mprotect"] = found["pkey_mprotect"] = [(2, MASKED_EQUAL, EXECUTE, 0)]
    return found


def _load_filter(calls: Iterable[str], limited: dict[str, list[tuple[int, int, int, int]]]) -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(0x00050000 | errno.EPERM))
    for call in sorted(calls):
        number = library.seccomp_syscall_resolve_name(call.encode())
        for rule in limited.get(call, [None]):
            compare = (_Compare * 1)(*([_Compare(*rule)] if rule else []))
            if number >= 0:  # others are of other processors
                code = library.seccomp_rule_add_array(context, ALLOW, number, 1 if rule else 0, compare)
                assert code == 0, (call, code)
    assert library.seccomp_load(context) == 0


def main() -> None:
    confine(Path(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
