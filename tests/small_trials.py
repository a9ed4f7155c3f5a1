"""Trials written down by hand: which scores, of which parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from appliance.evidence import Trial


def trial(
    anomalies: Any,
    normals: Any,
    *,
    generator: str = "perlin",
    fold: int = 0,
    parts: Sequence[int] | None = None,
    round_trips: Any = None,
    sizes: Any = None,
) -> Trial:
    """[C, A] and [C, E] scores; each normal shows its own part, and round trips score like their photos."""
    anomalies, normals = np.array(anomalies, dtype=float), np.array(normals, dtype=float)
    shown = np.arange(normals.shape[1]) if parts is None else np.array(parts)
    count = anomalies.shape[1]
    return Trial(
        generator=generator,
        fold=fold,
        anomaly_scores=anomalies,
        anomaly_parents=shown[np.arange(count) % shown.size][:, None],
        anomaly_strengths=np.arange(1, count + 1) / count,
        anomaly_sizes_px=np.full(count, np.nan) if sizes is None else np.array(sizes, dtype=float),
        round_trip_scores=normals if round_trips is None else np.array(round_trips, dtype=float),
        round_trip_parents=shown[:, None],
        normal_scores=normals,
        normal_parents=shown[:, None],
    )
