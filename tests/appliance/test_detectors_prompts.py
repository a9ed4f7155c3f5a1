"""appliance/detectors/prompts.py: a photo beside two texts, and which prompts there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detector_fakes import FakeEncoder, drawn_pictures

from appliance.detectors import installed
from appliance.detectors.prompts import PromptDetector, SavedPrompt, prompt_candidates, saved_prompts
from appliance.errors import DetectorError
from appliance.prompt_texts import SLUGS, PromptTexts, published_prompts
from engines.errors import EngineError

SPACE = "tiny/sha256:0"
PROMPTS = tuple(published_prompts("gear", None))


class FakeTextEngine:
    """Four numbers for a text, drawn from its letters; `asked` has every call's texts."""

    def __init__(
        self,
        space: str = SPACE,
        *,
        name: str = "tiny-text",
        fails: bool = False,
        embed: Callable[..., Any] | None = None,
    ) -> None:
        self.space = space
        self.name = name
        self.sha256 = name.ljust(64, "0")
        self.asked: list[list[str]] = []
        self._fails = fails
        self._embed = embed or _embedding

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(list(texts))
        if self._fails:
            raise EngineError("tokenizer.json: texts need the package `tokenizers`. Install it.")
        return np.stack([self._embed(text) for text in texts]).astype(np.float32)


def _embedding(text: str) -> np.ndarray:
    return np.random.default_rng(list(text.encode())).standard_normal(4)


def _one(encoder: FakeEncoder, prompt: PromptTexts = PROMPTS[0]) -> PromptDetector:
    ((detector,), _) = prompt_candidates([encoder], [FakeTextEngine()], [prompt])
    return detector


def test_the_score_is_the_difference_of_two_cosines() -> None:
    """Towards the abnormal text less towards the normal one, photo by photo, in fp64."""
    encoder, pictures = FakeEncoder(space=SPACE), drawn_pictures(range(5))
    scores = _one(encoder).fit(pictures, seed=0).score(pictures)
    normal, abnormal = (
        _embedding(text).astype(np.float32).astype(float) for text in (PROMPTS[0].normal, PROMPTS[0].abnormal)
    )
    for score, image in zip(scores, pictures.outputs(encoder)["embedding"].astype(float), strict=True):
        cosines = [image @ text / np.linalg.norm(image) / np.linalg.norm(text) for text in (normal, abnormal)]
        assert score == pytest.approx(cosines[1] - cosines[0], abs=1e-12)
    assert scores.dtype == np.float64 and len(set(scores)) == 5


def test_photos_rank_as_by_the_softmax_of_the_publication() -> None:
    """CLIP's probability of the abnormal text puts photos in the same order."""
    encoder, pictures = FakeEncoder(space=SPACE), drawn_pictures(range(12))
    detector = _one(encoder)
    scores = detector.fit(pictures, seed=0).score(pictures)
    texts = np.stack([_embedding(text) for text in detector.texts.values()])
    images = pictures.outputs(encoder)["embedding"]
    unit_images, unit_texts = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (images, texts))
    logits = 5 * unit_images @ unit_texts.T
    probability = np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)
    np.testing.assert_array_equal(np.argsort(scores), np.argsort(probability))


def test_the_photos_teach_nothing() -> None:
    """Whatever it was fitted to, with whatever seed, it scores alike, alone or among others."""
    detector, pictures = _one(FakeEncoder(space=SPACE)), drawn_pictures(range(6))
    scores = detector.fit(pictures, seed=0).score(pictures)
    other = detector.fit(drawn_pictures([99]), seed=1)
    np.testing.assert_array_equal(other.score(pictures), scores)
    alone = [other.score(pictures.take([row]))[0] for row in range(6)]
    assert alone == scores.tolist()


def test_it_shares_the_encoders_pass() -> None:
    """After the pooled candidate has seen a photo, all prompts are done with it too."""
    encoder, pictures = FakeEncoder(strides=(), space=SPACE), drawn_pictures(range(3))
    found = installed([encoder], texts=[FakeTextEngine()], prompts=PROMPTS).detectors
    mine = [detector for detector in found if detector.name.startswith("fake/")]
    assert [detector.name for detector in mine] == ["fake/pooled", *(f"fake/prompt_{slug}" for slug in SLUGS)]
    for detector in mine:
        detector.fit(pictures, seed=0).score(pictures)
    assert encoder.seen == 3


def test_a_prompt_costs_its_encoders_pass() -> None:
    """The same on every machine."""
    detector = _one(FakeEncoder(space=SPACE))
    assert (detector.kind, detector.cost_mflop) == ("prompt", 10.0)
    assert detector.texts == {"normal": "a photo of a gear", "abnormal": "a photo of something"}


def test_a_picture_without_direction_is_like_nothing() -> None:
    """A dead embedding scores 0, not NaN."""
    encoder, pictures = FakeEncoder(space=SPACE), drawn_pictures([1])
    encoder.infer = lambda batch: {"embedding": np.zeros((len(batch), 4), np.float32)}  # type: ignore[method-assign]
    assert _one(encoder).fit(pictures, seed=0).score(pictures).tolist() == [0.0]


def test_a_saved_prompt_scores_without_a_text_engine(tmp_path: Path) -> None:
    """Both embeddings and both texts lie in its folder; the encoder is all that is needed."""
    encoder, pictures = FakeEncoder(space=SPACE), drawn_pictures(range(4))
    detector = _one(encoder)
    fitted = detector.fit(pictures, seed=0)
    fitted.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["abnormal.npy", "detector.json", "normal.npy"]
    assert json.loads((tmp_path / "detector.json").read_text())["texts"] == detector.texts
    (saved,) = saved_prompts([encoder], [detector.name, "fake/pooled", "other/prompt_photo"])
    for again in (saved.load(tmp_path), detector.load(tmp_path)):
        np.testing.assert_array_equal(again.score(pictures), fitted.score(pictures))


def test_saving_what_was_loaded_gives_the_same_bytes(tmp_path: Path) -> None:
    """Texts included."""
    encoder = FakeEncoder(space=SPACE)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    _one(encoder).fit(drawn_pictures([0]), seed=0).save(first)
    SavedPrompt("fake/prompt_photo", encoder).load(first).save(second)
    for path in first.iterdir():
        assert (second / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "encoder", [FakeEncoder(space=SPACE, sha256="a" * 64), FakeEncoder("other", space=SPACE)]
)
def test_a_prompt_of_another_encoder_is_refused(encoder: FakeEncoder, tmp_path: Path) -> None:
    """Embeddings of texts are worth nothing beside another network's pictures."""
    _one(FakeEncoder(space=SPACE)).fit(drawn_pictures([0]), seed=0).save(tmp_path)
    with pytest.raises(DetectorError, match="made with"):
        SavedPrompt(f"{encoder.name}/prompt_photo", encoder).load(tmp_path)


def test_a_batch_of_another_shape_is_refused() -> None:
    """As with every candidate: pictures are shown to the encoder by the station's aspect."""
    pictures = drawn_pictures([0])
    fitted = _one(FakeEncoder(space=SPACE)).fit(pictures, seed=0)
    pictures.aspect = 1.0
    with pytest.raises(DetectorError, match=r"fake/prompt_photo: fitted to photos of width/height 1\.5"):
        fitted.score(pictures)


def test_only_engines_of_one_space_match() -> None:
    """An encoder of another space, or of none, has no prompts; a text engine without partner is told of."""
    encoders = [FakeEncoder("a", space=SPACE), FakeEncoder("b", space="else"), FakeEncoder("c")]
    texts = [FakeTextEngine(), FakeTextEngine("lonely", name="lonely"), FakeTextEngine("", name="placeless")]
    detectors, problems = prompt_candidates(encoders, texts, PROMPTS[:2])
    assert [detector.name for detector in detectors] == ["a/prompt_photo", "a/prompt_cropped"]
    lonely, placeless = map(str, problems)
    assert "text engine lonely: no image engine of its space (lonely) is in use" in lonely
    assert "text engine placeless" in placeless and "it names none" in placeless
    assert [engine.asked == [] for engine in texts] == [False, True, True]


def test_texts_are_embedded_once() -> None:
    """However many encoders and text engines share a space: by the first, in one call."""
    encoders = [FakeEncoder("a", space=SPACE), FakeEncoder("b", space=SPACE)]
    first, second = FakeTextEngine(), FakeTextEngine(name="second")
    detectors, problems = prompt_candidates(encoders, [first, second], PROMPTS)
    assert (len(detectors), problems) == (20, [])
    assert first.asked == [[text for prompt in PROMPTS for text in (prompt.normal, prompt.abnormal)]]
    assert second.asked == []
    assert {detector.text_engine for detector in detectors} == {first.sha256}


def test_what_is_excluded_is_not_embedded() -> None:
    """A box without `tokenizers` that excludes prompts hears nothing of it."""
    encoder, engine = FakeEncoder(space=SPACE), FakeTextEngine(fails=True)
    assert prompt_candidates([encoder], [engine], PROMPTS, exclude=["*/prompt_*"]) == ([], [])
    assert engine.asked == []
    engine = FakeTextEngine()
    detectors, _ = prompt_candidates([encoder], [engine], PROMPTS, exclude=["*/prompt_[!ps]*", "*_photo"])
    assert [detector.name for detector in detectors] == ["fake/prompt_small"]
    assert engine.asked == [["a photo of a small gear", "a photo of a small something"]]


def test_a_text_engine_that_fails_leaves_the_rest() -> None:
    """One problem says what is missing and both remedies; the other candidates are there."""
    found = installed([FakeEncoder(space=SPACE)], texts=[FakeTextEngine(fails=True)], prompts=PROMPTS)
    assert not any("/prompt_" in detector.name for detector in found.detectors) and len(found.detectors) > 3
    (problem,) = map(str, found.problems)
    assert "prompts left out" in problem and "`tokenizers`. Install it" in problem
    assert 'detectors.exclude: ["*/prompt_*"]' in problem


@pytest.mark.parametrize(
    ("embed", "said"),
    [
        (lambda text: np.full(4, np.nan), "no direction"),
        (lambda text: np.zeros(4), "no direction"),
        (lambda text: np.ones(4), "reads 'a photo of a gear' and 'a photo of something' alike"),
    ],
    ids=["nan", "zero", "alike"],
)
def test_texts_that_tell_nothing_are_left_out(embed: Callable[[str], np.ndarray], said: str) -> None:
    """Each such prompt with its reason, before any photo is read."""
    engine = FakeTextEngine(embed=embed)
    detectors, (problem,) = prompt_candidates([FakeEncoder(space=SPACE)], [engine], PROMPTS[:1])
    assert detectors == [] and said in str(problem) and "fake/prompt_photo left out" in str(problem)
