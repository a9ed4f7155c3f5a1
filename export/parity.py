"""How far the outputs of two runs of one network are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one output, the worst over everything that was compared."""

    max_abs: float
    max_rel: float  # max_abs / the largest absolute value that the reference has in this output
    cosine: float  # of the two outputs as vectors, one for each input of the batch
    allowed: float  # the largest error as a share of atol + rtol * |reference|: agrees up to 1


def compare(reference: Values, found: Values, *, atol: float, rtol: float) -> Figures:
    """Both [N, ...] of the same shape; what is not finite is infinitely far."""
    assert reference.shape == found.shape, (reference.shape, found.shape)
    expected, actual = reference.astype(np.float64), found.astype(np.float64)
    if not np.isfinite(actual).all():
        return Figures(max_abs=np.inf, max_rel=np.inf, cosine=-1.0, allowed=np.inf)
    error = np.abs(actual - expected)
    largest = float(error.max())
    return Figures(
        max_abs=largest,
        max_rel=largest / max(float(np.abs(expected).max()), np.finfo(np.float64).tiny),
        cosine=min(_cosine(a, b) for a, b in zip(expected, actual, strict=True)),
        allowed=float((error / (atol + rtol * np.abs(expected))).max()),
    )


def worst(figures: Sequence[Figures]) -> Figures:
    return Figures(
        max_abs=max(one.max_abs for one in figures),
        max_rel=max(one.max_rel for one in figures),
        cosine=min(one.cosine for one in figures),
        allowed=max(one.allowed for one in figures),
    )


def _cosine(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norms == 0.0:  # two vectors of zeros point the same way, one of them does not
        return 1.0 if np.array_equal(a, b) else 0.0
    return float(np.vdot(a, b)) / norms
