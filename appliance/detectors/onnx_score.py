"""An exported model that maps a picture to an anomaly score, as a candidate: anomalib's export, for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance.detectors.bank import SavedBank, load_bank, save_bank
from appliance.detectors.patches import Floats, check_aspect
from appliance.errors import DetectorError
from appliance.pictures import Pictures, Pixels
from engines.manifest import file_sha256
from engines.onnxrt.loader import Device
from engines.onnxrt.runner import OnnxRunner

SCORE_NAMES = ("pred_score", "score")
MAP_NAMES = ("anomaly_map",)


class OnnxScoreDetector:
    """Nothing is fitted: the model was trained elsewhere.

    Photos that it was trained on look too normal to it, so none of them belongs to the calibration.
    """

    kind = "model"

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        image_size: int,
        mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
        std: tuple[float, float, float] = (1.0, 1.0, 1.0),
        device: Device = "auto",
        threads: int = 0,
    ) -> None:
        """The model takes one picture [1, 3, image_size, image_size]. DetectorError if it gives no score."""
        self.name = name
        # As for encoders without a manifest: two operations per weight and cell of stride 32, times four.
        self.cost_mflop = 4 * 2 * path.stat().st_size / 4 * (image_size / 32) ** 2 / 1e6
        self._sha256 = file_sha256(path)
        self._model = ScoreModel(
            path, image_size=image_size, mean=mean, std=std, device=device, threads=threads
        )

    def fit(self, photos: Pictures, *, seed: int) -> FittedOnnxScore:  # noqa: ARG002 - draws nothing
        return self._fitted(photos.aspect)

    def load(self, folder: Path) -> FittedOnnxScore:
        return self._fitted(load_bank(folder, detector=self.name, source=self._sha256).aspect)

    def _fitted(self, aspect: float) -> FittedOnnxScore:
        kind = FittedOnnxScore if self._model.map_name is None else FittedOnnxMap
        return kind(self.name, self._sha256, self._model, aspect=aspect)


class ScoreModel:
    """The graph, one picture at a time: exports often have a fixed batch of one."""

    def __init__(
        self,
        path: Path,
        *,
        image_size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        device: Device,
        threads: int,
    ) -> None:
        self.size_px = image_size
        self._mean, self._std = np.array(mean, np.float32), np.array(std, np.float32)
        self._runner = OnnxRunner(path, device=device, threads=threads)
        (self._input,) = self._runner.inputs
        values = self._infer(np.zeros((image_size, image_size, 3), np.uint8), None)
        shapes = {name: np.shape(value) for name, value in values.items()}
        scalars = [name for name, shape in shapes.items() if np.prod(shape, dtype=int) == 1]
        maps = [name for name, shape in shapes.items() if len(shape) >= 3 and name in MAP_NAMES]
        if not scalars:
            raise DetectorError(
                f"{path}: outputs {shapes} hold no score (one number for one picture). "
                f"Export the model with an output named {SCORE_NAMES[0]}."
            )
        self.score_name = next((name for name in SCORE_NAMES if name in scalars), scalars[0])
        self.map_name = maps[0] if maps else None

    def output(self, picture: Pixels, name: str) -> npt.NDArray[np.float32]:
        """Output `name` for `picture` [size_px, size_px, 3]."""
        return self._infer(picture, [name])[name]

    def _infer(self, picture: Pixels, outputs: list[str] | None) -> dict[str, npt.NDArray[np.float32]]:
        image = (picture.astype(np.float32) / 255 - self._mean) / self._std
        return self._runner.infer(
            {self._input: np.ascontiguousarray(image.transpose(2, 0, 1)[None])}, outputs=outputs
        )


class FittedOnnxScore:
    """The model, bound to a station's photos."""

    def __init__(self, name: str, sha256: str, model: ScoreModel, *, aspect: float) -> None:
        self._name = name
        self._sha256 = sha256
        self._model = model
        self._aspect = aspect

    def score(self, photos: Pictures) -> npt.NDArray[np.float64]:
        scores = [self._output(photos, row, self._model.score_name) for row in range(len(photos))]
        return np.array([float(score.reshape(())) for score in scores])

    def save(self, folder: Path) -> None:
        bank = SavedBank(detector=self._name, source=self._sha256, aspect=self._aspect, arrays={})
        save_bank(bank, folder)

    def _output(self, photos: Pictures, row: int, name: str) -> Floats:
        check_aspect(self._name, photos, self._aspect)
        size_px = self._model.size_px
        return self._model.output(photos.resized(size_px, size_px)[row], name)


class FittedOnnxMap(FittedOnnxScore):
    """A model that also says where."""

    def heatmap(self, photos: Pictures) -> Floats:
        """[N, h, w] the model's own maps."""
        name = self._model.map_name
        assert name is not None, "made for models with a map only"
        maps = [self._output(photos, row, name) for row in range(len(photos))]
        return np.stack([one.reshape(one.shape[-2:]).astype(np.float32) for one in maps])
