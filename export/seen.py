"""What the rungs of one engine gave; what to do where walks of a UNet differ through no fault of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from engines.manifest import Manifest
from export.observation import Missed, Observation, Ranking, Task, observe
from export.rank_parity import RankParity, compare_rankings
from export.rank_unet import Way, effort_for, rank_unet
from export.rungs import PYTORCH, Rung
from export.steps import step

SIBLING = "fp32 engine"
JITTER = 1e-6  # of pictures in [-1, 1]: about what one pass in fp32 is off by


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """`found` by the rung's name, the reference first; `base` names that, None: there is none."""

    base: str | None
    reference: str
    found: Mapping[str, Observation]
    rungs: Mapping[str, Rung]  # those of `found`
    missed: Mapping[str, Missed]
    said: tuple[tuple[str, str], ...]

    @property
    def own(self) -> dict[str, Observation]:
        """Of the rungs that run the engine's files."""
        return {name: one for name, one in self.found.items() if name not in (PYTORCH, SIBLING)}

    def parities(self) -> dict[str, RankParity]:
        """Of every rung that has a ranking, with the reference's."""
        reference = self.found[self.base].ranking if self.base else None
        if reference is None:
            return {}
        return {
            name: compare_rankings(reference, one.ranking)
            for name, one in self.found.items()
            if name != self.base and one.ranking is not None
        }


def settled(manifest: Manifest, seen: Seen) -> tuple[Seen, str]:
    """Where walks rank differently: is it the arithmetic, or does the network magnify any rounding?

    A walk feeds a network its own outputs. One that was not trained to denoise can make a millionth into
    another picture, so that PyTorch does not even rank as itself. Then each step is ranked by itself, and a
    remark says so; else what was seen stands.
    """
    if manifest.kind != "unet" or all(parity.holds for parity in seen.parities().values()):
        return seen, ""
    assert seen.base is not None
    control = _ranking(manifest, seen.rungs[seen.base], way="walks", jitter=JITTER)
    reference = seen.found[seen.base].ranking
    if control is None or reference is None or compare_rankings(reference, control).holds:
        return seen, ""
    found = {
        name: replace(one, ranking=_ranking(manifest, seen.rungs[name], way="steps"))
        for name, one in seen.found.items()
    }
    moved = compare_rankings(reference, control).largest_change
    remark = (
        f"Walks of this network magnify rounding: with photos changed by a millionth {seen.base} alone moves "
        f"by {moved:.4f}, as networks do that were not trained to denoise. So each step is ranked by itself"
    )
    return replace(seen, found=found), remark


def _ranking(manifest: Manifest, rung: Rung, *, way: Way, jitter: float = 0.0) -> Ranking | None:
    effort = effort_for(manifest)
    task = Task(rank=lambda graphs: rank_unet(manifest, graphs, effort, way=way, jitter=jitter))
    doing = "again with a millionth of noise" if jitter else "steps by themselves"
    with step(f"{manifest.name}: {rung.name}, {doing}"):
        result = observe(rung, task)
    return result.ranking if isinstance(result, Observation) else None
