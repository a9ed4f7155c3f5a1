"""appliance/choosing.py: the threshold of what is delivered."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from appliance.choosing import decide_on, estimated_threshold
from appliance.detectors.ensemble import Ensemble
from appliance.progress import Silent
from appliance.settings import default_settings
from appliance.stages import StageClock
from appliance.threads import workers
from appliance.threshold import ThresholdOptions
from appliance.trials import TrialRecord, Workshop
from tests.fakes import FakeDetector, photos_of, pictures_of
from tests.small_trials import trial


def test_an_estimated_threshold_of_an_ensemble_is_in_the_delivered_ones_units() -> None:
    """Its members alone give the same scores, divided by the delivered spread in every fold."""
    pictures, parts = pictures_of(photos_of(20)), np.arange(20)
    options = ThresholdOptions(max_false_reject_rate=0.1)
    member = FakeDetector("one")
    ensemble = Ensemble([member, FakeDetector("two")])
    fitted = ensemble.fit(pictures, seed=0)
    with workers(1) as pool:
        found, scores = estimated_threshold(
            ensemble, fitted, pictures, parts, options, pool, minimum=20, seed=3
        )
        alone, own = estimated_threshold(
            member, member.fit(pictures, seed=0), pictures, parts, options, pool, minimum=20, seed=3
        )
    np.testing.assert_allclose(scores, own / fitted.spreads[0], rtol=1e-6)
    assert np.isclose(found.value, alone.value / fitted.spreads[0])


def record_of(names: list[str], *, failures: dict[str, str]) -> TrialRecord:
    """Candidates that all see every anomaly, but for those that failed."""
    anomalies, normals = np.arange(10.0) + 20, np.arange(10.0)
    made = [
        trial(np.tile(anomalies, (len(names), 1)), np.tile(normals, (len(names), 1)), generator=generator)
        for generator in ("perlin", "cutpaste")
    ]
    detectors = [FakeDetector(name) for name in names]
    return TrialRecord(detectors=list(detectors), trials=made, failures=failures)


def test_a_choice_knows_the_detector_in_use_and_why_it_failed() -> None:
    """Of equal candidates the one in use stays, though another comes first; one that failed is replaced."""
    plan = SimpleNamespace(station=default_settings().station())
    with workers(1) as pool:
        workshop = Workshop(pool=pool, gallery=None, clock=StageClock(), progress=Silent())

        def chosen(incumbent: str | None, **failures: str) -> tuple[str, str | None]:
            record = record_of(["a", "b", "c"], failures=failures)
            decision = decide_on(record, plan, workshop, incumbent=incumbent)  # type: ignore[arg-type]
            return decision.chosen, decision.incumbent and decision.incumbent.why

        assert chosen(None) == ("a", None)
        assert chosen("b")[0] == "b"
        assert chosen("b", b="could not score: ValueError: no") == (
            "a",
            "It could not score: ValueError: no.",
        )
