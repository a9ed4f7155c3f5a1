"""A lane of good parts under a fake clock, for tests: looks and steps happen when the test says so."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from appliance.daemon.good_parts import GoodParts
from appliance.daemon.lane import FileLane, known_files
from appliance.daemon.ledger import Ledger
from appliance.daemon.watch import Look, Watch
from appliance.intake import IntakeOptions
from tests.pictures import draw_part, encoded

SETTLE_S = 0.5


class Bench:
    """`folder` is the camera's, `state` the ledger's. A second one on the same places is a restart."""

    def __init__(
        self,
        tmp_path: Path,
        *,
        follow_links: bool = False,
        ignore: tuple[str, ...] = (),
        options: IntakeOptions | None = None,
    ) -> None:
        self.folder = tmp_path / "photos"
        self.kept = tmp_path / "kept"
        self.folder.mkdir(exist_ok=True)
        self.now = 1000.0
        self.ledger = Ledger(tmp_path / "ledger.sqlite")
        watch = Watch(
            self.folder,
            settle_s=SETTLE_S,
            follow_links=follow_links,
            ignore=ignore,
            known=known_files(self.ledger, "good"),
        )
        handler = GoodParts(
            self.ledger, self.folder, tmp_path / "kept", options or IntakeOptions(), lambda pixels: b""
        )
        self.lane = FileLane("good", self.ledger, watch, handler, station="s")

    def tick(self, times: int = 1, *, seconds: float = 1.0, only: list[str] | None = None) -> Look:
        """Some time passes, then a look and all that it leads to."""
        for _ in range(times):
            self.now += seconds
            look = self.lane.look(self.now, self.now, only=only)
            while self.lane.step(self.now, self.now).more:
                pass
        return look

    def taken(self) -> list[str]:
        """sha256 of every distinct photo, in the order of arrival."""
        return [row["sha256"] for row in self.ledger.ask("SELECT sha256 FROM photos ORDER BY number")]

    def states(self) -> dict[str, str]:
        """State of every file by its name."""
        rows = self.ledger.ask("SELECT path, state FROM files WHERE lane = 'good' ORDER BY path")
        return {os.fsdecode(row["path"]): row["state"] for row in rows}

    def code(self, name: str) -> str:
        rows = self.ledger.ask("SELECT code FROM files WHERE path = ?", name.encode())
        return str(rows[0]["code"])


def photos(count: int, *, seed: int = 0, kind: str = "JPEG") -> list[bytes]:
    """Files of distinct parts."""
    rng = np.random.default_rng(seed)
    return [encoded(draw_part(rng), kind) for _ in range(count)]


def hashes(files: list[bytes]) -> list[str]:
    return [hashlib.sha256(data).hexdigest() for data in files]
