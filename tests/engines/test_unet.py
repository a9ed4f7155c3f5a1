"""engines/unet.py: plain and injected passes of the embedded UNet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from embedded_pack import SMALLEST, UNET, copy_of

from engines.errors import EngineError
from engines.manifest import engine_hash, load_manifest
from engines.unet import Injection, UNetEngine, load_unet

MOST = 33  # two full batches and one


@pytest.fixture(scope="module")
def unet() -> UNetEngine:
    return load_unet(UNET, device="cpu", threads=1)


@pytest.fixture(scope="module")
def noise(unet: UNetEngine) -> np.ndarray:
    shape = (MOST, 3, unet.size_px, unet.size_px)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def _content(unet: UNetEngine, count: int, *, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *unet.h_shape), dtype=np.float32)


def _gamma(unet: UNetEngine, count: int, value: float) -> np.ndarray:
    return np.full((count, 1, *unet.h_shape[1:]), value, np.float32)


def test_the_manifest_says_what_it_takes_and_gives(unet: UNetEngine, noise: np.ndarray) -> None:
    """Sizes are those of the manifest, the hash that of its files, the arithmetic fp32."""
    manifest = load_manifest(UNET)
    eps, h = unet.plain(noise[:1], 500)
    assert unet.size_px == manifest.image_size and unet.sha256 == engine_hash(manifest)
    assert eps.shape == (1, *manifest.outputs["eps"]) and eps.dtype == np.float32
    assert h.shape == (1, *unet.h_shape) and h.dtype == np.float32


def test_a_picture_does_not_see_its_neighbours(unet: UNetEngine, noise: np.ndarray) -> None:
    """1, 3, 17 or 33 pictures: bit for bit the same, since every pass has one padded size."""
    eps, h = unet.plain(noise, 400)
    assert eps.shape == noise.shape and len(h) == MOST
    for count in (1, 3, 17):
        some_eps, some_h = unet.plain(noise[:count], 400)
        np.testing.assert_array_equal(some_eps, eps[:count])
        np.testing.assert_array_equal(some_h, h[:count])


def test_threads_change_nothing(unet: UNetEngine, noise: np.ndarray) -> None:
    """Each pass of a small network has one thread, however many run side by side: the same bits come out."""
    content, gamma = _content(unet, MOST), _gamma(unet, MOST, 0.5)
    three = load_unet(UNET, device="cpu", threads=3)
    alone, abreast = (
        [*engine.plain(noise, 400), *engine.injected(noise, 400, Injection(content, gamma))]
        for engine in (unet, three)
    )
    for one, other in zip(alone, abreast, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_failed_pass_is_told(noise: np.ndarray) -> None:
    """An error of one of several passes side by side reaches the caller."""
    two = load_unet(UNET, device="cpu", threads=2)
    with pytest.raises(EngineError, match="input sample must be float32"):
        two.plain(noise.astype(np.float64), 400)


def test_injected_pictures_do_not_see_their_neighbours(unet: UNetEngine, noise: np.ndarray) -> None:
    """Likewise with an injection, whose parts are cut into the same batches."""
    content, gamma = _content(unet, MOST), _gamma(unet, MOST, 0.5)
    gamma *= np.linspace(0, 1, MOST, dtype=np.float32)[:, None, None, None]
    whole = unet.injected(noise, 400, Injection(content, gamma))
    for rows in (slice(0, 1), slice(0, 3), slice(16, 33)):
        some = unet.injected(noise[rows], 400, Injection(content[rows], gamma[rows]))
        for part, of in zip(some, whole, strict=True):
            np.testing.assert_array_equal(part, of[rows])


def test_no_injection_changes_nothing(unet: UNetEngine, noise: np.ndarray) -> None:
    """With gamma 0 the injected output is the plain one, which is that of the plain graph."""
    eps, eps_injected = unet.injected(noise[:2], 300, Injection(_content(unet, 2), _gamma(unet, 2, 0.0)))
    np.testing.assert_array_equal(eps_injected, eps)
    np.testing.assert_allclose(eps, unet.plain(noise[:2], 300)[0], rtol=1e-4, atol=1e-4)


def test_its_own_content_changes_nothing(unet: UNetEngine, noise: np.ndarray) -> None:
    """Injecting a picture's own h, at any weight, is no injection."""
    h = unet.plain(noise[:2], 300)[1]
    eps, eps_injected = unet.injected(noise[:2], 300, Injection(h, _gamma(unet, 2, 0.7)))
    np.testing.assert_allclose(eps_injected, eps, rtol=1e-3, atol=1e-3)


def test_a_direction_is_a_change_of_h(unet: UNetEngine, noise: np.ndarray) -> None:
    """`h + gamma (content - h) + delta`: a content at weight 1 equals that content as a direction."""
    h, content = unet.plain(noise[:2], 300)[1], _content(unet, 2)
    none = np.zeros_like(content)
    as_content = unet.injected(noise[:2], 300, Injection(content, _gamma(unet, 2, 1.0)))[1]
    as_delta = unet.injected(noise[:2], 300, Injection(none, _gamma(unet, 2, 0.0), content - h))[1]
    np.testing.assert_allclose(as_delta, as_content, rtol=1e-3, atol=1e-3)
    assert np.abs(as_content - unet.plain(noise[:2], 300)[0]).max() > 1e-3


def test_gamma_is_a_map(unet: UNetEngine, noise: np.ndarray) -> None:
    """A weight in one cell of h alone changes something, and less than the same weight in all of them."""
    content, one_cell = _content(unet, 1), _gamma(unet, 1, 0.0)
    one_cell[0, 0, 0, 0] = 1.0
    changes = []
    for gamma in (one_cell, _gamma(unet, 1, 1.0)):
        eps, eps_injected = unet.injected(noise[:1], 300, Injection(content, gamma))
        changes.append(float(np.square(eps_injected - eps).sum()))
    assert 0 < changes[0] < changes[1]


def test_the_timestep_matters(unet: UNetEngine, noise: np.ndarray) -> None:
    """The same picture at another step is another question."""
    assert not np.allclose(unet.plain(noise[:1], 10)[0], unet.plain(noise[:1], 900)[0], atol=1e-3)


def test_an_encoder_is_no_unet() -> None:
    """An engine of another kind is refused by its manifest."""
    with pytest.raises(EngineError, match="a encoder engine, expected a unet"):
        load_unet(SMALLEST)


@pytest.mark.parametrize("name", ["unet.weights", "unet_injected.onnx"])
def test_a_damaged_unet_is_refused(tmp_path: Path, name: str) -> None:
    """Its weights lie in a file of their own, which is checked like the graphs."""
    folder = copy_of(UNET, tmp_path)
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(EngineError, match=f"{name}: sha256"):
        load_unet(folder)
