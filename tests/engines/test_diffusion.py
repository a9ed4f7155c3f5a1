"""The diffusion core against closed forms, a fake UNet and, where at hand, the original code's outputs."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.diffusion import inject, invert, regenerate, respaced
from engines.diffusion.ddim import clean_image, level_below, move
from engines.diffusion.injection import slerp
from engines.diffusion.schedule import linear_alpha_bar
from engines.unet import Floats, Injection

SIZE = 8
H_SHAPE = (3, 2, 2)
SPREAD = 0.5  # standard deviation of the images that the analytic model knows


class AnalyticUNet:
    """The optimal noise estimate for images drawn from N(0, SPREAD^2), plus what the decoder makes of h.

    h is the mean over quarters, the decoder adds `decoder` times h. Every h that a decoder got is kept.
    """

    size_px = SIZE
    h_shape = H_SHAPE
    interpolation = "lerp"

    def __init__(self, decoder: float = 0.0) -> None:
        self.decoder = decoder
        self.calls: list[tuple[str, int]] = []
        self.decoded: list[Floats] = []

    def plain(self, x: Floats, t: int) -> tuple[Floats, Floats]:
        self.calls.append(("plain", t))
        h = quarters(x)
        return self._decode(x, t, h), h

    def injected(self, x: Floats, t: int, injection: Injection) -> tuple[Floats, Floats]:
        self.calls.append(("injected", t))
        h = quarters(x)
        changed = h + injection.gamma * (injection.h_content - h)
        self.decoded.append(changed)
        return self._decode(x, t, h), self._decode(x, t, changed)

    def _decode(self, x: Floats, t: int, h: Floats) -> Floats:
        level = float(linear_alpha_bar()[t])
        share = (1.0 - level) ** 0.5 / (level * SPREAD**2 + 1.0 - level)
        return x * np.float32(share) + np.float32(self.decoder) * np.repeat(np.repeat(h, 4, 2), 4, 3)


class SphericalUNet(AnalyticUNet):
    """The same as an engine that was exported with slerp."""

    interpolation = "slerp"

    def injected(self, x: Floats, t: int, injection: Injection) -> tuple[Floats, Floats]:
        self.calls.append(("injected", t))
        h = quarters(x)
        changed = slerp(h, injection.h_content, injection.gamma)
        if injection.delta_h is not None:
            changed = changed + injection.delta_h
        self.decoded.append(changed)
        return self._decode(x, t, h), self._decode(x, t, changed)


def quarters(x: Floats) -> Floats:
    return x.reshape(len(x), 3, 2, 4, 2, 4).mean(axis=(3, 5))


def drawn(count: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return (SPREAD * rng.standard_normal((count, 3, SIZE, SIZE))).astype(np.float32)


def constant(count: int, gamma: float) -> Floats:
    return np.full((count, 1, 2, 2), gamma, dtype=np.float32)


def test_alpha_bar_has_the_published_values() -> None:
    """The linear schedule's alpha-bar at 500, 980 and 999 is that of the original code."""
    published = [0.077797, 5.9038e-5, 4.0358e-5]
    np.testing.assert_allclose(linear_alpha_bar()[[500, 980, 999]], published, rtol=1e-4)


def test_fifty_steps_are_every_twentieth() -> None:
    """ddim50 is 0, 20, … 980, without an offset."""
    assert respaced(50).timesteps.tolist() == list(range(0, 1000, 20))


@given(st.integers(min_value=1, max_value=1000))
def test_any_count_of_steps_gives_a_falling_schedule(steps: int) -> None:
    """A respaced schedule has that many timesteps, rising from 0, and a falling alpha-bar in (0, 1)."""
    schedule = respaced(steps)
    assert len(schedule) == steps and schedule.timesteps[0] == 0 and schedule.timesteps[-1] < 1000
    assert (np.diff(schedule.timesteps) > 0).all() and (np.diff(schedule.alpha_bar) < 0).all()
    assert schedule.alpha_bar.min() > 0.0 and schedule.alpha_bar.max() < 1.0


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_counts_of_steps_are_refused(steps: int) -> None:
    """A schedule has 1 to 1000 steps."""
    with pytest.raises(ValueError, match=str(steps)):
        respaced(steps)


@given(st.floats(1e-4, 0.999), st.floats(1e-4, 0.999), st.integers(0, 2**32 - 1))
def test_a_step_and_its_way_back_cancel(level: float, level_to: float, seed: int) -> None:
    """With the same eps, moving to another noise level and back gives x again."""
    x, eps = drawn(1, seed), drawn(1, seed + 1)
    there = move(x.astype(np.float64), eps, level, level_to)
    np.testing.assert_allclose(move(there, eps, level_to, level), x, atol=1e-6)


def test_only_the_predicted_image_takes_the_injected_noise() -> None:
    """In the asymmetric step the direction towards x_t keeps the plain eps."""
    x, eps, other = drawn(1, 1), drawn(1, 2), drawn(1, 3)
    difference = move(x, eps, 0.3, 0.5, eps_image=other) - move(x, eps, 0.3, 0.5)
    expected = 0.5**0.5 * (clean_image(x, other, 0.3) - clean_image(x, eps, 0.3))
    np.testing.assert_allclose(difference, expected, atol=1e-6)


def test_inversion_follows_the_closed_form() -> None:
    """For normally distributed images x_T is the image times the ratio of the noise levels' deviations."""
    images, schedule = drawn(2), respaced(500)
    levels = linear_alpha_bar()[[0, schedule.timesteps[-1]]]
    deviation = np.sqrt(levels * SPREAD**2 + 1.0 - levels)
    x_T = invert(AnalyticUNet(), schedule, images).x_T
    np.testing.assert_allclose(x_T, images * (deviation[1] / deviation[0]), rtol=0.02)


def test_inversion_visits_every_timestep_once_and_keeps_its_h() -> None:
    """h is kept for each timestep of the walk and once more at x_T, one pass each."""
    unet, schedule, images = AnalyticUNet(), respaced(10), drawn(2)
    inversion = invert(unet, schedule, images)
    assert unet.calls == [("plain", t) for t in range(0, 1000, 100)]
    assert inversion.h.shape == (2, 10, *H_SHAPE)
    np.testing.assert_allclose(inversion.h[:, 0], quarters(images))
    np.testing.assert_allclose(inversion.h[:, -1], quarters(inversion.x_T))


def test_regeneration_returns_the_image_the_better_the_more_steps() -> None:
    """The error of going up and down again falls with the steps and is small at 100."""
    images, unet = drawn(4), AnalyticUNet()
    errors = []
    for steps in (10, 30, 100):
        schedule = respaced(steps)
        x_T = invert(unet, schedule, images).x_T
        errors.append(float(np.abs(regenerate(unet, schedule, x_T) - images).mean()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.03


def test_fixed_point_iterations_bring_regeneration_closer() -> None:
    """One iteration a step halves the error of the way up and down."""
    images, unet, schedule = drawn(4), AnalyticUNet(), respaced(50)
    errors = [
        np.abs(regenerate(unet, schedule, invert(unet, schedule, images, fixed_point=n).x_T) - images).mean()
        for n in (0, 1)
    ]
    assert errors[1] < 0.5 * errors[0]


def test_no_gamma_is_plain_regeneration_exactly() -> None:
    """gamma = 0 gives the bytes of plain regeneration, and never runs the dearer engine."""
    unet, schedule, x_T = AnalyticUNet(decoder=0.1), respaced(10), drawn(2)
    h_content = list(invert(unet, schedule, drawn(2, 9)).h)
    unet.calls.clear()
    result = inject(unet, schedule, x_T, h_content, constant(2, 0.0))
    assert result.tobytes() == regenerate(unet, schedule, x_T).tobytes()
    assert {kind for kind, _ in unet.calls} == {"plain"}


@pytest.mark.parametrize("interpolation", ["lerp", "slerp"])
def test_full_gamma_hands_the_decoder_the_contents_h(interpolation: Any) -> None:
    """gamma = 1 everywhere makes the decoder's h the content's at each step, with slerp but for the norm."""
    unet, schedule, x_T = AnalyticUNet(decoder=0.1), respaced(10), drawn(2)
    content = invert(unet, schedule, drawn(2, 9))
    inject(unet, schedule, x_T, list(content.h), constant(2, 1.0), interpolation=interpolation)
    decoded = np.stack(unet.decoded[::-1], axis=1)
    if interpolation == "slerp":
        decoded, expected = (
            v / np.sqrt((v**2).sum(axis=(2, 3, 4), keepdims=True)) for v in (decoded, content.h)
        )
    else:
        expected = content.h
    np.testing.assert_allclose(decoded, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("asked", ["lerp", "slerp"])
def test_an_engine_of_the_other_interpolation_gives_the_same_at_one_pass_more(asked: Any) -> None:
    """What was asked for comes out of either engine; only its own way costs no plain pass beside it."""
    schedule, x_T = respaced(10), drawn(2)
    content = list(invert(AnalyticUNet(), schedule, 3 * drawn(2, 9)).h)
    gamma = np.random.default_rng(0).random((2, 1, 2, 2), dtype=np.float32)
    images = {}
    for unet in (AnalyticUNet(decoder=0.1), SphericalUNet(decoder=0.1)):
        images[unet.interpolation] = inject(unet, schedule, x_T, content, gamma, interpolation=asked)
        plain = sum(kind == "plain" for kind, _ in unet.calls)
        assert plain == (0 if unet.interpolation == asked else len(schedule))
    np.testing.assert_allclose(images["lerp"], images["slerp"], atol=1e-4)


def test_slerp_and_lerp_are_two_things() -> None:
    """On one engine the two interpolations give different images."""
    unet, schedule, x_T = AnalyticUNet(decoder=0.1), respaced(10), drawn(2)
    content = list(invert(unet, schedule, 3 * drawn(2, 9)).h)
    one, other = (
        inject(unet, schedule, x_T, content, constant(2, 0.7), interpolation=way) for way in ("lerp", "slerp")
    )
    assert np.abs(one - other).max() > 1e-2


def test_injection_changes_the_image() -> None:
    """With gamma 0.7 the result differs from plain regeneration."""
    unet, schedule, x_T = AnalyticUNet(decoder=0.1), respaced(10), drawn(2)
    h_content = list(invert(unet, schedule, drawn(2, 9)).h)
    result = inject(unet, schedule, x_T, h_content, constant(2, 0.7))
    assert np.abs(result - regenerate(unet, schedule, x_T)).mean() > 1e-3


def test_below_t_edit_the_plain_engine_runs() -> None:
    """Injection happens at every timestep of the schedule from t_edit up, and at none below."""
    unet, schedule, x_T = AnalyticUNet(), respaced(10), drawn(1)
    h_content = [np.zeros((10, *H_SHAPE), dtype=np.float32)]
    inject(unet, schedule, x_T, h_content, constant(1, 0.7), t_edit=400)
    expected = [("injected" if t >= 400 else "plain", t) for t in range(900, -1, -100)]
    assert unet.calls == expected


def test_a_masked_gamma_changes_only_its_cells() -> None:
    """With a decoder that works cell by cell, cells without gamma come out as in plain regeneration."""
    unet, schedule, x_T = AnalyticUNet(decoder=0.1), respaced(10), drawn(1)
    gamma = constant(1, 0.0)
    gamma[0, 0, 0, 0] = 0.8
    h_content = list(invert(unet, schedule, drawn(1, 9)).h)
    change = np.abs(inject(unet, schedule, x_T, h_content, gamma) - regenerate(unet, schedule, x_T))[0]
    assert change[:, :4, :4].min() > 0.0
    change[:, :4, :4] = 0.0
    assert change.max() == 0.0


def test_pictures_do_not_depend_on_their_batch() -> None:
    """Pairs injected together come out as one by one."""
    unet, schedule, x_T = AnalyticUNet(decoder=0.1), respaced(10), drawn(3)
    h_content, gamma = list(invert(unet, schedule, drawn(3, 9)).h), constant(3, 0.7)
    together = inject(unet, schedule, x_T, h_content, gamma)
    for i in range(3):
        alone = inject(unet, schedule, x_T[i : i + 1], h_content[i : i + 1], gamma[i : i + 1])
        np.testing.assert_array_equal(alone[0], together[i])


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_slerp_keeps_the_norm(seed: int, gamma: float) -> None:
    """With a constant gamma the result lies on the sphere of the live h, whatever the content's length."""
    h, content = quarters(drawn(2, seed)), 7.0 * quarters(drawn(2, seed + 1))
    mixed = slerp(h, content.astype(np.float32), constant(2, gamma))
    np.testing.assert_allclose(np.linalg.norm(mixed.reshape(2, -1), axis=1), norms(h), rtol=1e-4)


@pytest.mark.parametrize("scale", [1.0, -1.0])
def test_slerp_is_finite_where_the_angle_is_not_defined(scale: float) -> None:
    """Parallel and opposite contents fall back to linear interpolation."""
    h = quarters(drawn(1))
    mixed = slerp(h, np.float32(scale) * h, constant(1, 0.25))
    np.testing.assert_allclose(mixed, (0.75 + 0.25 * scale) * h, rtol=1e-4, atol=1e-6)


def norms(h: Floats) -> npt.NDArray[np.float64]:
    return np.linalg.norm(h.reshape(len(h), -1).astype(np.float64), axis=1)


def reference() -> dict[str, npt.NDArray[Any]]:
    """The original code's arrays: 8 bytes length, a JSON header, raw values."""
    folder = os.environ.get("GOODPARTS_REFERENCE")
    if not folder or not (Path(folder) / "schedule.safetensors").is_file():
        pytest.skip("set GOODPARTS_REFERENCE to the folder with the original code's schedule.safetensors")
    data = (Path(folder) / "schedule.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    dtypes = {"F32": np.float32, "F64": np.float64, "I64": np.int64}
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], dtypes[entry["dtype"]]).reshape(
            entry["shape"]
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


def test_the_schedule_is_the_original_codes() -> None:
    """alpha-bar and the timesteps of ddim50 equal those of guided-diffusion."""
    arrays = reference()
    np.testing.assert_allclose(linear_alpha_bar(), arrays["alphas_cumprod"], rtol=1e-12)
    np.testing.assert_array_equal(respaced(50).timesteps, arrays["timestep_map"])
    np.testing.assert_allclose(respaced(50).alpha_bar, arrays["respaced_alphas_cumprod"], rtol=1e-12)


def test_steps_are_the_original_codes() -> None:
    """Given the same eps, steps down and up agree with guided-diffusion within 1e-5."""
    arrays, schedule = reference(), respaced(50)
    for row, i in enumerate(arrays["t_index"].tolist()):
        x, level = arrays["x_t"][row], float(schedule.alpha_bar[i])
        eps = noise_of(x, arrays["pred_xstart"][row], level)
        down, up = level_below(schedule, i), float(schedule.alpha_bar[i + 1])
        np.testing.assert_allclose(move(x, eps, level, down), arrays["x_prev"][row], atol=1e-5)
        np.testing.assert_allclose(move(x, eps, level, up), arrays["x_next"][row], atol=1e-5)


def test_the_first_step_is_the_original_codes() -> None:
    """From t = 0 generation steps to the predicted image itself, inversion to t = 20."""
    arrays, schedule = reference(), respaced(50)
    x, level = arrays["x_t"], float(schedule.alpha_bar[0])
    eps = noise_of(x, arrays["first_x_prev"], level)
    down, up = level_below(schedule, 0), float(schedule.alpha_bar[1])
    np.testing.assert_allclose(move(x, eps, level, down), arrays["first_x_prev"], atol=1e-5)
    np.testing.assert_allclose(move(x, eps, level, up), arrays["first_x_next"], atol=1e-5)


def noise_of(x: Floats, image: Floats, level: float) -> Floats:
    """The eps that predicts `image` from `x`, in float64: at t = 0 it is a difference times 100."""
    eps: Floats = ((x.astype(np.float64) - level**0.5 * image) / (1.0 - level) ** 0.5).astype(np.float32)
    return eps
