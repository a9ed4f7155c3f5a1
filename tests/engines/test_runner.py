"""engines/onnxrt: what fits a graph is run, everything else is refused before the runtime sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from embedded_pack import SMALLEST, UNET

from engines.errors import EngineError
from engines.manifest import load_manifest
from engines.onnxrt import loader
from engines.onnxrt.runner import OnnxRunner
from tests import onnx_files as onnx


@pytest.fixture(scope="module")
def injected() -> OnnxRunner:
    return OnnxRunner(UNET / load_manifest(UNET).graphs["injected"], device="cpu", threads=1)


@pytest.fixture
def never_run(injected: OnnxRunner, monkeypatch: pytest.MonkeyPatch) -> OnnxRunner:
    """The runner with a session that must not be called."""

    class NoSession:
        def run(self, *arguments: object) -> None:
            pytest.fail("the runtime saw inputs that do not fit")

    monkeypatch.setattr(injected, "_session", NoSession())
    return injected


def _inputs(count: int = 2) -> dict[str, np.ndarray]:
    manifest = load_manifest(UNET)
    (channels, height, width), side = manifest.outputs["h"], manifest.image_size
    return {
        "sample": np.zeros((count, 3, side, side), np.float32),
        "timestep": np.zeros(count, np.int64),
        "h_content": np.zeros((count, channels, height, width), np.float32),
        "gamma": np.zeros((count, 1, height, width), np.float32),
        "delta_h": np.zeros((count, channels, height, width), np.float32),
    }


def _pooling_model(tmp_path: Path, *, image: onnx.Tensor = onnx.PICTURE) -> Path:
    path = tmp_path / "model.onnx"
    outputs = {"map_s8": (image[0], ("N", 3, "h", "w"))}
    path.write_bytes(onnx.model([onnx.average_map("map_s8", 8)], inputs={"image": image}, outputs=outputs))
    return path


def test_inputs_that_fit_are_run(injected: OnnxRunner) -> None:
    """All outputs come back by name, or those that were asked for."""
    assert set(injected.infer(_inputs())) == {"eps", "eps_injected", "h"}
    (asked,) = injected.infer(_inputs(), outputs=["h"]).items()
    assert asked[0] == "h" and len(asked[1]) == 2


@pytest.mark.parametrize("name", sorted(_inputs()))
def test_a_missing_input_is_refused(never_run: OnnxRunner, name: str) -> None:
    """Each input is needed; the message lists those there are and those given."""
    inputs = _inputs()
    del inputs[name]
    with pytest.raises(EngineError, match=rf"inputs are .*'{name}'.*, got"):
        never_run.infer(inputs)


def test_an_unknown_input_is_refused(never_run: OnnxRunner) -> None:
    """What the graph does not take is a mistake, not something to ignore."""
    with pytest.raises(EngineError, match=r"got .*'noise'"):
        never_run.infer({**_inputs(), "noise": np.zeros(2, np.float32)})


def test_an_unknown_output_is_refused(never_run: OnnxRunner) -> None:
    """The message lists the outputs that there are."""
    with pytest.raises(EngineError, match=r"outputs are .*'eps'.*asked for \['x'\]"):
        never_run.infer(_inputs(), outputs=["x"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample", np.zeros((2, 3, 64, 64), np.float64)),
        ("sample", np.zeros((2, 3, 64, 64), np.uint8)),
        ("timestep", np.zeros(2, np.int32)),
        ("timestep", np.zeros(2, np.float32)),
        ("timestep", np.int64(3)),
        ("timestep", np.zeros((2, 1), np.int64)),
        ("sample", np.zeros((3, 64, 64), np.float32)),
        ("sample", np.zeros((2, 1, 64, 64), np.float32)),
        ("gamma", np.zeros((2, 96, 8, 8), np.float32)),
        ("gamma", np.zeros((), np.float32)),
    ],
)
def test_wrong_types_and_shapes_are_refused(never_run: OnnxRunner, name: str, value: Any) -> None:
    """Another dtype, rank or fixed size is an EngineError with what is taken and what was given."""
    said = rf"input {name} must be (float32|int64) of shape .*, got {value.dtype}"
    with pytest.raises(EngineError, match=said):
        never_run.infer({**_inputs(), name: np.asarray(value)})


@pytest.mark.parametrize("name", sorted(_inputs()))
def test_a_side_input_of_batch_one_is_refused(never_run: OnnxRunner, name: str) -> None:
    """ONNX Runtime would spread it over the batch and return outputs of a wrong size."""
    with pytest.raises(EngineError, match=f"same batch size, got .*'{name}': 1"):
        never_run.infer({**_inputs(3), name: _inputs(1)[name]})


def test_a_type_that_is_not_served_is_named(tmp_path: Path) -> None:
    """A model that takes fp16 pictures is refused with its type."""
    runner = OnnxRunner(_pooling_model(tmp_path, image=(onnx.FLOAT16, ("N", 3, "H", "W"))), device="cpu")
    for dtype in (np.float16, np.float32, np.float64):
        with pytest.raises(EngineError, match="must be float16"):
            runner.infer({"image": np.zeros((1, 3, 16, 16), dtype)})


def test_what_fails_inside_the_runtime_is_an_engine_error(tmp_path: Path) -> None:
    """The runtime's own exceptions carry no file and no remedy: here, of a sum of two sizes."""
    nodes = [onnx.average_map("small", 8), onnx.node("Add", ["image", "small"], ["sum"])]
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.model(nodes, inputs={"image": onnx.PICTURE}, outputs={"sum": onnx.PICTURE}))
    runner = OnnxRunner(path, device="cpu", threads=1)
    with pytest.raises(EngineError, match=r"model\.onnx: ONNX Runtime fails on .*\[1, 3, 32, 32\].*Free"):
        runner.infer({"image": np.zeros((1, 3, 32, 32), np.float32)})
    assert runner.infer({"image": np.ones((1, 3, 8, 8), np.float32)})["sum"].mean() == 2.0


def test_the_thread_count_is_a_matter_of_speed() -> None:
    """One thread or two: only the last bits may differ."""
    path = SMALLEST / "encoder.onnx"
    image = np.random.default_rng(0).random((1, 3, 64, 96), dtype=np.float32)
    one, two = (OnnxRunner(path, device="cpu", threads=n).infer({"image": image}) for n in (1, 2))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("data", [b"", b"no graph", b"\x08\x08\x3a\x02\x12\x00"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    """Bytes that ONNX Runtime cannot load are an EngineError with the file, the reason and a remedy."""
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(EngineError, match=r"model\.onnx: ONNX Runtime cannot load it: .+ Export or copy"):
        OnnxRunner(path, device="cpu")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Likewise for a path that leads nowhere."""
    with pytest.raises(EngineError, match="cannot load it"):
        OnnxRunner(tmp_path / "gone.onnx", device="cpu")


@pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(), reason="this box's runtime has CUDA"
)
def test_a_gpu_that_cannot_be_had_is_an_error() -> None:
    """Without CUDA in the runtime, asking for it says what there is and what to do; `auto` takes the CPU."""
    path = SMALLEST / "encoder.onnx"
    with pytest.raises(EngineError, match=r"CPUExecutionProvider.*gpu extra .*engines\.device"):
        OnnxRunner(path, device="cuda")
    assert OnnxRunner(path, device="auto", threads=1).device == "cpu"


def test_a_silent_fall_back_to_the_cpu_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A runtime that does not get its GPU says nothing; the providers that it ended up with decide."""
    monkeypatch.setattr(
        loader.ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    real = ort.InferenceSession

    found = []
    monkeypatch.setattr(loader.ort, "preload_dlls", lambda: found.append(print("libcublas is not there")))

    def fallen_back(path: str, options: ort.SessionOptions, providers: list[Any]) -> ort.InferenceSession:
        assert providers[0][0] == "CUDAExecutionProvider"
        return real(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(loader.ort, "InferenceSession", fallen_back)
    path = SMALLEST / "encoder.onnx"
    with pytest.raises(EngineError, match=r"CUDA was asked for, ONNX Runtime uses .*CPUExecutionProvider"):
        OnnxRunner(path, device="cuda", threads=1)
    assert OnnxRunner(path, device="auto", threads=1).device == "cpu"
    assert len(found) == 2 and capsys.readouterr().out == ""  # the libraries in the wheels were looked for
