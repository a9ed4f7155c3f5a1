"""Which photos of a station have a role of their own: the anchored ones, and the golden set.

Given by the thread of the intake, which reads photos, and taken away by the service's loop; a lock keeps the
choice of photos for a calibration apart from both.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.daemon.attempts import Attempts
from appliance.daemon.job import JobPhoto
from appliance.daemon.kept import keep, keep_together, kept
from appliance.daemon.ledger import Ledger
from appliance.daemon.logs import tell
from appliance.daemon.lots import Held, Use, to_anchor, to_set_aside
from appliance.daemon.places import Places
from appliance.daemon.shelf import Shelf
from appliance.daemon.stock import held_photos, job_photos
from appliance.decode import UnreadablePhoto
from appliance.errors import GoodpartsError, UsageError
from appliance.run_folder import read_result
from appliance.settings import StationSettings

log = logging.getLogger(__name__)

ROLES_S = 5.0  # for the intake to have copied its photos
LEARNED = ("selection", "held_out")  # roles of a support set


class Roles:
    """Of one station."""

    def __init__(
        self,
        settings: StationSettings,
        ledger: Ledger,
        attempts: Attempts,
        shelf: Shelf,
        places: Places,
        *,
        replaces: Callable[[], str | None],
    ) -> None:
        """replaces: why the champion has to be replaced, if it has: then nothing of it is anchored."""
        assert settings.images is not None, "checked with the settings"
        self._settings, self._ledger, self._attempts = settings, ledger, attempts
        self._shelf, self._places, self._images = shelf, places, settings.images
        self._replaces = replaces
        self._lock = threading.Lock()
        self._looked_at: tuple[str, int] | None = None  # champion, newest photo: nothing is left to do

    def set_aside(self) -> None:
        """Have photos anchored once there is a champion, and new ones join the golden set until it is full.

        By the thread of the intake: it reads photos. Golden is never one that the champion, or a calibration
        that runs, may learn from.
        """
        champion = self._shelf.champion()
        if champion is None or self._looked_at == (looks := (champion, self._ledger.last_photo())):
            return
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._anchor()
            learned = self._learned(champion)
            wanted = self._settings.recalibration.golden_photos
            if self._has("anchored") and self._count("golden") < wanted and looks[1] > learned:
                photos = held_photos(self._ledger, self._places.kept)
                self._keep(to_set_aside(photos, champion_last=learned, count=wanted), "golden")
            self._looked_at = looks
        finally:
            self._lock.release()

    @contextmanager
    def stay(self) -> Iterator[None]:
        """No photo gets a role meanwhile. GoodpartsError if one takes long, as of a share that hangs."""
        if not self._lock.acquire(timeout=ROLES_S):
            raise GoodpartsError(
                f"{self._images}: photos are still being copied from there. It is tried again."
            )
        try:
            yield
        finally:
            self._lock.release()

    def champion_last(self, champion: str | None) -> int:
        """The number of the newest photo that a run may have learned from."""
        attempt = None if champion is None else self._attempts.of_run(champion)
        return 0 if attempt is None else attempt.last_photo

    def files(self, photos: Sequence[Held]) -> tuple[JobPhoto, ...]:
        return job_photos(photos, self._ledger, self._images, self._places.kept)

    def restore(self) -> None:
        """The copies say what is kept, also to a ledger that was made again."""
        for use, sha256, _ in kept(self._places.kept):
            known = self._ledger.photo(sha256)
            if known is not None and known["role"] is None:
                self._ledger.set_photo(sha256, role=use)

    def _learned(self, champion: str) -> int:
        """The newest photo that is or may soon be in a bank."""
        return max([self.champion_last(champion), *(one.last_photo for one in self._attempts.open())])

    def _anchor(self) -> None:
        """Of a station without anchored photos: some of those that the champion has learned from."""
        champion = self._shelf.champion()
        if champion is None or self._replaces() is not None or self._has("anchored"):
            return
        try:
            self._anchor_from(champion)
        except (OSError, UsageError) as error:  # as of a full disk: with the next new photo again
            tell(log, logging.WARNING, "not_anchored", str(error), station=self._settings.name)

    def _anchor_from(self, champion: str) -> None:
        support = read_result(self._shelf.path(champion))["support"]
        used = {row["sha256"] for row in support if row["role"] in LEARNED}
        photos = [photo for photo in held_photos(self._ledger, self._places.kept) if photo.sha256 in used]
        rules, maximum = self._settings.recalibration, self._settings.intake.maximum
        files = self.files(to_anchor(photos, maximum=maximum, share=1.0))
        done = keep_together(
            self._places.kept,
            ((Path(photo.path), photo.sha256) for photo in files),
            "anchored",
            count=len(to_anchor(photos, maximum=maximum, share=rules.anchored_share)),
        )
        with self._ledger.together():
            for sha256 in done:
                self._ledger.set_photo(sha256, role="anchored")

    def _keep(self, photos: Sequence[Held], use: Use) -> None:
        """Copy first, then note: what the ledger calls kept is there."""
        for photo in self.files(photos):
            try:
                keep(self._places.kept, Path(photo.path), photo.sha256, use)
            except UnreadablePhoto as error:  # gone meanwhile: another one takes its place
                tell(
                    log, logging.WARNING, "photo_gone", f"{photo.name}: {error}", station=self._settings.name
                )
                continue
            self._ledger.set_photo(photo.sha256, role=use)

    def _has(self, role: Use) -> bool:
        return self._count(role) > 0

    def _count(self, role: Use) -> int:
        question = "SELECT COUNT(*) AS n FROM photos WHERE role = ? AND word IS NOT 'bad'"
        return int(self._ledger.ask(question, role)[0]["n"])
