"""Opens an ONNX file as an ONNX Runtime session on the device that was asked for, and says which it got."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from engines.errors import EngineError
from engines.runner import Device

# TF32 would round inputs to ten bits inside fp32 graphs, and a search for the fastest algorithm at every
# start could choose another one and other last bits.
CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
Provider = str | tuple[str, Mapping[str, Any]]


def open_session(path: Path, *, device: Device = "auto", threads: int = 0) -> ort.InferenceSession:
    """A session for `path`. `threads` 0 leaves the count to the runtime.

    ONNX Runtime falls back to the CPU without an error, so the providers that it ended up with are compared
    with what was asked: `device="cuda"` raises EngineError where CUDA is not used.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait by spinning take the cores from everything else on the box, scoring for one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # warnings about unused initializers are no operator's business
    # Memory arenas and patterns grow with every new shape; photos come in few shapes, anomalies in many.
    options.enable_mem_pattern = False
    wanted = _providers(device)
    if len(wanted) > 1:
        _find_cuda_libraries()
    try:
        session = ort.InferenceSession(str(path), options, providers=wanted)
    except Exception as error:  # onnxruntime raises bare exceptions of its own C++ types
        reason = str(error).splitlines()[0]
        raise EngineError(
            f"{path}: ONNX Runtime cannot load it: {reason}. Export or copy the file again."
        ) from error
    if device == "cuda" and device_of(session) != "cuda":
        raise EngineError(
            f"{path}: CUDA was asked for, ONNX Runtime uses {session.get_providers()}. "
            "Install the gpu extra and the NVIDIA driver, or set engines.device to auto or cpu."
        )
    return session


def device_of(session: ort.InferenceSession) -> str:
    return "cuda" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"


def has_cuda() -> bool:
    """Was the installed ONNX Runtime built with CUDA? A session shows whether it gets a GPU."""
    return "CUDAExecutionProvider" in ort.get_available_providers()


def _find_cuda_libraries() -> None:
    """CUDA and cuDNN of the gpu extra lie in wheels, where the dynamic linker does not look by itself."""
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it does not find; results go to stdout
            ort.preload_dlls()


def _providers(device: Device) -> list[Provider]:
    available = ort.get_available_providers()
    use_cuda = device == "cuda" or (device == "auto" and has_cuda())
    if device == "cuda" and not has_cuda():
        raise EngineError(
            f"CUDA was asked for, the installed ONNX Runtime has only {available}. "
            "Install the gpu extra in place of cpu, or set engines.device to auto or cpu."
        )
    cuda: list[Provider] = [("CUDAExecutionProvider", CUDA_OPTIONS)] if use_cuda else []
    return [*cuda, "CPUExecutionProvider"]
