"""Whether the detector in use stays when its station chooses again.

Asked is not whether it would be chosen once more, but whether a change is surely worth it: two choices on
other photos of the same line often name two equal detectors, and each change costs a person's trust in scores
and habits. At confidence c the *incumbent*

- stays if it surely is near the best (`p_near_best` >= c, as of decision.py): nothing to gain beyond the
  margin;
- stays if what the photos would choose now is not surely better: ahead in less than c of the paired bootstrap
  replicates, equal ones counting one half;
- else is replaced.

Hysteresis without lock-in: each calibration asks anew, on its own photos, and more photos make what is better
surely better. What can stay for ever is a detector within the margin, which is worth nothing to change. It
holds for every outcome, abstentions too: what serves is in doubt a better stand-in than one never tried here,
the fallback of the settings included.

Two ensembles count as one detector, whatever their members: it is the same answer to the same doubt. An
incumbent that could not be scored, or is no candidate any more, is replaced without a question.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.bootstrap import Replicates
from appliance.standings import ROUNDING, CandidateResult, share_ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """The detector that was in use before the choice, and what became of it."""

    name: str
    kept: bool
    why: str  # one sentence


def held(
    name: str,
    rival: str,
    candidates: Sequence[CandidateResult],
    replicates: Replicates,
    order: Sequence[str],
    failures: Mapping[str, str],
    *,
    confidence: float,
    margin: float,
) -> Incumbent:
    """Whether `name` stays where the photos alone would choose `rival`.

    order: [C] names of the replicates' columns. failures: why a candidate is missing, by name.
    """
    mine = next((candidate for candidate in candidates if candidate.name == name), None)
    if mine is None:
        gone = failures.get(name, "is no candidate of this calibration: not installed any more, or excluded")
        return Incumbent(name=name, kept=False, why=f"It {gone.rstrip('.')}.")
    if name == rival:
        return Incumbent(name=name, kept=True, why="It is what these photos would choose anew.")
    if mine.p_near_best >= confidence - ROUNDING:
        why = f"At {confidence:.0%} confidence no candidate is more than {margin:g} of AUROC better."
        return Incumbent(name=name, kept=True, why=why)
    ahead = float(share_ahead(replicates.auroc, order.index(rival))[order.index(name)])
    runs = f"{rival} is better in {math.floor(100 * ahead + 1e-9)} of 100 resampled runs"
    if ahead < confidence - ROUNDING:
        return Incumbent(name=name, kept=True, why=f"{runs}, which is not sure enough for a change.")
    return Incumbent(
        name=name, kept=False, why=f"{runs}, and perhaps something by more than {margin:g} of AUROC."
    )


def sentence(row: Mapping[str, Any] | None) -> str | None:
    """What a person is told, of `incumbent` in a result; None in a station's first calibration."""
    if row is None:
        return None
    return f"In use before: {row['name']}, which {'stays' if row['kept'] else 'is replaced'}. {row['why']}"
