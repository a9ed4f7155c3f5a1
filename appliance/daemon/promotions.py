"""The journal of a station's champions, `promotions.jsonl`: who made which run serve, when and why.

A line is written before the link is changed. So one may stand there that never came true, the process having
died in between: the next line says which run served when it was written, the link says it for the last one.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["promotion", "rollback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One line. `before`: the run that served until then, None if there was none."""

    time: str
    run_id: str
    before: str | None
    kind: Kind
    by: str
    reason: str

    def line(self) -> str:
        """As JSON; in ASCII, since a name may hold bytes that are not UTF-8."""
        return json.dumps(dataclasses.asdict(self))


def timestamp(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds")


def read_promotions(path: Path) -> list[Promotion]:
    """Oldest first; empty where there is no journal. Torn and foreign lines are passed over. OSError if it
    cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    found = (_promotion_of(line) for line in text.split("\n"))
    return [promotion for promotion in found if promotion is not None]


def came_true(promotions: Sequence[Promotion], champion: str | None) -> list[Promotion]:
    """Those after which the run did serve; `champion`: the one that serves now."""
    served_then = [*(promotion.before for promotion in promotions[1:]), champion]
    pairs = zip(promotions, served_then, strict=True) if promotions else ()
    return [promotion for promotion, served in pairs if promotion.run_id == served]


def line_of_champions(promotions: Sequence[Promotion], champion: str | None) -> list[str]:
    """The champions that one can go back to step by step, oldest first, the present one last.

    A promotion adds to it; a rollback takes away all after the run that it goes back to, so that the next one
    goes a step further and not forward again.
    """
    line: list[str] = []
    for promotion in came_true(promotions, champion):
        line = _back_to(line, promotion.before)
        is_new = promotion.kind == "promotion" and line[-1:] != [promotion.run_id]
        line = [*line, promotion.run_id] if is_new else _back_to(line, promotion.run_id)
    return _back_to(line, champion)


def _back_to(line: list[str], run_id: str | None) -> list[str]:
    """Up to the last place of the run; with it added where it has none, as what the journal does not know."""
    if run_id is None:
        return []
    places = [i for i, one in enumerate(line) if one == run_id]
    return line[: places[-1] + 1] if places else [*line, run_id]


def _promotion_of(line: str) -> Promotion | None:
    try:
        row = json.loads(line)
        promotion = Promotion(**{field.name: row[field.name] for field in dataclasses.fields(Promotion)})
    except (ValueError, KeyError, TypeError):
        return None
    texts = (promotion.time, promotion.run_id, promotion.by, promotion.reason)
    is_sound = all(isinstance(text, str) for text in texts) and promotion.kind in get_args(Kind)
    return promotion if is_sound and isinstance(promotion.before, str | None) else None
