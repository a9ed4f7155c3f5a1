"""How often does a challenger take the champion's place, where it is known what it is worth?

    python -m benchmarks.takeovers [--stations N] [--seeds N] [--docs FILE]

Simulated scores, so that the truth is known: good parts and synthetic anomalies are normal with deviation 1,
half of a score's variance belongs to the part that is seen, and a share of it is common to both detectors
(nine tenths where they are one detector with two banks, half where they are two). Kinds of anomaly favour one
or the other a little, as they do on photos. Thresholds are set on scores of other parts by the appliance's
own code. The outcome is the appliance's own, with its defaults but for 300 resamples. --docs replaces block
`takeovers: table` of FILE.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.daemon.contest_figures import CHALLENGER, CHAMPION, GoodScores, Heard, Side
from appliance.daemon.succession import decide
from appliance.decision import DecisionOptions
from appliance.evidence import Evidence, Trial
from appliance.threshold import (
    Threshold,
    ThresholdOptions,
    parts_needed,
    threshold_cross_fitted,
    threshold_held_out,
)
from benchmarks.machine import machine
from benchmarks.markdown import table, with_blocks

KINDS, COUNT = 5, 48  # generators that vote, and anomalies of each, as by default
PART_SHARE = 0.5
KIND_SPREAD = 0.1  # deviations by which a kind favours one of two detectors: .02 of AUROC at .9
FEW, ENOUGH = 40, parts_needed(0.05, 0.95)  # parts behind a threshold without and with a certificate
JUDGES = ((10, 10), (20, 20), (50, 50))  # golden and recent parts
OPTIONS = DecisionOptions(resamples=300)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is true of the two."""

    says: str
    aurocs: tuple[float, float] = (0.9, 0.9)  # champion, challenger
    common: float = 0.9  # share of a score's variance that both have
    certified: tuple[bool, bool] = (False, False)
    recent_shift: tuple[float, float] = (
        0.0,
        0.0,
    )  # of recent good parts, in deviations: the line has changed


SAME_BUT_NEW, TWO = "same detector, fresh bank", "another detector"
CASES = (
    Case(says=f"{SAME_BUT_NEW}: equal"),
    Case(says=f"{SAME_BUT_NEW}: .05 better", aurocs=(0.9, 0.95)),
    Case(says=f"{TWO}: equal", common=0.5),
    Case(says=f"{TWO}: .05 better", aurocs=(0.9, 0.95), common=0.5),
    Case(says=f"{TWO}: .05 worse", aurocs=(0.95, 0.9), common=0.5),
    Case(says=f"{SAME_BUT_NEW}: equal, a certificate gained", certified=(False, True)),
    Case(
        says=f"{TWO}: .05 worse, a certificate gained",
        aurocs=(0.95, 0.9),
        common=0.5,
        certified=(False, True),
    ),
    Case(says=f"{SAME_BUT_NEW}: equal, a certificate lost", certified=(True, False)),
    Case(
        says=f"{TWO}: .05 better, a certificate lost", aurocs=(0.9, 0.95), common=0.5, certified=(True, False)
    ),
    Case(says=f"{SAME_BUT_NEW}: equal, the old one rejects a quarter of new parts", recent_shift=(1.0, 0.0)),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--stations", type=int, default=60, help="of each seed, case and number of judge parts"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--docs", type=Path, metavar="FILE", help="the Markdown whose table is replaced")
    options = parser.parse_args(arguments)
    print(f"{shlex.join(sys.argv)}\n{machine()}", flush=True)
    head = ["truth", *(f"{golden} + {recent} judge parts" for golden, recent in JUDGES)]
    rows = [row_of(case, stations=options.stations, count=options.seeds) for case in CASES]
    found = table(head, rows)
    print(found)
    if options.docs is not None:
        text = options.docs.read_text(encoding="utf-8")
        options.docs.write_text(with_blocks(text, "takeovers", {"table": found}), encoding="utf-8")
    return 0


def row_of(case: Case, *, stations: int, count: int) -> list[str]:
    """Share promoted for each number of judge parts: the mean over seeds, the lowest and the highest."""
    cells = []
    for golden, recent in JUDGES:
        shares = [promoted_share(case, golden, recent, stations=stations, seed=seed) for seed in range(count)]
        low, high = (f"{100 * share:.0f}" for share in (min(shares), max(shares)))
        cells.append(f"{100 * np.mean(shares):.0f} % ({low} to {high})")
    return [case.says, *cells]


def promoted_share(case: Case, golden: int, recent: int, *, stations: int, seed: int) -> float:
    """Of so many stations."""
    promoted = 0
    for number in range(stations):
        rng = seeds.stream(seed, "succession", case.says, golden, recent, number)
        promoted += is_promoted(case, golden, recent, rng)
    return promoted / stations


def is_promoted(case: Case, golden: int, recent: int, rng: np.random.Generator) -> bool:
    """One station's contest."""
    parts = np.arange(golden + recent)
    station = _Station(case, parts.size, rng)
    good = station.scores(parts)
    good[:, golden:] += np.array(case.recent_shift)[:, None]
    sides = [
        _side(name, threshold) for name, threshold in zip(("old", "new"), station.thresholds(), strict=True)
    ]
    heard = Heard(
        golden=GoodScores(parts=parts[:golden], champion=good[0, :golden], challenger=good[1, :golden]),
        recent=GoodScores(parts=parts[golden:], champion=good[0, golden:], challenger=good[1, golden:]),
        evidence=station.evidence(),
    )
    return decide(heard, *sides, OPTIONS, rng=rng).promotes


class _Station:
    """Scores of two detectors on one station's judge parts."""

    def __init__(self, case: Case, parts: int, rng: np.random.Generator) -> None:
        self._case, self._rng = case, rng
        self._of_part = self._draw(parts)
        shifts = np.array([NormalDist().inv_cdf(auroc) * 2**0.5 for auroc in case.aurocs])
        self._shifts = shifts + KIND_SPREAD * rng.normal(size=(KINDS, 2))  # [G, C]

    def scores(self, seen: npt.NDArray[np.int64]) -> Floats:
        """[C, N] of pictures that show these parts."""
        own = self._draw(seen.size)
        mixed: Floats = PART_SHARE**0.5 * self._of_part[:, seen] + (1 - PART_SHARE) ** 0.5 * own
        return mixed

    def evidence(self) -> Evidence:
        parts = self._of_part.shape[1]
        trials = []
        for kind, shift in enumerate(self._shifts):
            parents = np.array([self._rng.choice(parts, 2, replace=False) for _ in range(COUNT)])
            seen = np.unique(parents[:, 0])
            trials.append(
                Trial(
                    generator=f"kind {kind}",
                    fold=0,
                    anomaly_scores=self.scores(parents[:, 0]) + shift[:, None],
                    anomaly_parents=parents,
                    anomaly_strengths=np.ones(COUNT),
                    anomaly_sizes_px=np.ones(COUNT),
                    round_trip_scores=self.scores(seen),
                    round_trip_parents=seen[:, None],
                    normal_scores=self.scores(np.arange(parts)),
                    normal_parents=np.arange(parts)[:, None],
                )
            )
        return Evidence(candidates=[CHAMPION, CHALLENGER], trials=trials)

    def thresholds(self) -> list[Threshold]:
        """Of champion and challenger, each on scores of parts of its own."""
        found = []
        for certified in self._case.certified:
            count = ENOUGH if certified else FEW
            scores, parts = self._rng.normal(size=count), np.arange(count)
            make = threshold_held_out if certified else threshold_cross_fitted
            found.append(make(scores, parts, ThresholdOptions()))
        return found

    def _draw(self, count: int) -> Floats:
        """[C, count] standard normal, of which both have `common` in common."""
        common = self._case.common
        both, own = self._rng.normal(size=count), self._rng.normal(size=(2, count))
        drawn: Floats = common**0.5 * both + (1 - common) ** 0.5 * own
        return drawn


def _side(run_id: str, threshold: Threshold) -> Side:
    return Side(
        run_id=run_id,
        detector="simulated",
        parts=FEW,
        threshold=threshold.value,
        certified=threshold.certified,
        promised_rate=max(threshold.requested_rate, threshold.rate),
        confidence=threshold.confidence,
    )


if __name__ == "__main__":
    sys.exit(main())
