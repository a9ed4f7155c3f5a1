"""engines/ladder.py: the best rung that holds, and a sentence for each better one that does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedded_pack import ENCODERS, SMALLEST, UNET, change_manifest, copy_of
from fake_gpu import FakeTensorRT, write_plan

from engines import ladder
from engines.encoder import load_encoder, load_foreign_encoder
from engines.errors import EngineError
from engines.ladder import Way, ways
from engines.manifest import engine_hash, load_manifest
from engines.packs import load_installed
from engines.tensorrt import loader
from engines.unet import Injection, load_unet


@pytest.fixture(autouse=True)
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime has no CUDA, on whatever machine this runs; a driver is there."""
    monkeypatch.setattr(ladder, "has_cuda", lambda: False)
    monkeypatch.setattr(ladder, "has_driver", lambda: True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_of(SMALLEST, tmp_path)


def _names(found: list[Way]) -> list[str]:
    return [f"{way.rung}/{way.variant}" if way.variant else way.rung for way in found]


def test_the_ladder_is_tensorrt_cuda_cpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans by name; `cpu` asks for nothing else and `cuda` never ends on the CPU."""
    graph = folder / "encoder.onnx"
    write_plan(graph)
    write_plan(graph, variant="8.9")
    monkeypatch.setattr(ladder, "has_cuda", lambda: True)
    plans = ["tensorrt/tensorrt-rtx", "tensorrt/tensorrt-rtx.sm89"]
    assert _names(ways([graph], "auto")) == [*plans, "cuda", "cpu"]
    assert _names(ways([graph], "cuda")) == [*plans, "cuda"]
    assert _names(ways([graph], "cpu")) == ["cpu"]


def test_a_box_without_a_gpu_is_left_in_peace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans that came with the engines are no fault there, unless a GPU is asked for."""
    graph = folder / "encoder.onnx"
    write_plan(graph)
    monkeypatch.setattr(ladder, "has_driver", lambda: False)
    assert _names(ways([graph], "auto")) == ["cpu"]
    assert _names(ways([graph], "cuda")) == ["tensorrt/tensorrt-rtx", "cuda"]
    assert load_encoder(folder).fallen == ()


def test_all_graphs_of_an_engine_are_on_one_rung(tmp_path: Path) -> None:
    """A UNet with a plan of one graph only has none."""
    folder = copy_of(UNET, tmp_path)
    graphs = [folder / name for name in ("unet_plain.onnx", "unet_injected.onnx")]
    write_plan(graphs[0])
    assert _names(ways(graphs, "auto")) == ["cpu"]
    write_plan(graphs[1])
    assert _names(ways(graphs, "auto")) == ["tensorrt/tensorrt-rtx", "cpu"]


def test_a_plan_that_is_proven_serves(folder: Path, trt: FakeTensorRT) -> None:
    """The encoder says its rung, fills the batch of a GPU and is the same engine."""
    write_plan(folder / "encoder.onnx")
    encoder, slow = load_encoder(folder, threads=1), load_encoder(folder, device="cpu", threads=1)
    assert (encoder.rung, encoder.device, encoder.fallen) == ("tensorrt", "cuda", ())
    assert encoder.spec == slow.spec and encoder.spec.sha256 == engine_hash(load_manifest(SMALLEST))
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    for name, value in slow.infer(pictures).items():
        np.testing.assert_allclose(encoder.infer(pictures)[name], value, rtol=1e-3, atol=1e-3)


def test_a_unet_that_is_proven_serves(tmp_path: Path, trt: FakeTensorRT) -> None:
    """Both graphs, plain and injected passes."""
    folder = copy_of(UNET, tmp_path)
    for name in ("unet_plain.onnx", "unet_injected.onnx"):
        write_plan(folder / name)
    fast, slow = load_unet(folder, threads=1), load_unet(folder, device="cpu", threads=1)
    assert (fast.rung, slow.rung, fast.fallen) == ("tensorrt", "cpu", ())
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64), dtype=np.float32)
    h = slow.plain(x, 300)[1]
    injection = Injection(h[::-1].copy(), np.full((2, 1, 8, 8), 0.5, np.float32))
    for found, expected in zip(
        (*fast.plain(x, 300), *fast.injected(x, 300, injection)),
        (*slow.plain(x, 300), *slow.injected(x, 300, injection)),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_unet_that_is_wrong_in_a_batch_alone_is_found(tmp_path: Path, trt: FakeTensorRT) -> None:
    """Golden outputs are of one picture; calibrations run sixteen."""
    folder = copy_of(UNET, tmp_path)
    for name in ("unet_plain.onnx", "unet_injected.onnx"):
        write_plan(folder / name, factor=-1.0, first_row=15)
    unet = load_unet(folder, threads=1)
    assert unet.rung == "cpu" and "eps of a whole batch" in unet.fallen[0]
    assert trt.cuda.allocated == {}


def test_a_plan_of_another_box_is_not_read_through(
    folder: Path, trt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plans have gigabytes: what its record says against it is enough."""
    write_plan(folder / "encoder.onnx", variant="12.0")
    monkeypatch.setattr(loader, "check_plan", lambda *_: pytest.fail("the plan was read"))
    (said,) = load_encoder(folder, threads=1).fallen
    assert "built for compute capability 12.0, this GPU has 8.9" in said


def test_a_tensorrt_that_does_not_start_gives_way(folder: Path, trt: FakeTensorRT) -> None:
    """Its bindings raise a TypeError then; the driver's words are in the log."""

    def does_not_start(logger: Any) -> Any:
        logger.log(1, "CUDA initialization failure with error: 35.")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    trt.Runtime = does_not_start  # type: ignore[method-assign]
    write_plan(folder / "encoder.onnx")
    encoder = load_encoder(folder, threads=1)
    assert encoder.rung == "cpu"
    assert "does not start: CUDA initialization failure with error: 35. Install" in encoder.fallen[0]


@pytest.mark.parametrize("fault", ["wrong values", "other release", "truncated", "other graph", "no record"])
def test_a_plan_that_does_not_hold_gives_way(folder: Path, trt: FakeTensorRT, fault: str) -> None:
    """The next rung serves, one sentence says why, and the GPU's memory is given back."""
    graph = folder / "encoder.onnx"
    changes = {
        "wrong values": {"factor": 1.5},
        "other release": {"backend_version": "0.9"},
        "other graph": {"files": {"encoder.onnx": "0" * 64}},
    }
    plan = write_plan(graph, **changes.get(fault, {}))
    if fault == "truncated":
        plan.write_bytes(plan.read_bytes()[:-5])
    elif fault == "no record":
        plan.with_name(f"{plan.name}.json").unlink()
    encoder = load_encoder(folder, threads=1)
    assert encoder.rung == "cpu"
    (said,) = encoder.fallen
    words = {
        "wrong values": "differs from the original network's",
        "other release": "built by tensorrt-rtx 0.9, installed is 1.2.3",
        "truncated": "truncated",
        "other graph": "built from a encoder.onnx",
        "no record": "not found",
    }
    assert said.startswith("tensorrt: ") and words[fault] in said
    assert trt.cuda.allocated == {}


def test_of_two_plans_the_one_that_fits_serves_in_silence(folder: Path, trt: FakeTensorRT) -> None:
    """A folder may carry plans for several boxes."""
    graph = folder / "encoder.onnx"
    for variant in ("12.0", "8.9"):
        write_plan(graph, variant=variant)
    encoder = load_encoder(folder, threads=1)
    assert (encoder.rung, encoder.fallen) == ("tensorrt", ())


def test_wrong_ranks_within_the_golden_tolerance_are_found(folder: Path, trt: FakeTensorRT) -> None:
    """A wide tolerance, as of fp16, is no licence: embeddings that are all alike rank nothing."""
    golden = load_manifest(folder).golden
    change_manifest(folder, golden=type(golden)(file=golden.file, atol=1e9, rtol=0.0))
    write_plan(folder / "encoder.onnx", factor=0.0)
    (said,) = load_encoder(folder, threads=1).fallen
    assert "pairs of drawn photos" in said


def test_a_gpu_that_was_asked_for_is_not_replaced_in_silence(folder: Path, trt: FakeTensorRT) -> None:
    """`cuda` and no rung but the CPU left is an error that holds every reason."""
    write_plan(folder / "encoder.onnx", backend_version="0.9")
    with pytest.raises(EngineError, match=r"tensorrt-rtx 0\.9.*CUDA was asked for.*engines\.device"):
        load_encoder(folder, device="cuda", threads=1)


def test_an_own_encoder_takes_the_ladder_too(folder: Path, trt: FakeTensorRT) -> None:
    """It has no golden outputs; its rank is checked, and the plan's hash is of what lies there."""
    graph = folder / "encoder.onnx"
    (folder / "manifest.json").unlink()
    write_plan(graph)
    own = load_foreign_encoder(graph, name="own", image_size=64, threads=1)
    assert (own.rung, own.fallen) == ("tensorrt", ())
    write_plan(graph, factor=0.0)
    fallen = load_foreign_encoder(graph, name="own", image_size=64, threads=1)
    assert fallen.rung == "cpu" and "pairs of drawn photos" in fallen.fallen[0]


def test_a_rung_that_fails_is_no_reason_to_leave_an_engine_out(folder: Path, trt: FakeTensorRT) -> None:
    """The engine serves from the CPU; the sentence is at the engine, where the report finds it."""
    change_manifest(folder, name="second")
    write_plan(folder / "encoder.onnx", factor=2.0)
    installed = load_installed([folder], device="auto", threads=1)
    assert installed.problems == ()
    assert len(installed.encoders) == len(ENCODERS) + 1
    (second,) = [encoder for encoder in installed.encoders if encoder.name == "second"]
    assert second.rung == "cpu" and len(second.fallen) == 1
