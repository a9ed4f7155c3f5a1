"""The box's status as metrics for Prometheus. docs/metrics.md has them in a table, which a test keeps true.

All are gauges, what counts photos and verdicts too: the ledger forgets what is older than `retention`, and a
counter that goes down would be read as a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar, get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from appliance.daemon.status import BoxStatus, Phase, StationStatus

OUTCOMES = ("new_detector", "refreshed", "kept", "failed")
DRIFTS = ("learning", "steady", "drifted", "off")

T = TypeVar("T")
Samples = Iterable[tuple[tuple[str, ...], float]]  # values of the labels after `station`, value


def registry_of(status: Callable[[], BoxStatus]) -> CollectorRegistry:
    """A registry of its own: nothing of what other libraries count in the common one."""
    registry = CollectorRegistry()
    registry.register(_BoxCollector(status))
    ProcessCollector(namespace="goodparts", registry=registry)
    return registry


class _BoxCollector(Collector):
    def __init__(self, status: Callable[[], BoxStatus]) -> None:
        self._status = status

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()  # without this the registry would ask for the status when the service starts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        box = self._status()  # once for all metrics: they shall agree with each other
        yield from box_metrics(box)
        for name, (text, labels, samples) in _STATION_METRICS.items():
            family = GaugeMetricFamily(name, text, labels=("station", *labels))
            for station in box.stations:
                for values, value in samples(station):
                    family.add_metric((station.name, *values), value)
            yield family


def box_metrics(box: BoxStatus) -> Iterator[GaugeMetricFamily]:
    build = GaugeMetricFamily("goodparts_build_info", "Always 1; the release.", labels=("version",))
    build.add_metric((box.version,), 1)
    yield build
    if box.started is not None:
        yield GaugeMetricFamily(
            "goodparts_start_time_seconds", "When the service started, since 1970.", box.started
        )
    yield GaugeMetricFamily(
        "goodparts_disk_free_bytes", "Free space where state_dir is.", box.disk_free_bytes
    )
    yield GaugeMetricFamily("goodparts_degraded", "1 if anything is to be mended.", int(box.is_degraded))
    yield _problems(box)


def _problems(box: BoxStatus) -> GaugeMetricFamily:
    text = "1 for each problem that there is now; station is empty for those of the box."
    family = GaugeMetricFamily("goodparts_problem", text, labels=("station", "code", "severity"))
    told = [("", box.problems), *((station.name, station.problems) for station in box.stations)]
    # Two of one kind, such as two folders that cannot be read, are one time series.
    for labels in sorted({(name, p.code, p.severity) for name, problems in told for p in problems}):
        family.add_metric(labels, 1)
    return family


def _one_of(names: Iterable[str], is_now: str) -> Samples:
    """A sample for each state, 1 for the present one: so they can be summed and compared over time."""
    return [((name,), float(name == is_now)) for name in names]


def _phase(station: StationStatus) -> Samples:
    return _one_of(get_args(Phase), station.phase)


def _photos(station: StationStatus) -> Samples:
    states = ("accepted", "near_duplicates", "copies", "rejected", "settling", "suspicious")
    return [((state,), getattr(station.photos, state)) for state in states]


def _known(value: float | None) -> Samples:
    return () if value is None else [((), value)]


def _known_of(part: T | None, value: Callable[[T], float | None]) -> Samples:
    return () if part is None else _known(value(part))


def _serving(station: StationStatus) -> Samples:
    serving = station.serving
    if serving is None:
        return ()
    return [((serving.run_id, serving.detector, serving.decision, serving.rung), 1)]


def _attempt(station: StationStatus) -> Samples:
    attempt = station.last_attempt
    return () if attempt is None else _one_of(OUTCOMES, attempt.outcome)


def _verdicts(station: StationStatus) -> Samples:
    scored = station.scored
    if scored is None:
        return ()
    return [((verdict,), getattr(scored, verdict)) for verdict in ("good", "anomalous", "none")]


# Name -> (help, labels beside `station`, samples of a station).
_STATION_METRICS: dict[str, tuple[str, tuple[str, ...], Callable[[StationStatus], Samples]]] = {
    "goodparts_station_phase": ("1 for what the station does now, 0 for the rest.", ("phase",), _phase),
    "goodparts_photos": (
        "Photos of good parts in the ledger, by what became of them.",
        ("state",),
        _photos,
    ),
    "goodparts_photos_needed": (
        "Photos that the first calibration waits for in all.",
        (),
        lambda station: _known(station.photos.needed),
    ),
    "goodparts_last_photo_timestamp_seconds": (
        "When the newest photo of a good part came, since 1970.",
        (),
        lambda station: _known(station.photos.last_at),
    ),
    "goodparts_serving_info": (
        "Always 1; the detector that serves.",
        ("run_id", "detector", "decision", "rung"),
        _serving,
    ),
    "goodparts_threshold": (
        "Score above which a part is anomalous.",
        (),
        lambda station: _known_of(station.serving, lambda serving: serving.threshold),
    ),
    "goodparts_threshold_certified": (
        "1 if the threshold has a certificate.",
        (),
        lambda station: _known_of(station.serving, lambda serving: float(serving.certified)),
    ),
    "goodparts_gpu_fallback": (
        "1 if a GPU is to be used and is not.",
        (),
        lambda station: _known_of(station.serving, lambda serving: float(serving.fallback is not None)),
    ),
    "goodparts_calibration_running": (
        "1 while a calibration runs.",
        (),
        lambda station: _known(float(station.calibration is not None)),
    ),
    "goodparts_calibration_done_ratio": (
        "Share of the running calibration that is done, 0 to 1.",
        (),
        lambda station: _known_of(station.calibration, lambda calibration: calibration.share),
    ),
    "goodparts_calibration_start_time_seconds": (
        "When the running calibration began, since 1970.",
        (),
        lambda station: _known_of(station.calibration, lambda calibration: calibration.since),
    ),
    "goodparts_calibration_failures": (
        "Calibrations that failed in a row.",
        (),
        lambda station: _known(station.failures),
    ),
    "goodparts_last_calibration_timestamp_seconds": (
        "When the last calibration ended, since 1970.",
        (),
        lambda station: _known_of(station.last_attempt, lambda last_attempt: last_attempt.ended),
    ),
    "goodparts_last_calibration_outcome": (
        "1 for how the last calibration ended, 0 for the rest.",
        ("outcome",),
        _attempt,
    ),
    "goodparts_drift": (
        "1 for what is known of drift, 0 for the rest.",
        ("state",),
        lambda station: _one_of(DRIFTS, station.drift),
    ),
    "goodparts_verdicts": ("Verdicts in the ledger.", ("verdict",), _verdicts),
    "goodparts_verdicts_pending": (
        "Files that wait for a verdict.",
        (),
        lambda station: _known_of(station.scored, lambda scored: scored.pending),
    ),
    "goodparts_last_verdict_timestamp_seconds": (
        "When the last verdict was given, since 1970.",
        (),
        lambda station: _known_of(station.scored, lambda scored: scored.last_at),
    ),
}
