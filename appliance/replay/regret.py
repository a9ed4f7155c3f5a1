"""What a choice was worth: its regret against the best candidate, beside other ways to choose.

The *oracle* is the best **single** candidate; an ensemble may be chosen, and beat it, but never is it. What
looks at labels looks at one half of the test photos and is judged on the other, in both directions, which are
averaged (`appliance.replay.truth`). Two figures for every strategy:

- `regret`, cross-fitted: the AUROC, on the judging half, of the candidate that was best on the other half,
  minus that of the pick. Half of the photos do not always show which one is best, so it lies below the truth,
  and may be negative.
- `regret_in_sample`: the AUROC of the candidate that is best on the judging half itself, minus that of the
  pick. The best of many is in part lucky, so it lies above the truth.

The two bracket the regret against the candidate that is best indeed. The choice with labels on half the
photos has a cross-fitted regret of 0 by definition: what it missed itself is its regret in sample, and with
that the others' regret in sample is to be compared.

Where several are best on a half they count alike: which comes first in a list is no merit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.decision import Outcome
from appliance.errors import GoodpartsError
from appliance.replay.levels import BEST_FIXED, BEST_IN_SAMPLE, CHOSEN, LABELS_ON_HALF, RANDOM
from appliance.replay.regret_report import RegretReport, TaskSums, variant_figures
from appliance.replay.truth import DRAWS, HALVINGS, VARIANTS, Split, Variant
from appliance.seeds import stream

Floats = npt.NDArray[np.float64]

_TAKEN = {RANDOM, BEST_FIXED, LABELS_ON_HALF, BEST_IN_SAMPLE}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedUnit:
    """One task at one seed: what was picked from good photos alone, and what the labels say of everyone."""

    task: str
    seed: int
    outcome: Outcome
    picks: Mapping[str, str]  # candidate by strategy: `chosen`, and every other rule that picks one
    splits: Mapping[Variant, Split]  # AUROC [N, C] on both halves


class Regrets:
    """Takes units one by one, in any order; keeps sums over seeds, never the units."""

    def __init__(
        self,
        candidates: Sequence[str],
        *,
        seeds: Sequence[int],
        ensembles: Collection[str] = (),
        halvings: int = HALVINGS,
        draws: int = DRAWS,
    ) -> None:
        """`candidates` [C] and `seeds` are those of every unit, `halvings` and `draws` those of its splits.

        `ensembles` are the candidates that may be picked and never are the best.
        """
        assert len(set(candidates)) == len(candidates), f"two candidates of one name: {candidates}"
        assert set(ensembles) < set(candidates), f"{set(ensembles)} of {candidates}: no single candidate"
        assert seeds and len(set(seeds)) == len(seeds), f"each seed once, got {list(seeds)}"
        self._candidates = list(candidates)
        self._singles = np.array([name not in ensembles for name in candidates])
        self._halvings = halvings
        self._draws = draws
        self._shares = dict(zip(seeds, _seed_shares(len(seeds), halvings, draws), strict=True))
        self._strategies: set[str] = set()
        self._tasks: dict[str, TaskSums] = {}

    def add(self, unit: JudgedUnit) -> None:
        self._check(unit)
        sums = self._tasks.setdefault(unit.task, TaskSums())
        assert unit.seed not in sums.seeds, f"{unit.task}, seed {unit.seed}: added twice"
        sums.seeds.add(unit.seed)
        sums.add(
            unit.splits,
            {strategy: self._candidates.index(pick) for strategy, pick in unit.picks.items()},
            singles=self._singles,
            outcome=unit.outcome,
            share=self._shares[unit.seed],
        )

    def report(self, *, confidence: float = 0.9, tasks: Collection[str] | None = None) -> RegretReport:
        """Of all tasks that have all seeds, or of those among `tasks` (a group); the rest is named.

        GoodpartsError if none is left.
        """
        asked = sorted(name for name in self._tasks if tasks is None or name in tasks)
        complete = {name: self._tasks[name] for name in asked if self._is_complete(name)}
        if not complete:
            raise GoodpartsError(
                f"None of {len(asked)} judged tasks has all {len(self._shares)} seeds, so no regret can be "
                "reported. Let the replay finish, or ask for fewer seeds."
            )
        singles = [name for name, single in zip(self._candidates, self._singles, strict=True) if single]
        return RegretReport(
            confidence=confidence,
            tasks=list(complete),
            incomplete=[name for name in asked if name not in complete],
            seeds=list(self._shares),
            singles=singles,
            halvings=self._halvings,
            draws=self._draws,
            variants={
                variant: variant_figures(
                    complete, variant, singles=singles, halvings=self._halvings, confidence=confidence
                )
                for variant in VARIANTS
            },
        )

    def _is_complete(self, task: str) -> bool:
        return self._tasks[task].seeds == self._shares.keys()

    def _check(self, unit: JudgedUnit) -> None:
        where = f"{unit.task}, seed {unit.seed}"
        assert unit.seed in self._shares, f"{where}: the seeds are {list(self._shares)}"
        assert CHOSEN in unit.picks and not _TAKEN & unit.picks.keys(), f"{where}: {list(unit.picks)}"
        unknown = set(unit.picks.values()) - set(self._candidates)
        assert not unknown, f"{where}: {unknown} are no candidates"
        self._strategies = self._strategies or set(unit.picks)
        assert set(unit.picks) == self._strategies, f"{where}: picks by other rules than {self._strategies}"
        shape = (self._halvings + self._draws, len(self._candidates))
        for split in unit.splits.values():
            assert split.first.shape == split.second.shape == shape, f"{where}: {split.first.shape}, {shape}"
            assert split.halvings == self._halvings, f"{where}: {split.halvings} halvings"


def _seed_shares(count: int, halvings: int, draws: int) -> Floats:
    """[S, N] share of each of `count` seeds in each draw: even in plain ones, drawn with replacement else.

    One draw less than there are seeds, so that the mean's variance comes out right, as for the generators in
    `appliance.bootstrap`. The same for all tasks and strategies, which keeps differences paired. A single
    seed says nothing about others: then the intervals know photos only.
    """
    times = max(1, count - 1)
    rng = stream(0, "replayed seeds", count)
    drawn = rng.multinomial(times, np.full(count, 1 / count), size=draws) / times
    return np.concatenate([np.full((halvings, count), 1 / count), drawn]).T
