"""Good photos, real and synthetic anomalies as points on a plane: t-SNE of an encoder's embeddings.

van der Maaten and Hinton, "Visualizing Data using t-SNE", 2008, as scikit-learn has it. Near points were
near; how far groups lie apart, and how large they are, means nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from appliance.replay.unit import Neighbourhood

PERPLEXITY = 30.0  # the usual; at most a third of the points


def flat_map(near: Neighbourhood, *, seed: int) -> dict[str, Any]:
    """`points` by kind as lists of [x, y]; without scikit-learn `points` is None and `missing` says so."""
    about = {"encoder": near.encoder, "out_class": near.out_class, "auroc": near.auroc}
    try:
        manifold = importlib.import_module("sklearn.manifold")
        threads = importlib.import_module("threadpoolctl")  # scikit-learn needs it
    except ImportError:
        missing = "scikit-learn is not installed: pip install 'goodparts[replay]'"
        return {**about, "points": None, "missing": missing}
    kinds = {"normal": near.normal, "real": near.real, **near.synthetic}
    rows = np.concatenate(list(kinds.values())).astype(np.float64)
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    with threads.threadpool_limits(1):  # a sum's last bits, of which t-SNE makes much, depend on its threads
        flat = manifold.TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(rows)
    ends = np.cumsum([len(embeddings) for embeddings in kinds.values()])[:-1]
    points = dict(zip(kinds, (part.round(3).tolist() for part in np.split(flat, ends)), strict=True))
    return {**about, "points": points}
