"""What all stations of a box share: engines, the watchdog, clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.daemon.notify import Watchdog
from appliance.daemon.photo_traits import traits_of
from appliance.intake import Pixels
from appliance.settings import EnginesSettings
from engines.encoder import Encoder


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Box:
    state_dir: Path
    engines: EnginesSettings
    encoder: Encoder  # of the embedded pack: what drift is told by
    engine_hashes: dict[str, str]  # name -> sha256, of all that is installed
    watchdog: Watchdog
    clock: Callable[[], float] = field(default=time.monotonic)
    wall: Callable[[], float] = field(default=time.time)

    def traits(self, pixels: Pixels) -> bytes:
        """What is kept of a photo [H, W, 3] for the test of drift."""
        height, width = pixels.shape[:2]
        return next(traits_of([pixels], self.encoder, aspect=width / height)).to_bytes()
