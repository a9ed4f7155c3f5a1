"""What calibrates a station again when it changes, and what does not."""

from __future__ import annotations

import os
from typing import Any

import pytest

from appliance.daemon.calibrated_with import changes, settings_hash
from appliance.settings import FoldsSettings, StationSettings

ENGINES = {"embedded_fine": "ab" * 32, "diffusion_64": "cd" * 32}
CANDIDATES = ["embedded_fine/pooled", "gabor/pooled"]
ENCODER = {"name": "own", "path": "models/own.onnx", "image_size": 224}


def _hash(candidates: list[str] = CANDIDATES, **settings: Any) -> str:
    return settings_hash(StationSettings.model_validate({"name": "a", **settings}), ENGINES, candidates)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "b"},
        {"images": "elsewhere"},
        {"recalibration": {"new_photos": 10, "quiet_hours": ["06:00-22:00"], "golden_photos": 0}},
        {"scoring": {"images": "new", "heatmaps": "all"}},
        {"retention": {"runs": 2, "days": 3, "gib": 0.1}},
        {"intake": {"minimum": 10, "poll_s": 9.0, "settle_s": 9.0, "ignore": ["*_mask.png"]}},
        {"generators": {"perlin": {"count": 48}}},  # what is the default anyway
        {"part_name": "gear", "part_noun": "wheel"},  # nothing here reads it
        {"detectors": {"exclude": ["nothing/*"]}},
    ],
    ids=str,
)
def test_what_a_calibration_does_not_see_calibrates_nothing_again(change: dict[str, Any]) -> None:
    """When, what is scored, what is kept, where photos lie: the hash stays."""
    assert _hash(**change) == _hash()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"region": [0, 0, 100, 100]},
        {"intake": {"maximum": 60}},
        {"intake": {"working_px": 256}},
        {"intake": {"bit_depth": 12}},
        {"folds": {"count": 6}},
        {"decision": {"margin": 0.1}},
        {"decision": {"fallback": "gabor/pooled"}},
        {"threshold": {"max_false_reject_rate": 0.01}},
        {"generators": {"perlin": {"count": 20}}},
        {"generators": {"perlin": {"enabled": False}}},
        {"generators": {"diffstyle_global": {"votes": True}}},
        {"detectors": {"encoders": [ENCODER]}},
        {"detectors": {"prompts": [{"name": "own", "normal": "a {}", "abnormal": "a bad {}"}]}},
    ],
    ids=str,
)
def test_what_a_calibration_hangs_on_changes_the_settings_part(change: dict[str, Any]) -> None:
    """And the words say that it is a setting."""
    assert changes(_hash(), _hash(**change)) == "settings"


def test_a_release_with_a_new_setting_calibrates_nothing_again() -> None:
    """As long as that is at its default."""

    class LaterFolds(FoldsSettings):
        stratified: bool = False

    class LaterStation(StationSettings):
        folds: LaterFolds = LaterFolds()

    for folds in ({}, {"count": 6}):
        later = LaterStation.model_validate({"name": "a", "folds": folds})
        assert settings_hash(later, ENGINES, CANDIDATES) == _hash(folds=folds)
    set_on = LaterStation.model_validate({"name": "a", "folds": {"stratified": True}})
    assert changes(_hash(), settings_hash(set_on, ENGINES, CANDIDATES)) == "settings"


def test_engines_and_detectors_are_told_apart() -> None:
    """A model with another hash, a new model, a detector more or less."""
    station = StationSettings(name="a")
    before = settings_hash(station, ENGINES, CANDIDATES)
    other = settings_hash(station, {**ENGINES, "embedded_fine": "ef" * 32}, CANDIDATES)
    assert changes(before, other) == "engines"
    more = settings_hash(station, {**ENGINES, "new": "ef" * 32}, [*CANDIDATES, "new/pooled"])
    assert changes(before, more) == "engines and the list of detectors"
    assert changes(before, settings_hash(station, ENGINES, CANDIDATES[:1])) == "the list of detectors"


def test_order_says_nothing() -> None:
    """Engines and candidates come in any order."""
    station = StationSettings(name="a")
    backwards = dict(reversed(list(ENGINES.items())))
    assert settings_hash(station, backwards, CANDIDATES[::-1]) == _hash()


def test_what_was_there_before_may_be_unknown_or_the_same() -> None:
    """Neither is a change."""
    assert changes(None, _hash()) is None
    assert changes(_hash(), _hash()) is None


def test_settings_of_a_generator_that_is_off_do_not_matter() -> None:
    """What makes no anomalies may be set to anything."""
    off = {"enabled": False}
    assert _hash(generators={"poisson": {**off, "count": 99}}) == _hash(generators={"poisson": off})


def test_an_own_encoder_is_what_its_hash_says_and_how_pictures_reach_it() -> None:
    """Its file may move; its picture size may not change."""
    moved = {**ENCODER, "path": "elsewhere/own.onnx"}
    assert _hash(detectors={"encoders": [ENCODER]}) == _hash(detectors={"encoders": [moved]})
    larger = {**ENCODER, "image_size": 256}
    assert _hash(detectors={"encoders": [ENCODER]}) != _hash(detectors={"encoders": [larger]})


def test_the_part_s_name_matters_where_prompts_speak_of_it() -> None:
    """With a text prompt among the candidates a station with another name chooses anew."""
    candidates = [*CANDIDATES, "clip-vit-b-16/prompt_photo"]
    assert changes(_hash(candidates), _hash(candidates, part_name="gear")) == "settings"


def test_a_path_may_hold_any_bytes() -> None:
    """Names from a camera's share are not always UTF-8."""
    folder = os.fsdecode(b"photos-\xff")
    assert _hash(generators={"foreign": {"pictures": folder}}) != _hash()
