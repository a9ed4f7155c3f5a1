"""A small but complete run folder with drawn pictures, for the tests of what reads one."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from appliance.scores_table import COLUMNS

Pixels = npt.NDArray[np.uint8]

GENERATORS = ("diffstyle_global", "diffstyle_local", "cutpaste", "perlin", "poisson")
CANDIDATES = (
    ("embedded_fine / patches s8+s16", "patches", 310.0),
    ("embedded_wide / patches s8", "patches", 420.0),
    ("gabor", "patches", 18.0),
    ("embedded_fine / pooled", "pooled", 300.0),
    ("raw_patches", "patches", 9.0),
    ("embedded_wide / pooled", "pooled", 410.0),
    ("colour_statistics", "pooled", 2.0),
)
THRESHOLD = 1.62
PARTS = 10


def make_sample_run(
    run: Path, *, decision: str = "chosen", candidates: int = 7, failed: int = 1, seed: int = 0
) -> dict[str, Any]:
    """Write a run folder at `run` (created) as a calibration does, but for the report; returns its result."""
    rng = np.random.default_rng(seed)
    run.mkdir(parents=True)
    photos = [draw_part(rng) for _ in range(PARTS)]
    index = _save_anomalies(run, photos, rng)
    result = sample_result(decision=decision, candidates=candidates, failed=failed)
    _write_scores(run / "scores.csv", result["chosen"], index, rng)
    (run / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def sample_result(*, decision: str = "chosen", candidates: int = 7, failed: int = 1) -> dict[str, Any]:
    """A result.json of any of the three decisions, with every key of the schema."""
    rows = [_candidate(i, candidates, decision) for i in range(candidates)]
    rows += [_failed_candidate(i) for i in range(failed)]
    tied = [row["name"] for row in rows[:3]] if decision == "tied" else []
    chosen = tied[2] if tied else rows[0]["name"]
    return {
        "schema_version": 1,
        "run_id": "20261124T051207Z-3fa1",
        "created": "2026-11-24T05:12:07+00:00",
        "station": "gear-top",
        "images": "/srv/cameras/gear-top/good",
        "aspect": 1.25,
        "decision": decision,
        "chosen": chosen,
        "tied": tied,
        "incumbent": None,
        "reason": _REASONS[decision],
        "next_steps": [
            "Score a few parts with known faults before you rely on it.",
            "Add 19 more good photos, from other shifts if you can, and calibrate again: the threshold "
            "can then be certified.",
        ],
        "threshold": _threshold(certified=decision == "chosen"),
        "operating": _operating(),
        "candidates": rows,
        "agreement": {
            "w": 0.12 if decision == "abstained" else 0.81,
            "p_value": 0.46 if decision == "abstained" else 0.0004,
        },
        "generators": [_generator(name) for name in GENERATORS],
        "support": [_photo(i) for i in range(48)],
        "refused": [
            {"name": "IMG_0031.jpg", "reason": "The file ends too early.", "code": "truncated"},
            {"name": "Zähne (2).png", "reason": "This is not an image.", "code": "not_an_image"},
        ],
        "warnings": ["3 photos are nearly the same as others; each group counts as one part."],
        "stages": [
            {"name": "read photos", "seconds": 2.31, "peak_mib": 212.0},
            {"name": "generate diffstyle_global", "seconds": 41.8, "peak_mib": 734.2},
            {"name": "generate perlin", "seconds": 3.4, "peak_mib": 734.2},
            {"name": "score candidates", "seconds": 27.05, "peak_mib": 911.0},
            {"name": "decide", "seconds": 1.2, "peak_mib": 640.5},
        ],
        "software": _software(),
    }


_REASONS = {
    "chosen": "On synthetic anomalies it beats every other candidate with 90 % confidence.",
    "tied": "Three candidates lie within .02 of each other and cannot be told apart with 48 photos.",
    "abstained": "The 5 kinds of synthetic anomaly do not agree on which candidate is better.",
}


def draw_part(rng: np.random.Generator) -> Pixels:
    """[160, 200, 3]: a turned steel ring with holes on a belt; light, pose and grain vary."""
    rows, columns = np.mgrid[0:160, 0:200].astype(np.float32)
    belt = 62 + 0.12 * columns + rng.normal(0, 4) + 3 * np.sin(rows / 3.1)
    picture = np.repeat(belt[:, :, None], 3, axis=2) * np.array([0.86, 0.95, 1.0], np.float32)
    centre = (100 + int(rng.integers(-6, 7)), 80 + int(rng.integers(-5, 6)))
    cv2.circle(picture, centre, 62, (168.0, 172.0, 176.0), -1, cv2.LINE_AA)
    for radius in range(28, 62, 3):
        cv2.circle(picture, centre, radius, (158.0, 163.0, 168.0), 1, cv2.LINE_AA)
    cv2.circle(picture, centre, 22, (58.0, 60.0, 62.0), -1, cv2.LINE_AA)
    turn = rng.uniform(0, 1.2)
    for k in range(5):
        angle = turn + 2 * np.pi * k / 5
        hole = (int(centre[0] + 42 * np.cos(angle)), int(centre[1] + 42 * np.sin(angle)))
        cv2.circle(picture, hole, 7, (70.0, 72.0, 74.0), -1, cv2.LINE_AA)
    shade = 1 + 0.16 * np.sin((columns + rows) / 90 + rng.uniform(0, 3))
    noisy = picture * shade[:, :, None] + rng.normal(0, 4, (160, 200, 1))
    part: Pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return part


def short_hash(i: int) -> str:
    return hashlib.sha256(f"part {i}".encode()).hexdigest()[:12]


def _save_anomalies(run: Path, photos: list[Pixels], rng: np.random.Generator) -> list[dict[str, Any]]:
    parents = run / "anomalies" / "parents"
    parents.mkdir(parents=True)
    for i, photo in enumerate(photos):
        _write_jpeg(parents / f"{short_hash(i)}.jpg", photo)
    entries = _save_grid(run, photos)
    for name in GENERATORS[1:]:
        entries += [_save_local(run, photos, name, k, rng) for k in range(12)]
    (run / "anomalies" / "index.json").write_text(json.dumps(entries), encoding="utf-8")
    return entries


def _save_grid(run: Path, photos: list[Pixels]) -> list[dict[str, Any]]:
    """Five styles by five contents: the style's colours where the content's shapes are."""
    (run / "anomalies" / "diffstyle_global").mkdir()
    entries = []
    for k in range(25):
        style, content = k // 5, 5 + k % 5
        edges = cv2.Laplacian(photos[content], cv2.CV_32F, ksize=3)
        mixed = cv2.GaussianBlur(photos[style], (9, 9), 0).astype(np.float32) - 0.8 * edges
        file = f"anomalies/diffstyle_global/{k:03d}.jpg"
        _write_jpeg(run / file, np.clip(mixed, 0, 255).astype(np.uint8))
        entries.append(_entry(file, "diffstyle_global", 0.7, (style, content), None))
    return entries


def _save_local(
    run: Path, photos: list[Pixels], name: str, k: int, rng: np.random.Generator
) -> dict[str, Any]:
    seen, donor = k % PARTS, (k + 3) % PARTS
    strength = (k + 0.5) / 12
    x, y = (int(v) for v in rng.integers((50, 30), (130, 110)))
    w, h = (int(v) for v in rng.integers(10, 34, 2))
    pixels = photos[seen].astype(np.float32)
    patch = photos[donor][y : y + h, x : x + w].astype(np.float32) + (90 if k % 2 else -110) * strength
    mask = np.zeros((h, w, 1), np.float32)
    cv2.ellipse(mask, (w // 2, h // 2), (w // 2 - 1, h // 2 - 1), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    window = pixels[y : y + h, x : x + w]
    pixels[y : y + h, x : x + w] = window + mask * (patch[: window.shape[0], : window.shape[1]] - window)
    file = f"anomalies/{name}/{k:03d}.jpg"
    (run / file).parent.mkdir(exist_ok=True)
    _write_jpeg(run / file, np.clip(pixels, 0, 255).astype(np.uint8))
    two = name in ("poisson", "diffstyle_local")
    return _entry(file, name, round(strength, 4), (seen, donor) if two else (seen,), [x, y, w, h])


def _entry(
    file: str, generator: str, strength: float, parents: tuple[int, ...], box: list[int] | None
) -> dict[str, Any]:
    hashes = [short_hash(i) for i in parents]
    return {
        "file": file,
        "kind": "anomaly",
        "generator": generator,
        "strength": strength,
        "size_px": None if box is None else round(max(box[2:]) * 0.8, 1),
        "parents": hashes,
        "box": box,
    }


def _write_jpeg(path: Path, pixels: Pixels) -> None:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())


def _write_scores(path: Path, chosen: str, index: list[dict[str, Any]], rng: np.random.Generator) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for i in range(48):
            score = min(1.0 + 0.2 * rng.normal(), THRESHOLD - 0.02)
            writer.writerow(
                [chosen, "delivered", f"IMG_{i:04d}.jpg", "good", "", "", short_hash(i), f"{score:.6g}", ""]
            )
            writer.writerow([chosen, 0, f"IMG_{i:04d}.jpg", "good", "", "", short_hash(i), "77.7", ""])
        for entry in index:
            score = 1.1 + 0.15 * rng.normal() + 2.6 * entry["strength"] ** 1.5 * rng.uniform(0.4, 1.6)
            strength, parents = entry["strength"], "|".join(entry["parents"])
            writer.writerow(
                [
                    chosen,
                    "delivered",
                    entry["file"],
                    "anomaly",
                    entry["generator"],
                    strength,
                    parents,
                    f"{score:.6g}",
                    entry["size_px"],
                ]
            )


def _candidate(i: int, count: int, decision: str) -> dict[str, Any]:
    name, kind, cost = CANDIDATES[i % len(CANDIDATES)]
    best = {"chosen": 0.972, "tied": 0.955, "abstained": 0.561}[decision]
    step = {"chosen": 0.05, "tied": 0.004 if i < 3 else 0.03, "abstained": 0.012}[decision]
    auroc = max(best - step * i, 0.38)
    half = 0.018 + 0.25 * (1 - auroc) * 0.5
    p_best = {"chosen": (0.968, 0.02), "tied": (0.41, 0.33, 0.24), "abstained": (0.3, 0.22, 0.2)}[decision]
    return {
        "name": name if i < len(CANDIDATES) else f"{name} #{i}",
        "kind": kind,
        "auroc": round(auroc, 6),
        "auroc_low": round(auroc - half, 6),
        "auroc_high": round(min(auroc + 0.7 * half, 0.999), 6),
        "mean_rank": round(1.2 + (count - 1.4) * i / count, 3),
        "per_generator": {
            g: {
                "auroc": round(min(auroc + 0.02 * ((i + k) % 4), 1.0), 4),
                "auroc_round_trip": round(min(auroc + 0.02 * ((i + k) % 5) - 0.03, 1.0), 4),
            }
            for k, g in enumerate(GENERATORS)
        },
        "p_best": p_best[i] if i < len(p_best) else 0.002,
        "p_near_best": p_best[i] if i < len(p_best) else 0.01,
        "latency_ms": round(4.2 + 2.9 * i, 2),
        "operating": _operating_of(i),
        "cost_mflop": cost,
        "rank": i + 1,
        "error": None,
    }


def _failed_candidate(i: int) -> dict[str, Any]:
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
    )
    return {
        "name": f"mobilenet_v2 / pooled {i}",
        "kind": "pooled",
        **dict.fromkeys(figures),
        "per_generator": {},
        "operating": None,
        "error": "models/mobilenet_v2.onnx: the output is [1, 0], an embedding needs at least one value.",
    }


def _threshold(*, certified: bool) -> dict[str, Any]:
    return {
        "value": THRESHOLD,
        "certified": certified,
        "method": "held_out" if certified else "cross_fitted",
        "requested_rate": 0.05,
        "rate": 0.05 if certified else 0.061,
        "confidence": 0.95,
        "good_images": 60 if certified else 48,
        "photos_missing": 0 if certified else 31,
    }


def _operating() -> dict[str, Any]:
    """30 parts a fold; 48 behind the threshold."""
    rates = [round(k / 31, 6) for k in range(1, 16)] + [0.5]
    return {
        "threshold_rate": rates[0],
        "resolution": rates[0],
        "rate": rates[0],
        "good_images": 48,
        "confidence": 0.95,
        "rates": rates,
        "rates_low": [round(0.7 * rate**1.3, 6) for rate in rates],
        "rates_high": [round(min(1.0, 0.07 + 1.2 * rate), 6) for rate in rates],
        "reliable_share": 0.9,
        "fewest": 10,
        "photo_px": [1280, 1024],
    }


def _operating_of(i: int) -> dict[str, Any]:
    """Good candidates find small anomalies, poor ones not even the largest."""
    curve = [round(1 - 0.4 / (1 + 0.3 * k) - 0.05 * min(i, 10), 6) for k in range(16)]
    smallest = None if i > 4 else 8.3 + 6 * i
    return {
        "found": curve[0],
        "found_low": round(curve[0] * 0.7, 6),
        "found_high": round(1 - (1 - curve[0]) * 0.6, 6),
        "curve": curve,
        "per_generator": {
            name: {
                "found": round(curve[0] - 0.02 * k, 6),
                "smallest_strength": None if i > 4 else 0.2 + 0.1 * i,
                "smallest_px": None if name in ("diffstyle_global", "poisson") else smallest,
            }
            for k, name in enumerate(GENERATORS)
        },
    }


def _generator(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "settings": {"count": 48},
        "count": 48,
        "round_trips": 20,
        "seconds": 3.4,
        "sizes_px": None if name == "diffstyle_global" else [4.2, 61.8],
        "weight": 0.2,
    }


def _photo(i: int) -> dict[str, Any]:
    sha256 = hashlib.sha256(f"part {i}".encode()).hexdigest()
    return {"file": f"IMG_{i:04d}.jpg", "sha256": sha256, "role": "selection", "part": min(i, 45)}


def _software() -> dict[str, Any]:
    names = (("diffusion_64", "unet"), ("embedded_fine", "encoder"), ("embedded_wide", "encoder"))
    return {
        "version": "0.1.0",
        "engines": [
            {
                "name": name,
                "kind": kind,
                "sha256": hashlib.sha256(name.encode()).hexdigest(),
                "device": "cpu",
                "pack": "embedded",
            }
            for name, kind in names
        ],
        "device": "cpu",
        "device_asked": "auto",
        "fallback": None,
        "threads": 2,
        "seed": 0,
        "settings": {"seed": 0, "decision": {"margin": 0.02, "confidence": 0.9, "fallback": None}},
    }
