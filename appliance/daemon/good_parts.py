"""Taking in photos of good parts: each content once, near-duplicates marked, what tells of drift kept."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections import deque
from collections.abc import Callable
from pathlib import Path

from appliance.daemon.facts import PASSING
from appliance.daemon.kept import hold, let_go
from appliance.daemon.lane import Handled, Record
from appliance.daemon.ledger import Ledger
from appliance.daemon.watch import Found
from appliance.decode import UnreadablePhoto
from appliance.intake import IntakeOptions, Pixels, pixels_of
from appliance.near_duplicates import Signature, first_near, signature
from appliance.photo_files import shown_name

# A stuck or twice triggered camera repeats itself at once; older repeats are told apart by the calibration,
# which compares all its photos.
RECENT = 200
TRAITS_KEPT = 100_000  # months of most lines; drift looks back thirty days at most
SWEEP = 100  # photos between two clearings of what only recent ones need

Traits = Callable[[Pixels], bytes]


class GoodParts:
    """The handler of the lane of good parts."""

    def __init__(
        self, ledger: Ledger, folder: Path, kept: Path, options: IntakeOptions, traits: Traits
    ) -> None:
        """kept: for copies, where photos pass. traits: what of a photo is kept for the test of drift."""
        self._ledger = ledger
        self._folder = folder
        self._kept = kept
        self._do_pass = ledger.fact(PASSING) is not None
        self._options = options
        self._traits = traits
        self._recent = deque(_recent(ledger), maxlen=RECENT)

    def examine(self, found: Found, data: bytes) -> Record:
        sha256 = hashlib.sha256(data).hexdigest()
        known = self._ledger.photo(sha256)
        if known is not None:
            return lambda _at: self._again(found, known)
        pixels = pixels_of(data, self._options)
        if self._do_pass:  # before the ledger counts it: what is counted can be read
            hold(self._kept, sha256, found.path.suffix, data)
        seen, traits = signature(pixels), self._traits(pixels)
        return lambda at: self._add(found, sha256, seen, traits, at)

    def refuse(self, found: Found, error: UnreadablePhoto, at: float) -> None:
        """The ledger's row of the file says all."""

    def lose(self) -> None:
        """From now on photos are copied: a calibration may come when their files are gone."""
        if not self._do_pass:
            self._ledger.set_fact(PASSING, "yes")
            self._do_pass = True

    def _add(self, found: Found, sha256: str, seen: Signature, traits: bytes, at: float) -> Handled:
        near = self._near(sha256, seen)
        number = self._ledger.add_photo(
            sha256, found.name, at=at, near=near, signature=seen.to_bytes(), traits=traits
        )
        if near is None:
            self._recent.append((sha256, seen))
        if number % SWEEP == 0:
            let_go(self._kept, self._options.maximum)
            self._ledger.keep_last("signatures", RECENT)
            self._ledger.keep_last("traits", TRAITS_KEPT)
        return self._accepted(sha256, near)

    def _again(self, found: Found, known: sqlite3.Row) -> Handled:
        """A content that was seen before: a copy, or the file under another name."""
        sha256 = known["sha256"]
        others = [raw for raw in self._ledger.holders("good", sha256) if raw != found.raw]
        original = next((raw for raw in others if self._is_there(raw)), None)
        if original is not None:
            reason = f"the same file as {shown_name(original)[0]}"
            return Handled(state="duplicate", sha256=sha256, code="duplicate", reason=reason)
        self._ledger.set_photo(sha256, name=found.name)
        return self._accepted(sha256, known["near"])

    def _accepted(self, sha256: str, near: str | None) -> Handled:
        if near is None:
            return Handled(state="accepted", sha256=sha256)
        first = self._ledger.photo(near)
        reason = f"shows the same part in the same moment as {first['name'] if first else near[:12]}"
        return Handled(state="duplicate", sha256=sha256, code="near_duplicate", reason=reason)

    def _near(self, sha256: str, seen: Signature) -> str | None:
        # A photo whose transaction failed is among the recent ones when it comes again.
        others = [(other, known) for other, known in self._recent if other != sha256]
        place = first_near(seen, [known for _, known in others])
        return None if place is None else others[place][0]

    def _is_there(self, raw: bytes) -> bool:
        try:
            return (self._folder / os.fsdecode(raw)).exists()
        except OSError:  # not to be asked, as below a folder without rights: it was there
            return True


def _recent(ledger: Ledger) -> list[tuple[str, Signature]]:
    """The last distinct photos, oldest first."""
    return [(sha256, Signature.from_bytes(data)) for sha256, data in ledger.signatures(RECENT)]
