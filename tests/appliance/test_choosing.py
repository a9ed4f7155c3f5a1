"""appliance/choosing.py: the threshold of what is delivered."""

from __future__ import annotations

import numpy as np

from appliance.choosing import estimated_threshold
from appliance.detectors.ensemble import Ensemble
from appliance.threads import workers
from appliance.threshold import ThresholdOptions
from tests.fakes import FakeDetector, photos_of, pictures_of


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
