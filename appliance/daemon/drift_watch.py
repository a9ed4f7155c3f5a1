"""A station's drift as photos come: blocks out of the ledger, a test at each new one, the answer a fact."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from appliance import seeds
from appliance.daemon.drift import Drift, assess, spans_needed
from appliance.daemon.drift_blocks import Block, block_of, split
from appliance.daemon.facts import AFRESH
from appliance.daemon.ledger import Ledger
from appliance.daemon.photo_traits import Traits
from appliance.service_settings import DriftSettings

FACT = "drift"
DAY_S = 24 * 3600.0
MONTH_S = 30 * DAY_S
MOST_BLOCKS = 2_000  # that are looked back at: with the default size 100,000 photos
FEWEST_BLOCKS = 2  # to say how many come in a month


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFact:
    """What the last test said."""

    state: str  # learning, steady, drifted
    sentence: str
    at: float
    photo: int  # the number of the newest photo that was tested
    alarmed: int | None = None  # the last photo of the block that raised the alarm that stands
    since: int = 0  # photos up to this one were of the line as it was before a change that is known


def drift_fact(ledger: Ledger) -> DriftFact | None:
    """None until the first block is complete."""
    found = ledger.fact(FACT)
    return None if found is None else DriftFact(**json.loads(found))


LEARNING = DriftFact(state="learning", sentence="", at=0.0, photo=0)


class DriftWatch:
    """Belongs to the thread of the intake."""

    def __init__(self, ledger: Ledger, options: DriftSettings, *, seed: int) -> None:
        self._ledger = ledger
        self._options = options
        self._seed = seed
        self._blocks: list[Block] = []
        self._ends: list[int] = []  # number of the last photo of each block
        self._afresh = ledger.fact(AFRESH)
        self._last: int | None = None  # None: the ledger's photos are not read yet

    def look(self, *, calibrated: int, at: float) -> DriftFact | None:
        """Test the blocks that are complete since; the last answer, where there is a new one.

        calibrated: the newest photo that the champion may have learned from. An alarm stands until a champion
        has learned from photos of after it.
        """
        self._begin_anew()
        if not self._options.enabled or not self._read_on():
            return None
        before = drift_fact(self._ledger) or LEARNING
        if before.alarmed is not None and calibrated >= before.alarmed:
            # The champion has learned from photos of after the change: that is what the line is now.
            before = replace(before, alarmed=None, since=before.alarmed - self._options.block)
        drift = self._assess(calibrated, before)
        alarmed = self._ends[-1] if drift.state == "drifted" else None
        fact = DriftFact(
            state=drift.state if before.alarmed is None else "drifted",
            sentence=drift.sentence if before.alarmed is None or alarmed is not None else before.sentence,
            at=at if before.alarmed is None else before.at,  # one alarm, and not one a block
            photo=self._ends[-1],
            alarmed=before.alarmed or alarmed,
            since=before.since,
        )
        self._ledger.set_fact(FACT, json.dumps(dataclasses.asdict(fact)))
        return fact

    def _begin_anew(self) -> None:
        """The part is another one: what its photos are compared with are its own."""
        afresh = self._ledger.fact(AFRESH)
        if afresh != self._afresh:
            self._afresh, self._last = afresh, None
            self._blocks.clear()
            self._ends.clear()

    def _read_on(self) -> bool:
        """Whether there are new blocks. The first time all that is looked back at is read."""
        if self._last is None:
            newest = self._ledger.last_photo()
            self._last = max(0, newest - MOST_BLOCKS * self._options.block)
            while self._next_block():
                pass
            known = drift_fact(self._ledger)
            return bool(self._ends) and (known is None or known.photo < self._ends[-1])
        had = len(self._ends)
        while self._next_block():
            pass
        return len(self._ends) > had

    def _next_block(self) -> bool:
        size = self._options.block
        rows = self._ledger.traits_after(self._last or 0, size)
        if len(rows) < size:
            return False
        traits = [Traits.from_bytes(data) for _, _, data in rows]
        self._blocks.append(block_of(traits, started_s=rows[0][1], ended_s=rows[-1][1]))
        self._ends.append(rows[-1][0])
        self._last = rows[-1][0]
        del self._blocks[:-MOST_BLOCKS], self._ends[:-MOST_BLOCKS]
        return True

    def _assess(self, calibrated: int, before: DriftFact) -> Drift:
        first = sum(end <= before.since for end in self._ends)
        blocks, ends = self._blocks[first:], self._ends[first:]
        month = blocks_per_month(blocks)
        reference, recent = split(
            blocks,
            calibrated=sum(end <= calibrated for end in ends),
            wanted=spans_needed(self._options, tests_per_month=month),
            alarmed=None if before.alarmed is None else sum(end < before.alarmed for end in ends),
        )
        rng = seeds.stream(self._seed, "drift", self._ends[-1])
        return assess(reference, recent, self._options, tests_per_month=month, rng=rng)


def blocks_per_month(blocks: Sequence[Block]) -> float:
    """At the pace so far; a block a day where nothing tells yet."""
    if len(blocks) < FEWEST_BLOCKS:
        return MONTH_S / DAY_S
    seconds = max(blocks[-1].ended_s - blocks[0].started_s, 1.0)
    return max(1.0, len(blocks) * MONTH_S / seconds)
