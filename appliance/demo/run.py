"""`goodparts demo`: the main job on drawn parts, and then, as drawn defects are known, what it was worth."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from appliance.calibrate import run_plan
from appliance.demo.defects import DrawnSet, draw_set
from appliance.label_check import LabelCheck, check_with_labels
from appliance.pictures import Pixels
from appliance.plan import make_plan
from appliance.progress import Progress
from appliance.run_folder import writing
from appliance.settings import EnginesSettings, StationSettings, default_settings
from appliance.stages import StageClock
from appliance.summary import summary

PARTS = "parts"  # the drawn photos, kept in the run folder for looking at and for `goodparts score`
CHECK = "labels.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSize:
    """How much is drawn and made: a first look need not take minutes."""

    good: int = 40  # parts to calibrate on
    test: int = 40  # others that are good, and as many defective ones, to check the choice with
    style_pairs: int = 36  # DiffStyle over whole photos
    anomalies: int = 24  # of each other generator
    steps: int = 25  # of the diffusion


def run_demo(out: Path, *, seed: int, progress: Progress, size: DemoSize | None = None) -> str:
    """Draw, calibrate, check with labels; writes the run folder `out` and returns what the terminal shows."""
    size = size or DemoSize()
    clock = StageClock()
    with writing(out) as draft:
        progress.say(
            f"drawing {size.good} good parts to calibrate on, {2 * size.test} others to check the choice with"
        )
        with clock.stage("draw parts"):
            drawn = draw_set(seed, good=size.good, good_test=size.test, defective=size.test)
            _save_parts(drawn, draft / PARTS)
        plan = make_plan(draft / PARTS / "good", demo_station(seed, size), EnginesSettings(), clock, progress)
        # The photos will lie elsewhere once the run is complete: the result names that place.
        plan = dataclasses.replace(plan, images=out / PARTS / "good")
        progress.total(plan.units)
        result = run_plan(plan, draft, clock, progress, place=out)
        progress.step("scoring drawn defects that it has never seen")
        check = check_with_labels(draft, drawn.good_test, [defect.photo for defect in drawn.defects])
        (draft / CHECK).write_text(json.dumps(dataclasses.asdict(check), indent=1) + "\n", encoding="utf-8")
    return f"{summary(result, out)}\n\n{told(check)}"


def demo_station(seed: int, size: DemoSize) -> StationSettings:
    """The defaults, with fewer anomalies."""
    station = default_settings().station()
    generators = station.generators
    diffusion = {"steps": size.steps}
    smaller = {
        name: getattr(generators, name).model_copy(update={"count": size.anomalies})
        for name in type(generators).model_fields
    }
    smaller["diffstyle_local"] = smaller["diffstyle_local"].model_copy(update=diffusion)
    smaller["diffstyle_global"] = generators.diffstyle_global.model_copy(
        update={"count": size.style_pairs, **diffusion}
    )
    return station.model_copy(
        update={
            "name": "demo",
            "part_name": "flange",
            "seed": seed,
            "generators": generators.model_copy(update=smaller),
        }
    )


def told(check: LabelCheck) -> str:
    """The check in a few lines for the terminal."""
    width = max(len(check.chosen), len(check.best), len(check.worst))
    lines = [
        f"Was that right? On {check.good} other good parts and {check.defective} drawn defects it never saw:",
        f"  chosen from good photos alone   {check.chosen:<{width}}  AUROC {check.auroc[check.chosen]:.3f}",
        f"  labels would have chosen        {check.best:<{width}}  AUROC {check.auroc[check.best]:.3f}",
        f"  the worst candidate             {check.worst:<{width}}  AUROC {check.auroc[check.worst]:.3f}",
        f"  at the threshold                {check.false_rejects} of {check.good} good parts rejected, "
        f"{check.detections} of {check.defective} defects found",
    ]
    return "\n".join(lines)


def _save_parts(drawn: DrawnSet, folder: Path) -> None:
    _save(folder / "good", drawn.good)
    _save(folder / "test-good", drawn.good_test)
    for kind in sorted({defect.kind for defect in drawn.defects}):
        _save(
            folder / "test-defective" / kind,
            [defect.photo for defect in drawn.defects if defect.kind == kind],
        )


def _save(folder: Path, photos: Sequence[Pixels]) -> None:
    folder.mkdir(parents=True)
    for number, photo in enumerate(photos):
        # Encoded first: OpenCV's own writer reports a full disk by a return value only.
        _, data = cv2.imencode(".png", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
        (folder / f"{number:03d}.png").write_bytes(data.tobytes())
