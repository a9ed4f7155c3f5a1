"""Zero-shot prompts: is a photo more like a text about anything than like one about the part?

Fung, Qiu, Li, Rudolph, Model Selection of Anomaly Detectors in the Absence of Labeled Validation Data, 2023,
arXiv 2310.10461, 4.3 and A.5, with the networks of CLIP (Radford et al. 2021). Nothing is learned from the
photos. The texts are embedded once, before the photos are read, and their embeddings are kept with the run:
to score with a run needs no text engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.detectors.bank import SavedBank, load_bank, save_bank
from appliance.detectors.patches import check_aspect
from appliance.detectors.protocol import Detector
from appliance.errors import DetectorError
from appliance.pictures import Pictures
from appliance.prompt_texts import PromptTexts
from engines.encoder import Encoder
from engines.errors import EngineError
from engines.text import TextEncoder

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

KIND = "prompt"
REMEDY = 'To leave them out for good: detectors.exclude: ["*/prompt_*"].'


class Prompts(NamedTuple):
    """Candidates, and why others are missing."""

    detectors: list[Detector]
    problems: list[DetectorError]


def prompt_name(encoder: str, slug: str) -> str:
    """The candidate's name."""
    return f"{encoder}/prompt_{slug}"


def is_excluded(name: str, patterns: Sequence[str]) -> bool:
    """Whether a candidate's name fits one of the patterns (`*`, `?` as in file names)."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def prompt_candidates(
    encoders: Sequence[Encoder],
    engines: Sequence[TextEncoder],
    prompts: Sequence[PromptTexts],
    *,
    exclude: Sequence[str] = (),
) -> Prompts:
    """Each prompt with each encoder that has a text engine of its own space; excluded ones cost nothing."""
    found = Prompts([], [])
    for engine in _first_of_each_space(engines):
        partners = [encoder for encoder in encoders if engine.space and encoder.spec.space == engine.space]
        if not partners:
            found.problems.append(_no_partner(engine))
        wanted = [
            (encoder, prompt)
            for encoder in partners
            for prompt in prompts
            if not is_excluded(prompt_name(encoder.name, prompt.slug), exclude)
        ]
        try:
            vectors = _embedded(engine, [prompt for _, prompt in wanted])
        except EngineError as error:
            found.problems.append(DetectorError(f"prompts left out: {error} {REMEDY}"))
            continue
        for encoder, prompt in wanted:
            detector = PromptDetector(encoder, prompt, vectors[prompt.slug], text_engine=engine.sha256)
            if (fault := detector.fault()) is None:
                found.detectors.append(detector)
            else:
                found.problems.append(DetectorError(f"candidate {detector.name} left out: {fault}"))
    return found


class PromptDetector:
    """A candidate that compares a photo's embedding with those of two texts."""

    kind = KIND

    def __init__(self, encoder: Encoder, prompt: PromptTexts, vectors: Floats, *, text_engine: str) -> None:
        """vectors: [2, D] of the normal and the abnormal text; text_engine: the sha256 of what made them."""
        self.name = prompt_name(encoder.name, prompt.slug)
        self.cost_mflop = encoder.spec.gflop * 1000
        self.texts = {"normal": prompt.normal, "abnormal": prompt.abnormal}
        self.text_engine = text_engine
        self._encoder = encoder
        self._vectors = vectors

    def fault(self) -> str | None:
        """Why the two embeddings cannot tell anything, if so."""
        if not np.isfinite(self._vectors).all() or not self._vectors.any(axis=1).all():
            return "an embedding of its texts is no direction. Export the text engine again."
        if np.array_equal(*self._vectors):
            return (
                f"the text engine reads {self.texts['normal']!r} and {self.texts['abnormal']!r} alike, since "
                "it does not see capitals, nor the end of long texts. Give texts that differ."
            )
        return None

    def fit(self, photos: Pictures, *, seed: int) -> FittedPrompt:  # noqa: ARG002 - learns and draws nothing
        return FittedPrompt(self.name, self._encoder, self._vectors, self.texts, aspect=photos.aspect)

    def load(self, folder: Path) -> FittedPrompt:
        return SavedPrompt(self.name, self._encoder).load(folder)


class SavedPrompt:
    """Reads back a prompt of a run, whose texts lie there embedded."""

    def __init__(self, name: str, encoder: Encoder) -> None:
        self.name = name
        self._encoder = encoder

    def load(self, folder: Path) -> FittedPrompt:
        """DetectorError if it is damaged, or made with another encoder."""
        saved = load_bank(folder, detector=self.name, source=_source(self._encoder))
        vectors = np.stack([saved.arrays["normal"], saved.arrays["abnormal"]])
        return FittedPrompt(self.name, self._encoder, vectors, saved.texts, aspect=saved.aspect)


class FittedPrompt:
    """A prompt, ready to score."""

    def __init__(
        self, name: str, encoder: Encoder, vectors: Floats, texts: Mapping[str, str], *, aspect: float
    ) -> None:
        self._name = name
        self._encoder = encoder
        self._vectors = vectors
        self._texts = texts
        self._aspect = aspect
        normal, abnormal = _directions(vectors)
        self._towards = abnormal - normal

    def score(self, photos: Pictures) -> Doubles:
        """[N] cosine similarity with the abnormal text, less that with the normal one.

        Paper: the softmax probability of the abnormal text, which rises and falls with this, but rounds to 0
        or 1 where a photo is clear.
        """
        check_aspect(self._name, photos, self._aspect)
        rows = range(len(photos))
        images = _directions(np.stack([photos.encoded(self._encoder, row)["embedding"] for row in rows]))
        # Not a matrix product: its last bits would depend on how many photos came together.
        scores: Doubles = (images * self._towards).sum(axis=1)
        return scores

    def save(self, folder: Path) -> None:
        bank = SavedBank(
            detector=self._name,
            source=_source(self._encoder),
            aspect=self._aspect,
            arrays={"normal": self._vectors[0], "abnormal": self._vectors[1]},
            texts=self._texts,
        )
        save_bank(bank, folder)


def saved_prompts(encoders: Sequence[Encoder], names: Sequence[str]) -> Iterator[SavedPrompt]:
    """Those of `names` that are called as prompts of one of the encoders are."""
    for encoder in encoders:
        start = prompt_name(encoder.name, "")
        yield from (SavedPrompt(name, encoder) for name in names if name.startswith(start))


def _first_of_each_space(engines: Sequence[TextEncoder]) -> Iterator[TextEncoder]:
    first: dict[str, TextEncoder] = {}
    for engine in engines:
        first.setdefault(engine.space, engine)
    yield from first.values()


def _no_partner(engine: TextEncoder) -> DetectorError:
    space = engine.space or "it names none"
    return DetectorError(
        f"text engine {engine.name}: no image engine of its space ({space}) is in use, so it gives no "
        "prompts. Install both folders that `goodparts-export clip` wrote."
    )


def _embedded(engine: TextEncoder, prompts: Sequence[PromptTexts]) -> dict[str, Floats]:
    """slug -> [2, D] of its normal and its abnormal text."""
    texts = {prompt.slug: (prompt.normal, prompt.abnormal) for prompt in prompts}
    if not texts:
        return {}  # nothing is asked of the tokenizer, which may not be installed
    rows = engine.embed([text for pair in texts.values() for text in pair])
    return dict(zip(texts, rows.reshape(len(texts), 2, -1), strict=True))


def _directions(vectors: Floats) -> Doubles:
    """[N, D] at length 1; what has no length stays 0, and is like nothing."""
    exact = vectors.astype(np.float64)
    lengths = np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    directions: Doubles = exact / lengths
    return directions


def _source(encoder: Encoder) -> str:
    return f"{encoder.spec.sha256}:embedding:cosine"
