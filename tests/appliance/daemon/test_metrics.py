"""appliance/daemon/metrics.py: what Prometheus reads, and that its documentation is true."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from appliance.daemon.metrics import registry_of
from appliance.daemon.status import BoxStatus
from tests.appliance.daemon.status_samples import AT, DISK, LOST, box_of, calibrating, waiting

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
UNITS = ("_seconds", "_bytes", "_ratio", "_info")
WITHOUT_UNIT = {  # counts, states and scores
    *("goodparts_degraded", "goodparts_problem", "goodparts_station_phase", "goodparts_photos"),
    *("goodparts_photos_needed", "goodparts_threshold", "goodparts_threshold_certified"),
    *("goodparts_gpu_fallback", "goodparts_calibration_running", "goodparts_calibration_failures"),
    *("goodparts_last_calibration_outcome", "goodparts_drift", "goodparts_verdicts"),
    "goodparts_verdicts_pending",
}


def scraped(box: BoxStatus) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """(name, labels) -> value, as a reader of the text sees it."""
    text = generate_latest(registry_of(lambda: box)).decode()
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(box: BoxStatus, name: str, **labels: str) -> float | None:
    return scraped(box).get((name, frozenset(labels.items())))


def test_the_box_is_told() -> None:
    """Release, start, space, and whether anything is to be mended."""
    box = box_of(waiting(), problems=(DISK,))
    assert value(box, "goodparts_build_info", version="0.1.0") == 1
    assert value(box, "goodparts_start_time_seconds") == AT
    assert value(box, "goodparts_disk_free_bytes") == 5 * 2**30
    assert value(box, "goodparts_degraded") == 1
    assert value(box_of(waiting()), "goodparts_degraded") == 0


def test_problems_are_told_with_their_station() -> None:
    """Those of the box have none; two of one kind are one series."""
    box = box_of(waiting("a", LOST, LOST), calibrating("b"), problems=(DISK,))
    found = {labels for name, labels in scraped(box) if name == "goodparts_problem"}
    assert {tuple(sorted(labels)) for labels in found} == {
        (("code", "disk_low"), ("severity", "degraded"), ("station", "")),
        (("code", "source_lost"), ("severity", "failing"), ("station", "a")),
    }


def test_a_station_that_serves_is_told() -> None:
    """Photos, detector, threshold, calibration and verdicts."""
    box = box_of(calibrating("lid"))
    assert value(box, "goodparts_photos", station="lid", state="near_duplicates") == 31
    assert value(box, "goodparts_threshold", station="lid") == 1.23456
    assert value(box, "goodparts_threshold_certified", station="lid") == 1
    assert value(box, "goodparts_gpu_fallback", station="lid") == 0
    assert value(box, "goodparts_calibration_done_ratio", station="lid") == 0.42
    assert value(box, "goodparts_verdicts", station="lid", verdict="anomalous") == 3
    assert value(box, "goodparts_verdicts_pending", station="lid") == 1
    serving = {"run_id": "20261126T201500Z-ab12", "detector": "resnet18/patches", "decision": "chosen"}
    assert value(box, "goodparts_serving_info", station="lid", rung="cpu", **serving) == 1


def test_of_states_one_is_the_present() -> None:
    """Every other is 0, so that a graph shows when it changed."""
    box = box_of(calibrating("lid"), waiting("gear"))
    for name, label in (
        ("station_phase", "phase"),
        ("drift", "state"),
        ("last_calibration_outcome", "outcome"),
    ):
        told = {
            dict(k[1])[label]: v
            for k, v in scraped(box).items()
            if k[0] == f"goodparts_{name}" and ("station", "lid") in k[1]
        }
        assert len(told) >= 3 and sum(told.values()) == 1, name
    assert value(box, "goodparts_station_phase", station="gear", phase="waiting") == 1


def test_what_is_not_known_is_left_out() -> None:
    """A station without a detector has no threshold, not one of 0."""
    names = {name for name, _ in scraped(box_of(waiting()))}
    absent = {"goodparts_threshold", "goodparts_serving_info", "goodparts_verdicts"}
    assert names.isdisjoint(absent | {"goodparts_last_calibration_timestamp_seconds"})
    assert "goodparts_start_time_seconds" not in {n for n, _ in scraped(box_of(waiting(), running=False))}


def test_every_metric_is_documented_and_no_other() -> None:
    """docs/metrics.md, with all values of its labels that are known beforehand."""
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(goodparts_[a-z_]+)` \| (.*) \|$", text, re.MULTILINE))
    told = scraped(box_of(calibrating("lid", LOST)))
    own = {name for name, _ in told if not name.startswith("goodparts_process_")}
    assert rows.keys() == own
    for name, labels in told:
        for label, said in labels - {("station", "lid")} if name in own else ():
            assert f"`{label}`" in rows[name], name
            if label in ("phase", "state", "outcome", "verdict"):
                assert f"`{said}`" in rows[name], name


def test_names_hold_their_unit() -> None:
    """Or have none."""
    names = {name for name, _ in scraped(box_of(calibrating("lid", LOST)))}
    own = {name for name in names if not name.startswith("goodparts_process_")}
    assert {name for name in own if not name.endswith(UNITS)} == WITHOUT_UNIT
