"""engines/tensorrt: what a runner does with a plan, on a GPU in host memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedded_pack import SMALLEST, UNET, copy_of
from fake_gpu import FakeCuda, FakeTensorRT, write_plan

from engines.errors import EngineError
from engines.manifest import load_manifest
from engines.onnxrt.runner import OnnxRunner
from engines.tensorrt import loader, memory
from engines.tensorrt.loader import Log, dtype_name, is_for_want_of_gpu
from engines.tensorrt.runner import TensorRTRunner


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return copy_of(SMALLEST, tmp_path) / "encoder.onnx"


def _runner(graph: Path, plan: Path | None = None, **options: Any) -> TensorRTRunner:
    return TensorRTRunner(plan or write_plan(graph), load_manifest(graph.parent).files, **options)


def _image(count: int = 2, side: int = 64, *, seed: int = 0) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(seed).random((count, 3, side, side), dtype=np.float32)}


def test_a_plan_gives_what_its_graph_gives(graph: Path, trt: FakeTensorRT) -> None:
    """By name, all outputs or those asked for, whichever sizes come one after the other."""
    with _runner(graph) as runner, OnnxRunner(graph, device="cpu", threads=1) as reference:
        assert (runner.device, runner.rung) == ("cuda", "tensorrt")
        assert set(runner.outputs) == set(reference.outputs)
        assert runner.inputs["image"] == ["?", 3, "?", "?"]
        for count, side in ((2, 64), (3, 96), (1, 64)):
            found, expected = runner.infer(_image(count, side)), reference.infer(_image(count, side))
            for name, value in expected.items():
                np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-4)
        assert set(runner.infer(_image(), outputs=["embedding"])) == {"embedding"}


def test_inputs_of_several_types_are_taken(tmp_path: Path, trt: FakeTensorRT) -> None:
    """The UNet's timesteps are int64."""
    graph = copy_of(UNET, tmp_path) / "unet_plain.onnx"
    inputs = {"sample": np.ones((2, 3, 64, 64), np.float32), "timestep": np.array([3, 500])}
    with _runner(graph) as runner, OnnxRunner(graph, device="cpu", threads=1) as reference:
        np.testing.assert_allclose(
            runner.infer(inputs)["eps"], reference.infer(inputs)["eps"], rtol=1e-4, atol=1e-4
        )


def test_memory_is_kept_between_calls_and_given_back(graph: Path, trt: FakeTensorRT, cuda: FakeCuda) -> None:
    """Smaller inputs reuse it, larger ones get more, and closing frees all of it and the stream."""
    runner = _runner(graph)
    runner.infer(_image(2))
    first = set(cuda.allocated)
    runner.infer(_image(1))
    assert set(cuda.allocated) == first
    runner.infer(_image(4))
    assert set(cuda.allocated) != first and len(cuda.allocated) == len(first)
    runner.close()
    assert cuda.allocated == {} and cuda.streams == set()


def test_an_input_that_is_not_contiguous_is_copied_whole(graph: Path, trt: FakeTensorRT) -> None:
    """A view of every other picture is not the memory behind its first one."""
    many = _image(4)["image"]
    with _runner(graph) as runner:
        found = runner.infer({"image": many[::2]})["embedding"]
        np.testing.assert_array_equal(found, runner.infer({"image": many[::2].copy()})["embedding"])


def test_inputs_are_checked_as_those_of_onnx_runtime(graph: Path, trt: FakeTensorRT) -> None:
    """Another type, rank, name or output is refused before anything is copied."""
    with _runner(graph) as runner:
        for inputs, said in (
            ({"image": np.zeros((1, 3, 64, 64))}, "must be float32"),
            ({"image": np.zeros((3, 64, 64), np.float32)}, "of shape"),
            ({"picture": np.zeros((1, 3, 64, 64), np.float32)}, "inputs are"),
        ):
            with pytest.raises(EngineError, match=said):
                runner.infer(inputs)
        with pytest.raises(EngineError, match="asked for"):
            runner.infer(_image(), outputs=["logits"])
    assert trt.passes == 0


def test_sizes_beyond_the_plan_are_refused_by_name(graph: Path, trt: FakeTensorRT) -> None:
    """With what came, what the plan takes, and the option that builds another."""
    with _runner(graph) as runner, pytest.raises(EngineError, match=r"\[17, 3, 64, 64\].*\[16, .*--shapes"):
        runner.infer(_image(17))


@pytest.mark.parametrize(
    "method",
    [
        "set_input_shape",
        "set_tensor_address",
        "infer_shapes",
        "get_tensor_shape",
        "execute_async_v3",
        "create_execution_context",
    ],
)
def test_what_tensorrt_refuses_is_an_engine_error(graph: Path, trt: FakeTensorRT, method: str) -> None:
    """TensorRT says False, or None, and no more."""
    trt.fails = method
    with pytest.raises(EngineError, match=r"encoder\.tensorrt-rtx\.plan: TensorRT (fails at|makes no)"):
        _runner(graph).infer(_image())


def test_a_reason_is_that_of_the_call(graph: Path, trt: FakeTensorRT) -> None:
    """What TensorRT said of an earlier one is no reason for this."""
    with _runner(graph) as runner:
        runner._opened.log.messages.append((1, "an old fault"))
        trt.fails = "execute_async_v3"
        with pytest.raises(EngineError, match="a pass: no reason is given"):
            runner.infer(_image())


@pytest.mark.parametrize(
    "call", ["cudaMalloc", "cudaMemcpyAsync", "cudaStreamSynchronize", "cudaStreamCreate", "cudaSetDevice"]
)
def test_every_return_code_of_cuda_is_looked_at(
    graph: Path, trt: FakeTensorRT, cuda: FakeCuda, call: str
) -> None:
    """What was done, CUDA's words, the code and a remedy."""
    cuda.fail[call] = 2
    with pytest.raises(EngineError, match=r"CUDA fails in .*the words for it \(error 2 cudaErrorMemory.*\)"):
        _runner(graph).infer(_image())


def test_a_box_without_a_gpu_is_told_so(graph: Path, trt: FakeTensorRT, cuda: FakeCuda) -> None:
    """The remedy is the driver, not the plan."""
    cuda.fail["cudaGetDeviceCount"] = 35
    with pytest.raises(EngineError, match=r"looking for a GPU.*Install the NVIDIA driver"):
        _runner(graph)


def test_a_box_without_the_package_is_told_so(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """cuda-bindings comes with the gpu extra."""
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(EngineError, match=r"cuda-bindings.*gpu extra"):
        memory.cuda_runtime()


def test_captured_work_is_launched_again(graph: Path, trt: FakeTensorRT, cuda: FakeCuda) -> None:
    """While shapes and addresses stay; the results are those of plain passes."""
    with _runner(graph, cuda_graphs=True) as runner, _runner(graph) as plain:
        for count, seed in ((2, 0), (2, 1), (1, 2), (2, 3), (4, 4), (4, 5)):
            expected = plain.infer(_image(count, seed=seed))
            for name, value in runner.infer(_image(count, seed=seed)).items():
                np.testing.assert_array_equal(value, expected[name])
        assert cuda.launches == 2 and len(cuda.graphs) == 1
    assert cuda.graphs == set()


def test_a_plan_of_another_release_is_refused(graph: Path, trt: FakeTensorRT) -> None:
    """Both versions and how to build it again."""
    plan = write_plan(graph, backend_version="1.0.0")
    with pytest.raises(EngineError, match=r"1\.0\.0, installed is 1\.2\.3.*goodparts-export engine"):
        _runner(graph, plan)


def test_a_plan_for_another_gpu_is_refused(graph: Path, trt: FakeTensorRT, cuda: FakeCuda) -> None:
    """Both architectures, and the option for this one."""
    cuda.capability = (12, 0)
    with pytest.raises(EngineError, match=r"capability 8\.9, this GPU has 12\.0.*--sm 120"):
        _runner(graph, write_plan(graph, variant="8.9"))


def test_a_refused_plan_carries_the_loggers_reason(graph: Path, trt: FakeTensorRT) -> None:
    """`deserialize` returns None; the first error in the log is the reason."""
    trt.refuses = "the stored architecture is another"
    with pytest.raises(EngineError, match=r"does not open it: the stored architecture is another Build it"):
        _runner(graph)


@pytest.mark.parametrize("installed", ["nothing", "stub"])
def test_a_missing_tensorrt_is_told_with_the_command(
    graph: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch, installed: str
) -> None:
    """PyPI's package `tensorrt` may be there and hold nothing."""
    module = None if installed == "nothing" else type("Stub", (), {})()
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", module)
    with pytest.raises(EngineError, match=r"tensorrt-rtx.*pip install tensorrt-rtx"):
        _runner(graph)


def test_a_log_keeps_what_matters() -> None:
    """The first error is the reason; warnings come once each; without errors there is no reason."""
    log = Log([(3, "info"), (2, "odd"), (2, "odd"), (1, "first "), (0, "second")])
    assert log.reason() == "first" and log.warnings() == ["odd", "first ", "second"]
    log.clear()
    assert log.reason() == "no reason is given"


def test_a_want_of_a_driver_is_told_from_a_fault_of_the_plan() -> None:
    """By CUDA's codes for no driver and no device."""
    assert is_for_want_of_gpu("(cudaError 35: CUDA driver version is insufficient)")
    assert is_for_want_of_gpu("(cudaError 100: no CUDA-capable device is detected)")
    assert not is_for_want_of_gpu("assertion plan.header.size == blobSize failed")


def test_types_have_numpys_names() -> None:
    """TensorRT's own are others."""
    assert [dtype_name(f"DataType.{name}") for name in ("FLOAT", "HALF", "INT64", "BF16")] == [
        "float32",
        "float16",
        "int64",
        "bf16",
    ]
    assert set(loader.MODULES) == {"tensorrt", "tensorrt-rtx"}
