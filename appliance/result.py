"""result.json: what a calibration found, for other software. Its schema stands in result.schema.json."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from appliance import __version__
from appliance.decision import CandidateResult, Decision
from appliance.detectors.ensemble import Ensemble
from appliance.detectors.prompts import PromptDetector
from appliance.detectors.protocol import Detector
from appliance.generators import Generator
from appliance.generators.foreign import Foreign
from appliance.operating import FEWEST, RELIABLE, Operating
from appliance.photo import Photo
from appliance.plan import Engines, Plan
from appliance.run_folder import SCHEMA_VERSION
from appliance.screening import SuspectPhoto, next_step
from appliance.stages import Stage
from appliance.threshold import Threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the calibration worked out, beside what its plan already knew."""

    decision: Decision
    detectors: Sequence[Detector]  # all that were tried
    threshold: Threshold
    operating: Operating
    failures: Mapping[str, str]
    counts: Mapping[str, tuple[int, int]]  # generator -> anomalies, round trips
    latencies_ms: Mapping[str, float]
    banks: Mapping[str, str]  # candidate -> its folder below banks/


def result_of(
    plan: Plan, outcome: Outcome, stages: Sequence[Stage], *, run_id: str | None = None
) -> dict[str, Any]:
    """The whole result as plain JSON values. run_id: None makes one."""
    decision = outcome.decision
    created = datetime.now(UTC)
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id or new_run_id(created),
        "created": created.isoformat(timespec="seconds"),
        "station": plan.station.name,
        "images": _printable(str(plan.images)),
        "aspect": plan.aspect,
        "decision": decision.outcome,
        "chosen": decision.chosen,
        "tied": list(decision.tied),
        "incumbent": None if decision.incumbent is None else dataclasses.asdict(decision.incumbent),
        "reason": decision.reason,
        "next_steps": [*next_step(plan.suspects), *decision.next_steps],
        "threshold": dataclasses.asdict(outcome.threshold),
        "operating": _operating(plan, outcome.operating),
        "candidates": _candidates(outcome),
        "agreement": None if decision.agreement is None else dataclasses.asdict(decision.agreement),
        "generators": _generators(plan, outcome, stages),
        "support": _support(plan),
        "screened": [_screened(suspect) for suspect in plan.suspects],
        "refused": [_without_none(dataclasses.asdict(refusal)) for refusal in plan.intake.refused],
        "warnings": [_printable(warning) for warning in plan.warnings],
        "stages": list(stages),
        "software": _software(plan),
    }


def new_run_id(now: datetime) -> str:
    """Of a calibration that begins or ends now; sorts by time. now: aware."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def _candidates(outcome: Outcome) -> list[dict[str, Any]]:
    """By rank; those that failed come last, in the order of their names."""
    about = {detector.name: detector for detector in outcome.detectors}
    rows = [
        {
            **_figures(candidate),
            "kind": about[candidate.name].kind,
            **_made_of(about[candidate.name]),
            "cost_mflop": round(about[candidate.name].cost_mflop, 1),
            "latency_ms": outcome.latencies_ms.get(candidate.name),
            "bank": outcome.banks.get(candidate.name),
            "operating": _operating_of(outcome.operating, candidate.name),
            "error": outcome.failures.get(candidate.name),
        }
        for candidate in outcome.decision.candidates
    ]
    ranked = {row["name"] for row in rows}
    failed = sorted(name for name in outcome.failures if name not in ranked)
    return rows + [_failed(about[name], outcome.failures[name]) for name in failed]


def _made_of(detector: Detector) -> dict[str, Any]:
    if isinstance(detector, PromptDetector):
        return {"texts": {role: _printable(text) for role, text in detector.texts.items()}}
    if isinstance(detector, Ensemble):
        return {"members": [member.name for member in detector.members]}
    return {}


def _operating(plan: Plan, found: Operating) -> dict[str, Any]:
    """What is the same for all candidates. Sizes are in pixels of photos of `photo_px`."""
    row = dataclasses.asdict(found)
    del row["candidates"], row["sizes_px"]
    return _rounded({**row, "reliable_share": RELIABLE, "fewest": FEWEST, "photo_px": _photo_px(plan)})


def _operating_of(found: Operating, candidate: str) -> dict[str, Any] | None:
    """None of a candidate that failed after the choice."""
    mine = found.candidates.get(candidate)
    return None if mine is None else _rounded(dataclasses.asdict(mine))


def _photo_px(plan: Plan) -> list[int]:
    """Median width and height of the photos, or of the region, as the camera gives them."""
    sizes = [[side * photo.reduction for side in photo.pixels.shape[1::-1]] for photo in plan.photos]
    return [round(side) for side in np.median(sizes, axis=0).tolist()]


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _rounded_value(value) for key, value in row.items()}


def _rounded_value(value: Any) -> Any:
    """Six digits for every float, at any depth."""
    if isinstance(value, Mapping):
        return _rounded(value)
    if isinstance(value, list | tuple):
        return [_rounded_value(inner) for inner in value]
    return round(value, 6) if isinstance(value, float) else value


def _figures(candidate: CandidateResult) -> dict[str, Any]:
    figures = dataclasses.asdict(candidate)
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in figures.items()}


def _failed(detector: Detector, reason: str) -> dict[str, Any]:
    figures = (
        "auroc",
        "auroc_low",
        "auroc_high",
        "mean_rank",
        "p_best",
        "p_near_best",
        "rank",
        "latency_ms",
        "cost_mflop",
        "bank",
        "operating",
    )
    about = {"name": detector.name, "kind": detector.kind, **_made_of(detector)}
    return {**about, **dict.fromkeys(figures), "per_generator": {}, "error": reason}


def _generators(plan: Plan, outcome: Outcome, stages: Sequence[Stage]) -> list[dict[str, Any]]:
    seconds = {stage["name"]: stage["seconds"] for stage in stages}
    voters = sum(workload.votes for workload in plan.workloads)
    rows = []
    for workload in plan.workloads:
        anomalies, round_trips = outcome.counts[workload.name]
        rows.append(
            {
                "name": workload.name,
                "settings": {
                    **getattr(plan.station.generators, workload.name).model_dump(mode="json"),
                    **_pictures(workload.generator),
                },
                "count": anomalies,
                "round_trips": round_trips,
                "seconds": seconds.get(f"generate {workload.name}", 0.0),
                "sizes_px": _rounded_value(outcome.operating.sizes_px.get(workload.name)),
                "weight": workload.votes / voters,  # the mean over generators: those that vote count alike
            }
        )
    return rows


def _pictures(generator: Generator) -> dict[str, str]:
    """Which pictures it takes beside the photos: a folder's name does not say what was in it."""
    return {"pictures_sha256": generator.pictures.sha256} if isinstance(generator, Foreign) else {}


def _support(plan: Plan) -> list[dict[str, Any]]:
    roles = {photo.sha256: "held_out" for photo in plan.held_out}
    roles |= {suspect.photo.sha256: "screened" for suspect in plan.suspects}
    rows = [_photo_row(photo, roles.get(photo.sha256, "selection")) for photo in plan.intake.photos]
    return rows + [{"file": name, "role": "unused"} for name in plan.intake.unused]


def _photo_row(photo: Photo, role: str) -> dict[str, Any]:
    row = {"file": photo.name, "sha256": photo.sha256, "role": role, "part": photo.part}
    return row if photo.name_b64 is None else {**row, "name_b64": photo.name_b64}


def _screened(suspect: SuspectPhoto) -> dict[str, Any]:
    photo = suspect.photo
    row = {
        "name": photo.name,
        "name_b64": photo.name_b64,
        "sha256": photo.sha256,
        "reason": suspect.reason,
        "code": suspect.code,
        "strength": round(suspect.strength, 3),
    }
    return _without_none(row)


def _software(plan: Plan) -> dict[str, Any]:
    engines = plan.engines
    return {
        "version": __version__,
        "engines": [*engine_rows(engines), *_text_rows(plan)],
        "device": engines.device,
        "rung": engines.rung,
        "device_asked": engines.settings.device,
        "fallback": engines.fallback,
        "threads": engines.threads,
        "seed": plan.station.seed,
        "settings": plan.station.model_dump(mode="json"),
        "engine_settings": engines.settings.model_dump(mode="json"),
    }


def engine_rows(engines: Engines) -> list[dict[str, Any]]:
    unet = engines.unet
    rows = [
        {
            "name": unet.manifest.name,
            "kind": "unet",
            "sha256": unet.sha256,
            "device": unet.device,
            "rung": unet.rung,
            "pack": unet.manifest.pack,
        }
    ]
    for encoder in engines.encoders:
        rows.append(
            {
                "name": encoder.name,
                "kind": "encoder",
                "sha256": encoder.spec.sha256,
                "device": encoder.device,
                "rung": encoder.rung,
                "pack": encoder.spec.pack,
            }
        )
    return rows


def _text_rows(plan: Plan) -> list[dict[str, Any]]:
    """Those text engines whose prompts are candidates."""
    used = {detector.text_engine for detector in plan.detectors if isinstance(detector, PromptDetector)}
    return [
        {
            "name": text.name,
            "kind": "text",
            "sha256": text.sha256,
            "device": text.device,
            "rung": text.rung,
            "pack": text.manifest.pack,
        }
        for text in plan.engines.texts
        if text.sha256 in used
    ]


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _without_none(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}
