"""A model that maps a picture to a score, with a fake in the runtime's place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detector_fakes import drawn_pictures

from appliance.detectors import onnx_score
from appliance.detectors.onnx_score import OnnxScoreDetector
from appliance.detectors.protocol import DrawsHeatmaps
from appliance.errors import DetectorError


class FakeRunner:
    """Gives the mean of its input as the score, and the input's first channel as the map."""

    outputs = ("labels", "pred_score", "anomaly_map")

    def __init__(self, path: Path, **options: object) -> None:
        self.inputs = {"input": [1, 3, 32, 32]}

    def infer(
        self, inputs: dict[str, np.ndarray], *, outputs: list[str] | None = None
    ) -> dict[str, np.ndarray]:
        image = inputs["input"]
        assert image.shape == (1, 3, 32, 32)
        assert image.dtype == np.float32
        values = {
            "labels": np.ones((1,)),
            "pred_score": image.mean(axis=(1, 2, 3)),
            "anomaly_map": image[:, :1],
        }
        return {name: values[name] for name in outputs or self.outputs}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"some graph")
    monkeypatch.setattr(onnx_score, "OnnxRunner", FakeRunner)
    return path


def test_the_score_is_the_output_of_that_name(model: Path) -> None:
    """`pred_score` is preferred to other single numbers; mean and deviation are those of the settings."""
    photos = drawn_pictures([0, 1])
    fitted = OnnxScoreDetector(model, name="own", image_size=32, mean=(0.5,) * 3, std=(0.25,) * 3).fit(
        photos, seed=0
    )
    expected = (photos.resized(32, 32) / 255 - 0.5).mean(axis=(1, 2, 3)) / 0.25
    np.testing.assert_allclose(fitted.score(photos), expected, rtol=1e-4)


def test_a_map_among_the_outputs_is_a_heat_map(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a model with an anomaly map draws."""
    photos = drawn_pictures([0, 1, 2])
    fitted = OnnxScoreDetector(model, name="own", image_size=32).fit(photos, seed=0)
    assert isinstance(fitted, DrawsHeatmaps)
    np.testing.assert_allclose(fitted.heatmap(photos), photos.resized(32, 32)[..., 0] / 255, rtol=1e-5)
    monkeypatch.setattr(FakeRunner, "outputs", ("pred_score",))
    assert not isinstance(
        OnnxScoreDetector(model, name="own", image_size=32).fit(photos, seed=0), DrawsHeatmaps
    )


def test_the_model_is_found_again_by_its_hash(model: Path, tmp_path: Path) -> None:
    """What was saved loads with the same file, and is refused with another of the same name."""
    photos = drawn_pictures([0, 1])
    folder = tmp_path / "bank"
    folder.mkdir()
    fitted = OnnxScoreDetector(model, name="own", image_size=32).fit(photos, seed=0)
    fitted.save(folder)
    loaded = OnnxScoreDetector(model, name="own", image_size=32).load(folder)
    np.testing.assert_array_equal(loaded.score(photos), fitted.score(photos))
    model.write_bytes(b"another graph")
    with pytest.raises(DetectorError, match="made with source"):
        OnnxScoreDetector(model, name="own", image_size=32).load(folder)


def test_a_model_without_a_score_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message lists the outputs and what is needed."""
    monkeypatch.setattr(FakeRunner, "outputs", ("anomaly_map",))
    with pytest.raises(DetectorError, match=r"anomaly_map.*no score.*pred_score"):
        OnnxScoreDetector(model, name="own", image_size=32)
