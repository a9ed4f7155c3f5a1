"""What a calibration's outcome hangs on, as one line: engines, detectors, and those settings that matter.

What only says when to calibrate, what to score and what to keep does not matter here: a change of it
calibrates nothing again. A setting that is at its default is left out, so that a release with a new setting
calibrates nothing again either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.settings import GeneratorsSettings, StationSettings

# Not: images, scoring, recalibration, retention; nor detectors.exclude, which shows in the candidates' names.
SECTIONS = ("seed", "region", "folds", "decision", "threshold")
INTAKE = ("maximum", "working_px", "bit_depth")  # the rest says when files are looked at, and which
DETECTORS = ("encoders", "prompts")
PROMPT = "/prompt_"  # in the names of candidates that a part's name is told to
WORDS = {"engines": "engines", "detectors": "the list of detectors", "settings": "settings"}


def settings_hash(station: StationSettings, engines: Mapping[str, str], candidates: Sequence[str]) -> str:
    """One line that is equal for calibrations that can be compared; `changes` says what differs.

    engines: name -> sha256 of each model; candidates: the names of all detectors that can be chosen.
    """
    parts = {
        "engines": sorted(engines.items()),
        "detectors": sorted(candidates),
        "settings": _settings(station, with_names=any(PROMPT in name for name in candidates)),
    }
    return " ".join(f"{part}={_digest(value)}" for part, value in parts.items())


def changes(before: str | None, now: str) -> str | None:
    """What differs, in words; None where nothing does, or what was there before is not known."""
    if before is None or before == now:
        return None
    old, new = set(before.split()), now.split()
    differing = [part.partition("=")[0] for part in new if part not in old]
    return " and ".join(WORDS[part] for part in differing) or None


def _settings(station: StationSettings, *, with_names: bool) -> dict[str, Any]:
    said = station.model_dump(mode="json", exclude_defaults=True)
    kept = {key: said[key] for key in SECTIONS if key in said}
    kept["intake"] = {key: value for key, value in said.get("intake", {}).items() if key in INTAKE}
    kept["detectors"] = {key: value for key, value in said.get("detectors", {}).items() if key in DETECTORS}
    # Where a model lies is nobody's concern: what it is, its hash says.
    for encoder in kept["detectors"].get("encoders", []):
        encoder.pop("path", None)
    kept["generators"] = _enabled(station.generators)
    if with_names:
        kept["names"] = [station.part_name, station.part_noun]
    return kept


def _enabled(generators: GeneratorsSettings) -> dict[str, Any]:
    """Those that make anomalies: of the others no setting matters."""
    makers = {name: getattr(generators, name) for name in type(generators).model_fields}
    return {
        name: maker.model_dump(mode="json", exclude_defaults=True)
        for name, maker in makers.items()
        if maker.enabled
    }


def _digest(value: Any) -> str:
    """Of the text in ASCII: a path may hold bytes that are not UTF-8."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()[:16]
