"""Tables 1 and 2 of the paper and the curves of its Figures 3 to 5: in sample, as they were published.

Fung, Qiu, Li and Rudolph, arXiv 2310.10461. A *menu* is what is chosen from: detectors, or the prompts of one
CLIP. `hits` is the share of tasks in which the pick's true AUROC equals the menu's best. The best is looked
for on the same photos that all are judged on, which favours the rows in hindsight; `appliance.replay.regret`
does without.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from appliance.replay.rank_agreement import spearman
from appliance.replay.truth import VARIANTS, Variant

Floats = npt.NDArray[np.float64]

EVERYTHING = "all"  # the group of all tasks
_OWN_ROWS = ("random", "default", "worst", "best", "global_best")
_EQUAL = 1e-9  # AUROCs that differ by less are the same


class _Grouped(Protocol):
    @property
    def group(self) -> str | None: ...


Unit = TypeVar("Unit", bound=_Grouped)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MenuUnit:
    """One task at one seed: the true AUROC of every choice, and what each rule picked."""

    group: str | None  # "object", "texture", or none
    true: Mapping[Variant, Floats]  # [M] in the menu's order
    picks: Mapping[str, str]  # name on the menu, by rule: a generator, Tiny-ImageNet, ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to choose, over the units of a group."""

    hits: float
    auroc: float  # mean of the picks' true AUROC


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceTable:
    """The rows of one variant and one group.

    Besides the rules' rows: `random` (hits to be expected; its AUROC is the paper's row `average`), `default`
    (the first of the menu), `worst` and `best` of each unit in hindsight, `global_best` (one choice for all).
    """

    units: int
    global_best: str  # the choice of the highest mean AUROC over these units
    rows: Mapping[str, Row]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CurveUnit:
    """One task at one seed: synthetic and true AUROC of every candidate."""

    group: str | None
    true: Mapping[Variant, Floats]  # [C]
    synthetic: Mapping[str, Mapping[str, Floats]]  # by source and K, [C]; see `appliance.replay.k_sweep`


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Synthetic beside true AUROC of each candidate, both averaged over units."""

    units: int
    true: Mapping[Variant, Sequence[float]]  # [C]
    synthetic: Mapping[str, Mapping[str, Sequence[float]]]  # by source and K, [C]
    # By source, K and variant: do the averages rank alike? None: one side finds all candidates equal.
    spearman: Mapping[str, Mapping[str, Mapping[Variant, float | None]]]


def choice_tables(
    menu: Sequence[str], units: Sequence[MenuUnit], *, ensembles: Collection[str] = ()
) -> dict[str, dict[Variant, ChoiceTable]]:
    """By group (`all` first), then by variant. menu: [M] names, the first is the default; `ensembles` among
    them may be picked, and are in no row of their own.

    `global_best` is the best of the group's own units: hindsight about a group is that group's.
    """
    return {
        group: {variant: _table(menu, members, variant, ensembles) for variant in VARIANTS}
        for group, members in _groups(units).items()
    }


def curves(units: Sequence[CurveUnit]) -> dict[str, Curves]:
    """By group. A source or a K that some units of the group lack is left out."""
    return {group: _curves(members) for group, members in _groups(units).items()}


def _groups(units: Sequence[Unit]) -> dict[str, list[Unit]]:
    """All units, then those of each group by name."""
    assert units, "a table needs units"
    names = sorted({unit.group for unit in units if unit.group is not None})
    assert EVERYTHING not in names, f"a group cannot be called {EVERYTHING}"
    return {EVERYTHING: list(units), **{name: [u for u in units if u.group == name] for name in names}}


def _table(
    menu: Sequence[str], units: Sequence[MenuUnit], variant: Variant, ensembles: Collection[str]
) -> ChoiceTable:
    true = np.stack([unit.true[variant] for unit in units])  # [U, M]
    assert true.shape == (len(units), len(menu)), f"{true.shape[1]} figures for {len(menu)} choices"
    singles = np.array([column for column, name in enumerate(menu) if name not in ensembles])
    own = true[:, singles]
    is_best = true >= own.max(axis=1, keepdims=True) - _EQUAL
    fixed = int(singles[np.argmax(own.mean(axis=0).round(12))])  # of equal ones the first

    def row(columns: npt.NDArray[np.int64]) -> Row:
        """columns: [U] the pick of each unit."""
        at = np.arange(len(units)), columns
        return Row(hits=float(is_best[at].mean()), auroc=float(true[at].mean()))

    def always(column: int) -> Row:
        return row(np.full(len(units), column))

    return ChoiceTable(
        units=len(units),
        global_best=menu[fixed],
        rows={
            "random": Row(hits=float(is_best[:, singles].mean()), auroc=float(own.mean())),
            "default": always(int(singles[0])),
            "worst": row(singles[own.argmin(axis=1)]),
            "best": row(singles[own.argmax(axis=1)]),
            "global_best": always(fixed),
            **{rule: row(_picked(menu, units, rule)) for rule in _rules(units)},
        },
    )


def _rules(units: Sequence[MenuUnit]) -> list[str]:
    rules = list(units[0].picks)
    assert not set(rules) & set(_OWN_ROWS), f"a rule cannot be called one of {_OWN_ROWS}"
    for unit in units:
        assert unit.picks.keys() == set(rules), f"picks by {list(unit.picks)} and by {rules}"
    return rules


def _picked(menu: Sequence[str], units: Sequence[MenuUnit], rule: str) -> npt.NDArray[np.int64]:
    return np.array([list(menu).index(unit.picks[rule]) for unit in units])


def _curves(units: Sequence[CurveUnit]) -> Curves:
    true = {variant: _mean([unit.true[variant] for unit in units]) for variant in VARIANTS}
    synthetic = {
        source: {
            k: _mean([unit.synthetic[source][k] for unit in units])
            for k in _common([unit.synthetic[source] for unit in units])
        }
        for source in _common([unit.synthetic for unit in units])
    }
    return Curves(
        units=len(units),
        true={variant: aurocs.tolist() for variant, aurocs in true.items()},
        synthetic={
            source: {k: aurocs.tolist() for k, aurocs in sweep.items()} for source, sweep in synthetic.items()
        },
        spearman={
            source: {
                k: {variant: spearman(aurocs, true[variant]) for variant in VARIANTS}
                for k, aurocs in sweep.items()
            }
            for source, sweep in synthetic.items()
        },
    )


def _common(maps: Sequence[Mapping[str, object]]) -> list[str]:
    """The keys that all have, in the order of the first."""
    return [key for key in maps[0] if all(key in one for one in maps)]


def _mean(aurocs: Sequence[Floats]) -> Floats:
    mean: Floats = np.mean(aurocs, axis=0).round(12)
    return mean
