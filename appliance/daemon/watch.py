"""One folder between two looks: which files are new, which have settled, and whether the folder is there.

The listing is the truth. Events of the file system only say where to look first; a look at everything follows
in any case, since events get lost, and do not come at all from network shares. A file has settled when two
looks find it unchanged; whether it is whole is then for the decoder to say.
"""

from __future__ import annotations

import base64
import os
import stat
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from appliance.daemon.ledger import Identity
from appliance.photo_files import (
    Entry,
    NamedEntry,
    PhotoFile,
    Refusal,
    below,
    has_photo_suffix,
    is_left_out,
    judge,
    shown_name,
    walk,
)

RETRY_S = 1.0  # until a settled file that does not decode is read again; doubled each time
GIVE_UP_S = 60.0  # after so long unchanged it will not become whole any more
MOST_DOUBLINGS = 10  # a file that may not be read is tried for months: more would be too large for a number
DUE_AT_ONCE = 256  # settled files that one look asks for again: of 100,000 each step would look at all


# An identity as it is kept in mind: there may be 100,000, and five numbers of Python take three times this.
_PACKED = struct.Struct("<QQqqq")


class SourceLost(Exception):  # noqa: N818 - named for what it is
    """The folder cannot be looked into, or what was mounted there is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that has settled."""

    path: Path
    raw: bytes  # the path below the folder
    name: str  # the same for people
    identity: Identity
    unchanged_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An entry that no look at its contents would make a photo, such as a link that leaves the folder."""

    raw: bytes
    identity: Identity
    refusal: Refusal


@dataclass(slots=True, kw_only=True)
class Look:
    """What a look found that is for others to do something about."""

    settled: list[Found] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    gone: list[bytes] = field(default_factory=list)
    seen: list[tuple[bytes, Identity]] = field(default_factory=list)  # new, or changed since the last look
    overwritten: int = 0  # of these, files that had been dealt with as they were before


@dataclass(slots=True)
class _Pending:
    identity: Identity
    since: float
    not_before: float
    tries: int = 0


class Watch:
    """Times are those of one monotonic clock: that of the wall may jump."""

    def __init__(
        self,
        folder: Path,
        *,
        settle_s: float,
        follow_links: bool = False,
        ignore: Sequence[str] = (),
        known: Iterable[tuple[bytes, Identity]] = (),
    ) -> None:
        """known: files that were dealt with, as they were then."""
        self.folder = folder
        self._settle_s = settle_s
        self._follow_links = follow_links
        self._ignore = tuple(ignore)
        self._known = {raw: _PACKED.pack(*identity) for raw, identity in known}
        self._pending: dict[bytes, _Pending] = {}
        first = next(iter(self._known.values()), None)
        self._device = None if first is None else _unpacked(first).device

    @property
    def waiting(self) -> int:
        """Files that have not settled."""
        return len(self._pending)

    @property
    def fresh(self) -> int:
        """Of these, those that were not yet tried."""
        return sum(pending.tries == 0 for pending in self._pending.values())

    def look(self, now: float, *, only: Iterable[str] | None = None) -> Look:
        """At everything, or `only` at these paths and at files that may have settled.

        Raises SourceLost. What it returns as settled comes again with every look until `done` or `later`.
        """
        root = self._root()
        found = Look()
        if only is None:
            self._look_at_all(root, now, found)
        else:
            due = islice(self._due(now), DUE_AT_ONCE)
            paths = {*only, *(os.path.join(root, os.fsdecode(raw)) for raw in due)}  # noqa: PTH118
            for path in sorted(paths):
                self._look_at(path, root, now, found)
        return found

    def next_due_s(self, now: float) -> float | None:
        """Seconds until a file may have settled; None while none is waiting."""
        due = min((pending.not_before for pending in self._pending.values()), default=None)
        return None if due is None else max(0.0, due - now)

    def done(self, raw: bytes, identity: Identity) -> None:
        """The file was dealt with, as it was then: it comes again only if it changes."""
        self._known[raw] = _PACKED.pack(*identity)
        self._pending.pop(raw, None)

    def later(self, found: Found, now: float) -> bool:
        """Have a settled file come again only after a while. False: it has been unchanged for so long that it
        will not become whole any more."""
        pending = self._pending.setdefault(found.raw, _Pending(found.identity, since=now, not_before=now))
        pending.not_before = now + min(RETRY_S * 2 ** min(pending.tries, MOST_DOUBLINGS), GIVE_UP_S)
        pending.tries += 1
        return found.unchanged_s < GIVE_UP_S

    def _root(self) -> str:
        root = os.path.realpath(self.folder)
        try:
            status = os.stat(root)  # noqa: PTH116 - as the walk
            is_empty = _is_empty(root)
        except OSError as error:
            raise SourceLost(_said(self.folder, error)) from error
        if is_empty and self._known and self._device not in (None, status.st_dev):
            raise SourceLost(
                f"{self.folder}: nothing is mounted there any more. Mount the share again; nothing is lost."
            )
        if not is_empty:
            self._device = status.st_dev
        return root

    def _look_at_all(self, root: str, now: float, found: Look) -> None:
        present: set[bytes] = set()
        closed: list[bytes] = []  # folders that could not be listed: what was in them is not gone
        try:
            for item in walk(root, follow_links=self._follow_links, ignore=self._ignore):
                if isinstance(item, Refusal):
                    closed.append(_raw_name(item))
                else:
                    self._meet(item, root, now, found, present)
        except OSError as error:
            raise SourceLost(_said(self.folder, error)) from error
        if present:  # a folder that is suddenly empty may be a share that went: its files are kept in mind
            self._miss(present, closed, found)

    def _miss(self, present: set[bytes], closed: Sequence[bytes], found: Look) -> None:
        for raw in [*(self._known.keys() - present), *(self._pending.keys() - present)]:
            if not raw.startswith(tuple(closed)):
                self._known.pop(raw, None)
                self._pending.pop(raw, None)
                found.gone.append(raw)

    def _look_at(self, path: str, root: str, now: float, found: Look) -> None:
        """At one file, or at all below a folder; what is not there is left to the next look at everything."""
        if not path.startswith(root) or is_left_out(path, root, self._ignore):
            return
        entry = NamedEntry(path)
        if entry.is_dir() and not entry.is_symlink():
            for raw, inner in _below(path, self._follow_links, self._ignore):
                if not is_left_out(inner.path, root, self._ignore):
                    self._meet(inner, root, now, found, {raw})
        else:
            self._meet(entry, root, now, found, set())

    def _meet(self, entry: Entry, root: str, now: float, found: Look, present: set[bytes]) -> None:
        if not has_photo_suffix(entry.name):
            return
        raw = below(entry.path, root)
        try:
            status = entry.stat(follow_symlinks=entry.is_symlink() and os.path.exists(entry.path))  # noqa: PTH110
        except OSError:  # gone between listing and asking
            self._pending.pop(raw, None)
            return
        present.add(raw)
        identity = identity_of(status)
        known = self._known.get(raw)
        if known is not None and is_same(_unpacked(known), identity):
            return
        pending = self._pending.get(raw)
        if pending is None or pending.identity != identity:
            self._pending[raw] = _Pending(identity, since=now, not_before=now + self._settle_s)
            found.seen.append((raw, identity))
            found.overwritten += known is not None
        elif now >= pending.not_before:
            self._settle(entry, root, raw, status, now - pending.since, found)

    def _settle(
        self, entry: Entry, root: str, raw: bytes, status: os.stat_result, unchanged_s: float, found: Look
    ) -> None:
        identity = identity_of(status)
        if stat.S_ISREG(status.st_mode) and not entry.is_symlink():
            name = shown_name(raw)[0]
            judged: object = PhotoFile(path=Path(entry.path), name=name, name_b64=None, is_link=False)
        else:
            judged = judge(entry, root, follow_links=self._follow_links)
        if isinstance(judged, PhotoFile):
            found.settled.append(
                Found(
                    path=judged.path,
                    raw=raw,
                    name=judged.name,
                    identity=identity,
                    unchanged_s=unchanged_s,
                )
            )
        elif isinstance(judged, Refusal):
            found.refused.append(Refused(raw=raw, identity=identity, refusal=judged))
        else:
            self.done(raw, identity)

    def _due(self, now: float) -> Iterator[bytes]:
        return (raw for raw, pending in list(self._pending.items()) if pending.not_before <= now)


def identity_of(status: os.stat_result) -> Identity:
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _unpacked(packed: bytes) -> Identity:
    return Identity(*_PACKED.unpack(packed))


def is_same(old: Identity, new: Identity) -> bool:
    """Whether a file is the one that was dealt with.

    A share that was mounted again has another device, and may number its files anew: then size and time of
    change tell.
    """
    if old == new:
        return True
    return old.device != new.device and (old.size, old.mtime_ns) == (new.size, new.mtime_ns)


def _is_empty(root: str) -> bool:
    with os.scandir(root) as entries:
        return next(entries, None) is None


def _below(folder: str, follow_links: bool, ignore: Sequence[str]) -> Iterator[tuple[bytes, Entry]]:
    try:
        for item in walk(folder, follow_links=follow_links, ignore=ignore):
            if not isinstance(item, Refusal):
                yield os.fsencode(item.path), item
    except OSError:
        return  # gone again: the next look at everything knows


def _raw_name(refusal: Refusal) -> bytes:
    """The bytes of a refused folder's name, with its slash."""
    if refusal.name_b64 is not None:
        return base64.b64decode(refusal.name_b64) + b"/"
    return refusal.name.encode()


def _said(folder: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"{folder}: there is no such folder. Mount the share again, or correct the setting."
    return f"{folder}: it cannot be looked into ({error.strerror}). Check the share and the rights."
