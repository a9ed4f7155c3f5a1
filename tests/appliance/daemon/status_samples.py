"""A box with three stations: one that waits for photos, one that calibrates and serves, one in trouble."""

from __future__ import annotations

from appliance.daemon.status import (
    Attempt,
    BoxStatus,
    Calibration,
    PhotoCounts,
    Problem,
    Scored,
    Serving,
    StationStatus,
)

AT = 1_795_733_094.0  # 2026-11-26 22:44:54 UTC

SUSPICIOUS = Problem(
    code="suspicious_photos",
    severity="note",
    text="2 photos look unlike the others",
    remedy="Look at them: goodparts photos lid",
)
DISK = Problem(
    code="disk_low",
    severity="degraded",
    text="/var/lib/goodparts: 0.9 GiB free",
    remedy="Free some space, or lower retention.gib.",
)
LOST = Problem(
    code="source_lost",
    severity="failing",
    text="/srv/cameras/gear: nothing is mounted there any more",
    remedy="Mount the share again; nothing is lost.",
)
SERVING = Serving(
    run_id="20261126T201500Z-ab12",
    detector="resnet18/patches",
    threshold=1.23456,
    certified=True,
    decision="chosen",
    created="2026-11-26T20:15:00Z",
    rung="cpu",
    fallback=None,
)


def waiting(name: str = "gear-top", *problems: Problem) -> StationStatus:
    return StationStatus(
        name=name,
        phase="waiting",
        says="waits for 8 more photos",
        photos=PhotoCounts(accepted=12, needed=20, rejected=1, settling=2, last_at=AT),
        problems=problems,
    )


def calibrating(name: str = "lid", *problems: Problem) -> StationStatus:
    return StationStatus(
        name=name,
        phase="calibrating",
        says="calibrates; its champion serves meanwhile",
        photos=PhotoCounts(accepted=412, needed=20, near_duplicates=31, last_at=AT),
        serving=SERVING,
        calibration=Calibration(since=AT, reason="100 new photos", share=0.42, step="generate perlin"),
        last_attempt=Attempt(ended=AT, outcome="refreshed", message="Fewer rejects.", run_id="r2"),
        drift="steady",
        scored=Scored(good=120, anomalous=3, pending=1, last_at=AT),
        problems=problems,
    )


def box_of(*stations: StationStatus, problems: tuple[Problem, ...] = (), running: bool = True) -> BoxStatus:
    return BoxStatus(
        version="0.1.0",
        is_running=running,
        pid=4711 if running else None,
        started=AT if running else None,
        disk_free_bytes=5 * 2**30,
        stations=stations,
        problems=problems,
    )
