"""How a text engine ranks pairs of prompts: by the cosine of their embeddings.

The prompts are the paper's, for a few parts (Fung et al., "Model Selection of Anomaly Detectors in the
Absence of Labeled Validation Data", arXiv 2310.10461, A.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from engines.text import INPUT, OUTPUT, TOKENIZER_FILE, prepared
from export.rungs import Graph

PARTS = ("metal nut", "bottle", "something")
TEMPLATES = (
    "a photo of a {}",
    "a cropped photo of a {}",
    "a dark photo of a {}",
    "a bright photo of a {}",
    "a close-up photo of a {}",
    "a blurry photo of a {}",
    "a photo of a {} for inspection",
    "a photo of a small {}",
)
BATCH = 8


def prompts() -> list[str]:
    return [template.format(part) for part in PARTS for template in TEMPLATES]


def tokens(folder: Path) -> npt.NDArray[np.int64]:
    """Ids [N, context] of the prompts, by the tokenizer beside the engine."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    return np.array([tokenizer.encode(prepared(text)).ids for text in prompts()], dtype=np.int64)


def rank_text(folder: Path, graph: Graph) -> Mapping[str, float]:
    """Cosine by pair of prompts."""
    ids = tokens(folder)
    parts = [graph.infer({INPUT: ids[i : i + BATCH]})[OUTPUT] for i in range(0, len(ids), BATCH)]
    embeddings = np.concatenate(parts).astype(np.float64)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = unit @ unit.T
    return {f"{a} / {b}": float(cosines[i, j]) for (i, a), (j, b) in combinations(enumerate(prompts()), 2)}
