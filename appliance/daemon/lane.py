"""A lane: one folder's files, each dealt with once, from the first look to the ledger.

What is done with a settled file is the lane's `Handler`: photos of good parts are taken in, photos to judge
get a verdict. What a lane does about files is the same for both: a file that is still being written is read
again later, one that ends the process is not tried for ever, one that cannot serve is in the ledger with the
reason.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from appliance.daemon.ledger import FileState, Identity, Lane, Ledger
from appliance.daemon.logs import tell
from appliance.daemon.watch import Found, Look, Refused, Watch, identity_of
from appliance.decode import UnreadablePhoto
from appliance.errors import GoodpartsError
from appliance.photo_files import read_file
from engines.errors import EngineError

BATCH = 16  # files between two commits: a power cut makes that many be read again
MOST_ATTEMPTS = 3  # of a file that ends the process, as a decoder's fault would
# Not the photo's fault, and over when the share or the rights are mended: never final.
PASSING = ("unreadable_file", "vanished", "changed")
NOT_SCORED = "not_scored"  # a detector failed on it: perhaps for want of memory that is there a moment later
# What a file says that is still being written, or was cut off for good.
UNFINISHED = ("truncated", "empty", "unreadable", "not_an_image", NOT_SCORED)
# A full disk, a locked ledger, want of memory: as often as they last, no file is refused for them.
NOT_OF_THE_FILE = (GoodpartsError, EngineError, OSError, MemoryError)
FINAL: tuple[FileState, ...] = ("accepted", "rejected", "duplicate")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """What became of a file."""

    state: FileState
    sha256: str | None = None
    code: str | None = None
    reason: str | None = None


Record = Callable[[float], Handled]  # writes to the ledger what was found; the argument is the time


Outside = Callable[[], AbstractContextManager[None]]


class Handler(Protocol):
    """What is done with the bytes of a settled file."""

    def examine(self, found: Found, data: bytes) -> Record:
        """The work, outside any transaction: others write meanwhile. UnreadablePhoto if it cannot serve."""

    def refuse(self, found: Found, error: UnreadablePhoto, at: float) -> None:
        """The file will not serve; inside the ledger's transaction."""

    def lose(self) -> None:
        """Files that were dealt with were overwritten, or are gone; likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a lane did."""

    handled: int  # files dealt with for good
    more: bool  # there are settled files left


class FileLane:
    """Belongs to one thread. Times `now` are monotonic, `at` seconds since 1970."""

    def __init__(
        self,
        lane: Lane,
        ledger: Ledger,
        watch: Watch,
        handler: Handler,
        *,
        station: str,
        after_each: Callable[[], None] = lambda: None,
        outside: Outside = nullcontext,
    ) -> None:
        """after_each: called when a file is in the ledger. outside: around what a share may hang in."""
        self.lane = lane
        self.watch = watch
        self._ledger = ledger
        self._handler = handler
        self._station = station
        self._after_each = after_each
        self._outside = outside
        self._settled: list[Found] = []
        self._spared: dict[bytes, Identity] = {}  # files whose last attempt in the ledger does not count

    def look(self, now: float, at: float, *, only: Iterable[str] | None = None) -> Look:
        """Look at everything, or `only` at these paths. SourceLost."""
        with self._outside():
            look = self.watch.look(now, only=only)
        self._record(look, at)
        waiting = {found.raw for found in look.settled}
        self._settled = [found for found in self._settled if found.raw not in waiting] + look.settled
        return look

    @property
    def waiting(self) -> int:
        """Files that were seen and are not dealt with, but for those that are not whole for long."""
        return self.watch.fresh + len(self._settled)

    def step(self, now: float, at: float) -> Step:
        """Deal with some settled files. GoodpartsError if the ledger cannot be written: nothing is lost."""
        batch = self._next_batch()
        with self._ledger.together():
            for found, attempts in batch:
                self._begin(found, attempts, at)
        handled = 0
        for place, (found, attempts) in enumerate(batch):
            try:
                handled += self._deal(found, attempts, now, at)
            except NOT_OF_THE_FILE:
                self._spare(batch[place:])
                raise
            except Exception:
                self._spare(batch[place + 1 :])
                raise
            self._settled.remove(found)
            self._spared.pop(found.raw, None)
            self._after_each()
        return Step(handled=handled, more=bool(self._settled))

    def _spare(self, batch: Sequence[tuple[Found, int]]) -> None:
        """What was begun and not dealt with, by no fault of these files, does not count as their attempt."""
        self._spared.update((found.raw, found.identity) for found, _ in batch)

    def _attempts(self, found: Found) -> int:
        """How often the file was begun and ended the process, or failed by a fault that may be its own."""
        attempts = self._ledger.attempts_at(self.lane, found.raw, found.identity)
        return max(0, attempts - (self._spared.get(found.raw) == found.identity))

    def _next_batch(self) -> list[tuple[Found, int]]:
        """The next files with their earlier attempts. One that once ended the process goes by itself."""
        batch: list[tuple[Found, int]] = []
        for found in self._settled[:BATCH]:
            attempts = self._attempts(found)
            if attempts and batch:
                break
            batch.append((found, attempts))
            if attempts:
                break
        return batch

    def _begin(self, found: Found, attempts: int, at: float) -> None:
        self._ledger.put_file(self.lane, found.raw, found.identity, "settling", at=at, attempts=attempts + 1)

    def _deal(self, found: Found, attempts: int, now: float, at: float) -> bool:
        """Whether the file is done with."""
        try:
            if attempts >= MOST_ATTEMPTS:
                raise UnreadablePhoto("reading it ended the service again and again", "fatal")
            with self._outside():
                data = read_whole(found)
            record = self._handler.examine(found, data)
        except UnreadablePhoto as error:
            return self._refuse(found, error, now, at)
        with self._ledger.together():
            self._finish(found, record(at), at)
        return True

    def _refuse(self, found: Found, error: UnreadablePhoto, now: float, at: float) -> bool:
        is_in_time = self.watch.later(found, now)
        if error.code in PASSING or (error.code in UNFINISHED and is_in_time):
            self._ledger.put_file(
                self.lane, found.raw, found.identity, "settling", at=at, code=error.code, reason=error.reason
            )
            return False
        with self._ledger.together():
            self._handler.refuse(found, error, at)
            self._finish(found, Handled(state="rejected", code=error.code, reason=error.reason), at)
        return True

    def _finish(self, found: Found, handled: Handled, at: float) -> None:
        self._ledger.put_file(
            self.lane,
            found.raw,
            found.identity,
            handled.state,
            at=at,
            sha256=handled.sha256,
            code=handled.code,
            reason=handled.reason,
        )
        self.watch.done(found.raw, found.identity)
        if handled.state == "rejected":
            said = f"{found.name}: {handled.reason}"
            tell(log, logging.WARNING, "photo_rejected", said, station=self._station, kind=handled.code)

    def _record(self, look: Look, at: float) -> None:
        if not (look.seen or look.refused or look.gone):
            return
        with self._ledger.together():
            for raw, identity in look.seen:
                attempts = self._ledger.attempts_at(self.lane, raw, identity)
                self._ledger.put_file(self.lane, raw, identity, "seen", at=at, attempts=attempts)
            for refused in look.refused:
                self._turn_away(refused, at)
            self._ledger.forget_files(self.lane, look.gone)
            if look.overwritten or look.gone:
                self._handler.lose()

    def _turn_away(self, refused: Refused, at: float) -> None:
        """An entry that is not even to be read."""
        raw, identity, refusal = refused.raw, refused.identity, refused.refusal
        path = self.watch.folder / os.fsdecode(raw)
        found = Found(
            path=path,
            raw=raw,
            name=refusal.name,
            identity=identity,
            unchanged_s=0.0,
        )
        self._handler.refuse(found, UnreadablePhoto(refusal.reason, refusal.code), at)
        self._ledger.put_file(
            self.lane, raw, identity, "rejected", at=at, code=refusal.code, reason=refusal.reason
        )
        self.watch.done(raw, identity)


def known_files(ledger: Ledger, lane: Lane) -> Iterator[tuple[bytes, Identity]]:
    """Files that were dealt with for good, for `Watch`."""
    return ((raw, identity) for raw, identity, state in ledger.identities(lane) if state in FINAL)


def read_whole(found: Found) -> bytes:
    """The bytes of the file that was looked at, and of no other. UnreadablePhoto."""
    data = read_file(found.path)
    try:
        status = os.stat(found.path)  # noqa: PTH116 - as the watch
    except OSError as error:
        raise UnreadablePhoto("it vanished while it was being read", "vanished") from error
    now = identity_of(status)
    if now[1:4] != found.identity[1:4] or len(data) != now.size:
        raise UnreadablePhoto("it changed while it was being read; still being written?", "changed")
    return data
