"""appliance/result.py: what a calibration found, as its schema promises it."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest

import appliance
from appliance.agreement import Agreement
from appliance.decision import CandidateResult, Decision, GeneratorScore
from appliance.detectors.prompts import PromptDetector
from appliance.evidence import Evidence
from appliance.generators import GENERATORS
from appliance.incumbent import Incumbent
from appliance.intake import Intake, Refusal
from appliance.operating import Operating, operating
from appliance.photo import Photo
from appliance.plan import Engines, Plan
from appliance.prompt_texts import published_prompts
from appliance.result import Outcome, result_of
from appliance.run_folder import write_result
from appliance.settings import EnginesSettings, default_settings
from appliance.threshold import ThresholdOptions, threshold_cross_fitted
from appliance.trials import Workload
from tests.fakes import FakeDetector, FakeGenerator, photos_of
from tests.small_trials import trial

SCHEMA = json.loads((Path(appliance.__file__).parent / "result.schema.json").read_text("utf-8"))
STAGES = [
    {"name": "read photos", "seconds": 1.25, "peak_mib": 80.0},
    {"name": "generate perlin", "seconds": 3.5, "peak_mib": 90.0},
]
NAMES = ("best", "second", "broken/late", "broken/early")


def _plan(**changes: Any) -> Plan:
    photos = photos_of(12)
    spec = SimpleNamespace(sha256="e" * 64, pack="embedded")
    manifest = SimpleNamespace(name="unet64", pack="embedded")
    intake = Intake(
        photos=tuple(photos),
        refused=(
            Refusal(name="a.png", reason="the file ends too early", code="truncated"),
            Refusal(name="caf\\xe9.png", reason="not an image", code="not_an_image", name_b64="Y2Fm6S5wbmc="),
        ),
        warnings=(),
        unused=("z.png",),
    )
    fields: dict[str, Any] = {
        "images": Path("/srv/good"),
        "station": default_settings().station(),
        "engines": Engines(
            unet=SimpleNamespace(manifest=manifest, sha256="f" * 64, device="cpu", rung="cpu"),
            encoders=(SimpleNamespace(name="enc", spec=spec, device="cpu", rung="cpu"),),
            problems=(),
            settings=EnginesSettings(),
            threads=2,
        ),
        "detectors": tuple(FakeDetector(name) for name in NAMES),
        "workloads": (Workload(generator=FakeGenerator("perlin"), count=48),),
        "intake": intake,
        "photos": tuple(photos[:10]),
        "held_out": tuple(photos[10:]),
        "warnings": ("few photos",),
    }
    return Plan(**{**fields, **changes})


def _candidate(name: str, rank: int) -> CandidateResult:
    return CandidateResult(
        name=name,
        auroc=0.9 / rank,
        auroc_low=0.8 / rank,
        auroc_high=0.95 / rank,
        per_generator={"perlin": GeneratorScore(auroc=0.95, auroc_round_trip=0.9)},
        mean_rank=float(rank),
        p_best=1 / 3,
        p_near_best=1 / 2,
        rank=rank,
        leader_ahead=None if rank == 1 else 0.97,
    )


def _operating() -> Operating:
    """The candidate that failed last is not among those that have one."""
    scores = np.arange(24.0) * np.array([[1.0], [0.5]])
    one = trial(scores, np.tile(np.arange(10.0), (2, 1)), sizes=np.arange(24) + 1 / 3)
    evidence = Evidence(candidates=NAMES[:2], trials=[one])
    return operating(evidence, threshold_rate=1 / 11, good_images=10, confidence=0.95)


def _outcome() -> Outcome:
    decision = Decision(
        outcome="chosen",
        chosen="best",
        reason="It is better.",
        next_steps=("Score a few parts.",),
        candidates=tuple(_candidate(name, i + 1) for i, name in enumerate(NAMES[:3])),
        agreement=Agreement(w=0.8, p_value=0.01, smallest_p=0.001),
    )
    return Outcome(
        decision=decision,
        detectors=[FakeDetector(name) for name in NAMES],
        threshold=threshold_cross_fitted(np.arange(10.0), np.arange(10), ThresholdOptions()),
        operating=_operating(),
        failures={
            "broken/early": "could not be fitted: RuntimeError: no such luck",
            "broken/late": "could not be saved: OSError: no",
        },
        counts={"perlin": (48, 47)},
        latencies_ms={"best": 1.5, "second": 2.5},
        banks={"best": "best", "second": "second"},
    )


def test_the_result_fits_its_schema(tmp_path: Path) -> None:
    """As it is written, with everything that can be absent absent and present."""
    result = result_of(_plan(), _outcome(), STAGES)
    write_result(tmp_path, result)
    read = json.loads((tmp_path / "result.json").read_text("utf-8"))
    jsonschema.validate(read, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert read == json.loads(json.dumps(result))


def test_the_detector_of_before_is_written() -> None:
    """Its name, whether it stays, and why; null in a first calibration."""
    outcome = _outcome()
    before = Incumbent(name="second", kept=False, why="It could not be fitted: no.")
    again = dataclasses.replace(outcome, decision=dataclasses.replace(outcome.decision, incumbent=before))
    result = result_of(_plan(), again, STAGES)
    assert result["incumbent"] == {"name": "second", "kept": False, "why": "It could not be fitted: no."}
    jsonschema.validate(result, SCHEMA)
    assert result_of(_plan(), outcome, STAGES)["incumbent"] is None


def test_what_a_threshold_means_is_written() -> None:
    """Once what all share, with the photos' size at the camera; of each candidate its own; six digits."""
    photos = tuple(dataclasses.replace(photo, reduction=2.5) for photo in photos_of(10))
    result = result_of(_plan(photos=photos), _outcome(), STAGES)
    found = result["operating"]
    assert found["rate"] == found["threshold_rate"] == found["resolution"] == 0.090909
    assert found["photo_px"] == [160, 160] and found["good_images"] == 10
    best, second, late, early = (row["operating"] for row in result["candidates"])
    assert len(best["curve"]) == len(found["rates"]) == len(found["rates_low"]) == len(found["rates_high"])
    assert best["found"] == round(14 / 24, 6) and second["found"] == round(5 / 24, 6)
    assert best["per_generator"]["perlin"]["smallest_px"] == 10.333333
    assert second["per_generator"]["perlin"]["smallest_px"] is None
    assert late is early is None
    assert result["generators"][0]["sizes_px"] == [0.333333, 23.333333]


def test_candidates_come_by_rank_and_the_failed_last() -> None:
    """One that failed before the decision has no figures, one that failed later keeps them; both say why."""
    rows = result_of(_plan(), _outcome(), STAGES)["candidates"]
    assert [row["name"] for row in rows] == list(NAMES)
    assert [row["rank"] for row in rows] == [1, 2, 3, None]
    assert [row["bank"] for row in rows] == ["best", "second", None, None]
    assert [row["latency_ms"] for row in rows] == [1.5, 2.5, None, None]
    assert [row["error"] is None for row in rows] == [True, True, False, False]
    assert rows[2]["auroc"] == 0.3 and rows[3]["auroc"] is None
    assert rows[0]["p_best"] == 0.333333
    assert {tuple(sorted(set(row) - {"leader_ahead"})) for row in rows} == {
        tuple(sorted(set(rows[0]) - {"leader_ahead"}))
    }


def test_prompts_show_their_texts(tmp_path: Path) -> None:
    """Those that failed too; the text engine that they came from is listed, one that served none is not."""
    spec = SimpleNamespace(sha256="e" * 64, pack="full", gflop=1.0, space="x")
    encoder = SimpleNamespace(name="clip", spec=spec, device="cpu", rung="cpu")
    vectors = np.eye(2, dtype=np.float32)
    prompts = [
        PromptDetector(encoder, prompt, vectors, text_engine="a" * 64)  # type: ignore[arg-type]
        for prompt in list(published_prompts("gear", None))[:2]
    ]
    manifest = SimpleNamespace(pack="full")
    texts = tuple(
        SimpleNamespace(
            name=f"text-{letter}", sha256=letter * 64, device="cpu", rung="cpu", manifest=manifest
        )
        for letter in "ab"
    )
    plan, outcome = _plan(detectors=(*prompts, FakeDetector("second"))), _outcome()
    plan = dataclasses.replace(plan, engines=dataclasses.replace(plan.engines, texts=texts))
    names = (prompts[0].name, "second")
    decision = dataclasses.replace(
        outcome.decision, chosen=names[0], candidates=tuple(_candidate(n, i + 1) for i, n in enumerate(names))
    )
    outcome = dataclasses.replace(
        outcome,
        decision=decision,
        detectors=plan.detectors,
        failures={prompts[1].name: "could not score: no"},
    )
    result = result_of(plan, outcome, STAGES)
    write_result(tmp_path, result)
    jsonschema.validate(json.loads((tmp_path / "result.json").read_text("utf-8")), SCHEMA)
    assert [row.get("texts") for row in result["candidates"]] == [
        {"normal": "a photo of a gear", "abnormal": "a photo of something"},
        None,
        {"normal": "a cropped photo of a gear", "abnormal": "a cropped photo of something"},
    ]
    assert [row["kind"] for row in result["candidates"]] == ["prompt", "fake", "prompt"]
    engines = [(row["name"], row["kind"], row["sha256"]) for row in result["software"]["engines"]]
    assert engines[2:] == [("text-a", "text", "a" * 64)]


def test_every_photo_has_its_role() -> None:
    """Those that choose, those held out, those beyond the maximum; and the refused with the reason."""
    result = result_of(_plan(), _outcome(), STAGES)
    roles = [row["role"] for row in result["support"]]
    assert roles == ["selection"] * 10 + ["held_out"] * 2 + ["unused"]
    assert result["support"][-1] == {"file": "z.png", "role": "unused"}
    assert [row["name"] for row in result["refused"]] == ["a.png", "caf\\xe9.png"]
    assert "name_b64" not in result["refused"][0]
    assert result["refused"][1]["name_b64"] == "Y2Fm6S5wbmc="


def test_a_photos_name_in_bytes_is_kept() -> None:
    """Where its text had to escape some."""
    photo = photos_of(1)[0]
    odd = Photo(
        name="caf\\xe9.png", sha256=photo.sha256, pixels=photo.pixels, part=0, name_b64="Y2Fm6S5wbmc="
    )
    intake = Intake(photos=(odd,), refused=(), warnings=(), unused=())
    (row,) = result_of(_plan(intake=intake), _outcome(), STAGES)["support"]
    assert row["name_b64"] == "Y2Fm6S5wbmc="


def test_generators_are_what_they_made() -> None:
    """Counts as made and not as planned, seconds of their stage, settings as used."""
    (row,) = result_of(_plan(), _outcome(), STAGES)["generators"]
    assert (row["name"], row["count"], row["round_trips"], row["seconds"]) == ("perlin", 48, 47, 3.5)
    assert row["weight"] == 1.0 and row["settings"]["enabled"] is True
    assert row["name"] in GENERATORS


def test_a_run_can_be_repeated_from_its_result() -> None:
    """Seed, settings, threads, device and the hash of every engine."""
    software = result_of(_plan(), _outcome(), STAGES)["software"]
    assert (software["seed"], software["threads"], software["device"]) == (0, 2, "cpu")
    assert [(e["name"], e["kind"], e["sha256"][0]) for e in software["engines"]] == [
        ("unet64", "unet", "f"),
        ("enc", "encoder", "e"),
    ]
    assert software["settings"] == default_settings().station().model_dump(mode="json")


def test_runs_have_ids_of_their_own() -> None:
    """Also two of one second; the rest of two results is the same but for the time."""
    one, other = (result_of(_plan(), _outcome(), STAGES) for _ in range(2))
    assert one["run_id"] != other["run_id"]
    for key in one.keys() - {"run_id", "created"}:
        assert one[key] == other[key]


@pytest.mark.parametrize("raw", [b"/srv/caf\xe9", "/srv/Zähne".encode()])
def test_paths_of_any_bytes_are_printable(tmp_path: Path, raw: bytes) -> None:
    """Where photos lay and what was warned of can be shown anywhere."""
    path = os.fsdecode(raw)
    result = result_of(_plan(images=Path(path), warnings=(f"{path}: odd",)), _outcome(), STAGES)
    for text in (result["images"], *result["warnings"]):
        assert text.encode("utf-8")
    assert result["images"] == raw.decode("utf-8", "backslashreplace").replace("\\xe9", "\\udce9")
