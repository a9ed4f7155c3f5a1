"""appliance/screening.py: the screen of a calibration, and a person's word."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.errors import ImagesError
from appliance.intake import Intake
from appliance.photo import Photo
from appliance.screening import RANKS, looks_of, next_step, scores_of, screen_photos, without_bad
from engines.packs import load_installed
from tests.pictures import draw_part, with_noise


@pytest.fixture(scope="module")
def encoders() -> Sequence[object]:
    return load_installed((), device="cpu", threads=1).encoders


@pytest.fixture(scope="module")
def photos() -> tuple[Photo, ...]:
    """Twenty-four good parts, then one with a scratch and the same once more."""
    rng = np.random.default_rng(0)
    pixels = [draw_part(rng) for _ in range(24)]
    bad = draw_part(np.random.default_rng(99))
    cv2.line(bad, (30, 34), (66, 60), (250, 250, 250), 2, cv2.LINE_AA)
    pixels += [bad, with_noise(bad, rng)]
    return tuple(
        Photo(name=f"{i}.png", sha256=f"{i:064x}", pixels=picture, part=min(i, 24))
        for i, picture in enumerate(pixels)
    )


def _names(photos: Sequence[Photo]) -> list[str]:
    return [photo.name for photo in photos]


def test_both_photos_of_a_bad_part_are_suspects(photos: tuple[Photo, ...], encoders: Sequence) -> None:
    """They count as one part, are no company for one another, and the reason names what saw it."""
    with ThreadPoolExecutor(1) as pool:
        found = screen_photos(photos, encoders, {}, pool)
    assert _names([suspect.photo for suspect in found.suspects]) == ["24.png", "25.png"]
    assert found.removed_count == 1 and found.warnings == ()
    assert _names(found.unsuspected) == [f"{i}.png" for i in range(24)]
    assert "times as unlike the other photos" in found.suspects[0].reason
    assert any(f"({name})" in found.suspects[0].reason for name in looks_of(encoders))
    assert [found.places[photo.sha256] for photo in photos] == list(range(26))


def test_one_good_word_speaks_for_the_part(photos: tuple[Photo, ...], encoders: Sequence) -> None:
    """Its other photo shows the same."""
    with ThreadPoolExecutor(1) as pool:
        found = screen_photos(photos, encoders, {photos[25].sha256: "good"}, pool)
    assert found.suspects == () and found.unsuspected == photos


def test_what_encoders_said_is_not_asked_again(photos: tuple[Photo, ...], encoders: Sequence) -> None:
    """The batch of the screen is that of the calibration: outputs are there for whoever takes from it."""
    with ThreadPoolExecutor(1) as pool:
        pictures = screen_photos(photos, encoders, {}, pool).pictures
    asked = []
    pictures._infer = lambda encoder, places, views: asked.append(places)  # type: ignore[assignment]
    taken = pictures.take([3, 5])
    for encoder in (e for e in encoders if e.name in ("specula", "tessera")):
        assert taken.outputs(encoder)["embedding"].shape[0] == 2
    assert asked == []


def test_the_order_of_photos_does_not_matter(photos: tuple[Photo, ...], encoders: Sequence) -> None:
    """Each has the same scores in any order: with few photos all are compared with all."""
    with ThreadPoolExecutor(1) as pool:
        found = [
            scores_of(screen_photos(order, [], {}, pool).pictures, _parts(order), encoders, pool)
            for order in (photos, photos[::-1])
        ]
    assert found[0][0] == found[1][0] and len(found[0][0]) == len(found[0][1]) == len(RANKS) * 4
    good = slice(0, 24)
    assert found[1][1][:, ::-1][:, good] == pytest.approx(found[0][1][:, good], rel=0.02)


def _parts(photos: Sequence[Photo]) -> np.ndarray:
    return np.array([photo.part for photo in photos])


def _intake(photos: Sequence[Photo]) -> Intake:
    return Intake(photos=tuple(photos), refused=(), warnings=(), unused=())


def test_what_a_person_confirmed_bad_is_refused_with_its_copies(photos: tuple[Photo, ...]) -> None:
    """But for a copy that the person found good."""
    said = {photos[24].sha256: "bad"}
    found = without_bad(_intake(photos), said, Path("good"))
    assert [(refusal.name, refusal.code) for refusal in found.refused] == [
        ("24.png", "confirmed_bad"),
        ("25.png", "confirmed_bad"),
    ]
    assert "the same part as 24.png" in found.refused[1].reason
    assert found.photos == photos[:24]
    kept = without_bad(_intake(photos), {**said, photos[25].sha256: "good"}, Path("good"))
    assert _names(kept.photos)[-1] == "25.png" and len(kept.refused) == 1
    assert without_bad(_intake(photos), {"0" * 63 + "f": "good"}, Path("good")).photos == photos


def test_too_few_good_ones_are_no_folder(photos: tuple[Photo, ...]) -> None:
    """Ten parts, one of them bad, cannot serve."""
    ten = [replace(photo, part=i) for i, photo in enumerate(photos[:10])]
    with pytest.raises(ImagesError, match="found 9, needed 10"):
        without_bad(_intake(ten), {ten[0].sha256: "bad"}, Path("good"))


def test_nobody_is_sent_to_look_at_nothing() -> None:
    """No suspects, no step."""
    assert next_step(()) == ()
