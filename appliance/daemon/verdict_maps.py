"""Heat maps of judged photos, drawn when no photo waits: a verdict comes first."""

from __future__ import annotations

import logging
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.daemon.logs import tell
from appliance.daemon.verdict_files import day_of
from appliance.errors import place_of
from appliance.gallery import jpeg
from appliance.heatmaps import draw_heatmap, name_with
from appliance.photo_files import is_inside
from appliance.pictures import Pictures
from appliance.score import Scorer

Which = Literal["none", "anomalous", "all"]

FOLDER = "heatmaps"
MOST_WAITING = (
    8  # photos with an encoder's outputs, some MB each: beyond it maps are drawn between two photos
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Wanted:
    path: Path
    picture: Pictures
    scorer: Scorer


class HeatMaps:
    """Belongs to one thread. A copy of a photo that was judged has none of its own."""

    def __init__(self, folder: Path, which: Which, *, station: str) -> None:
        """folder: that of the verdicts."""
        self._folder = folder
        self._which = which
        self._station = station
        self._waiting: deque[_Wanted] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def offer(
        self, verdict_id: str, raw: bytes, verdict: str, picture: Pictures, scorer: Scorer, at: float
    ) -> None:
        """Have a map drawn later, if one is wanted of such a verdict. The map's name has the verdict's id."""
        if verdict != "none" and self._which in ("all", verdict):
            name = name_with(Path(os.fsdecode(raw)), verdict_id)
            path = self._folder / FOLDER / day_of(at) / name
            self._waiting.append(_Wanted(path=path, picture=picture, scorer=scorer))

    def draw(self, *, leave: int = MOST_WAITING) -> None:
        """Draw one of those that wait, if there are more than `leave`."""
        if len(self._waiting) <= leave:
            return
        wanted = self._waiting.popleft()
        try:
            self._draw(wanted)
        except Exception as error:  # a picture for people's eyes: whatever fails, the line goes on
            reason = f"{place_of(error)}: {type(error).__name__}: {error}"
            text = f"{wanted.path}: no heat map: {reason}"
            tell(log, logging.WARNING, "heatmap_failed", text, station=self._station)

    def _draw(self, wanted: _Wanted) -> None:
        scorer = wanted.scorer
        drawn = draw_heatmap(scorer.fitted[scorer.chosen], wanted.picture, threshold=scorer.threshold)
        if drawn is None:
            return
        wanted.path.parent.mkdir(parents=True, exist_ok=True)
        if not is_inside(os.path.realpath(wanted.path.parent), os.path.realpath(self._folder)):
            raise PermissionError(f"{wanted.path.parent} leads out of the folder of verdicts")
        draft = wanted.path.with_name(f".{wanted.path.name}.part")  # whole or not at all
        draft.write_bytes(jpeg(drawn))
        draft.replace(wanted.path)
