"""A picture in the colours of another: the same mean and the same covariance of red, green and blue.

Pitié, Kokaram, "The Linear Monge-Kantorovitch Linear Colour Mapping for Example-Based Colour Transfer",
CVMP 2007: of all linear maps that carry the one mean and covariance into the other, the one that moves
colours least.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from appliance.generators.diffstyle import is_grey
from appliance.pictures import Pixels

Matrix = npt.NDArray[np.float64]  # [3, 3]

# Squared grey levels. What varies less in a picture is noise, and is not enlarged without bound.
NOISE = 4.0 * np.eye(3)
# In a photo of one colour nothing would be left to see: a standard deviation of two grey levels always is.
FAINTEST = np.full((3, 3), 4.0 / 3.0)
TINY = 1e-3 * np.eye(3)


def in_colours_of(picture: Pixels, photo: Pixels) -> Pixels:
    """`picture` [h, w, 3] with the mean and covariance of `photo` [H, W, 3] but for what leaves 0 to 255;
    grey where the photo is.
    """
    (mean, A), (wanted, B) = _statistics(picture), _statistics(photo)
    T = _transfer(A + NOISE, B + FAINTEST + TINY)
    affine = np.column_stack([T, wanted - T @ mean])  # T (x - mean) + wanted
    if is_grey(photo):
        affine = affine.mean(axis=0, keepdims=True)  # one channel, and that three times
    levels = cv2.transform(picture.astype(np.float32), affine.astype(np.float32))
    levels = np.clip(np.rint(levels), 0.0, 255.0).astype(np.uint8).reshape(*picture.shape[:2], -1)
    return np.repeat(levels, picture.shape[2] // levels.shape[2], axis=2)


def _transfer(A: Matrix, B: Matrix) -> Matrix:
    """The symmetric T with T A T = B; A is positive definite."""
    root = _root(A)
    inverse = np.linalg.inv(root)
    T: Matrix = inverse @ _root(root @ B @ root) @ inverse
    return T


def _root(matrix: Matrix) -> Matrix:
    values, vectors = np.linalg.eigh(matrix)
    # Rounding makes a variance of nothing slightly negative.
    root: Matrix = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root


def _statistics(picture: Pixels) -> tuple[npt.NDArray[np.float64], Matrix]:
    """Mean [3] and covariance of all pixels; of a single one the covariance is zero."""
    # Channel by channel: numpy is thirty times as slow along an axis of three.
    levels = np.stack([picture[..., channel].ravel() for channel in range(3)]).astype(np.float64)
    mean = levels.mean(axis=1)
    centred = levels - mean[:, None]
    return mean, centred @ centred.T / levels.shape[1]
