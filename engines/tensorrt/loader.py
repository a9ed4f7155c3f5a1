"""Opens a plan with the TensorRT that it was built for, or says why not.

TensorRT gives its reasons to a logger only; `deserialize_cuda_engine` returns None.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.plans import Backend, Plan, build_again, check_plan
from engines.tensorrt.memory import Cuda

MODULES: Mapping[Backend, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
INSTALL: Mapping[Backend, str] = {
    "tensorrt": "pip install tensorrt, from NVIDIA's own package index",
    "tensorrt-rtx": "pip install tensorrt-rtx cuda-bindings",
}
VERBOSE = 4  # of its severities, the last; such messages come by the thousand
# In the words of TensorRT's log, of a machine without a GPU or driver: not the plan's fault.
NO_DRIVER = ("cudaError 35:", "cudaError 100:")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """An engine and what must live as long as it."""

    trt: Any  # the package
    engine: Any
    runtime: Any
    log: Log


@dataclass(slots=True)
class Log:
    """TensorRT's messages, the most urgent first within `reason`."""

    messages: list[tuple[int, str]] = field(default_factory=list)  # severity (0 worst, 4 verbose), words

    def clear(self) -> None:
        self.messages.clear()

    def warnings(self) -> list[str]:
        """Warnings and worse, each once."""
        return list(dict.fromkeys(words for severity, words in self.messages if severity <= 2))

    def reason(self) -> str:
        """The first error, which the later ones follow from."""
        errors = [words for severity, words in self.messages if severity <= 1]
        return errors[0].strip() if errors else "no reason is given"


def load_backend(backend: Backend) -> Any:
    """The package. EngineError if it is not installed, or is the empty one that PyPI has under its name."""
    try:
        trt = importlib.import_module(MODULES[backend])
    except Exception as error:  # its libraries may be missing, or made for another CUDA: many kinds of errors
        raise EngineError(
            f"{backend} cannot be used here: {error}. Install it ({INSTALL[backend]}), or use the other of "
            f"{' and '.join(MODULES)}."
        ) from error
    if not hasattr(trt, "Runtime"):
        raise EngineError(
            f"{backend}: the package that is installed holds no TensorRT. Install it: {INSTALL[backend]}."
        )
    return trt


def make_logger(trt: Any, log: Log) -> Any:
    """An ILogger that writes into `log`."""

    def begin(self: Any) -> None:
        trt.ILogger.__init__(self)

    def write(self: Any, severity: Any, words: str) -> None:  # noqa: ARG001  # of an interface
        if int(severity) < VERBOSE:
            log.messages.append((int(severity), words))

    return type("CollectingLogger", (trt.ILogger,), {"__init__": begin, "log": write})()


def open_plan(path: Path, record: Plan, files: Mapping[str, str], cuda: Cuda) -> Opened:
    """EngineError if the plan is not the one recorded, or not for this TensorRT or this GPU.

    files: the graph's files that lie beside it, name -> sha256.
    """
    trt = load_backend(record.backend)
    check_version(path, record, trt.__version__)
    check_capability(path, record, cuda.compute_capability())
    check_plan(record, path, files)  # last: a plan of another box need not be read through
    log = Log()
    runtime = make_runtime(trt, record.backend, log)
    engine, reason = deserialize(runtime, path.read_bytes(), log)
    if engine is None:
        raise EngineError(
            f"{path}: {record.backend} {trt.__version__} does not open it: {reason} "
            f"{build_again(path, record)}"
        )
    return Opened(trt=trt, engine=engine, runtime=runtime, log=log)


def make_runtime(trt: Any, backend: Backend, log: Log) -> Any:
    """EngineError if TensorRT does not start, as with a driver that is too old for it."""
    try:
        return trt.Runtime(make_logger(trt, log))
    except Exception as error:  # the bindings raise a TypeError where the library gives nothing
        raise EngineError(
            f"{backend} {trt.__version__} does not start: {log.reason()} Install a newer NVIDIA driver, or "
            "set engines.device to cpu."
        ) from error


def check_version(path: Path, record: Plan, installed: str) -> None:
    """Plans of one release are not opened by another."""
    if record.backend_version != installed:
        raise EngineError(
            f"{path}: built by {record.backend} {record.backend_version}, installed is {installed}. "
            f"{build_again(path, record)}, in an environment with {installed}."
        )


def check_capability(path: Path, record: Plan, capability: str) -> None:
    """capability: of the GPU, such as "8.9"."""
    built_for = record.compute_capabilities
    if built_for and capability not in built_for:
        raise EngineError(
            f"{path}: built for compute capability {', '.join(built_for)}, this GPU has {capability}. Build "
            f"one for it: goodparts-export engine --onnx {path.with_name(record.graph)} --backend "
            f"{record.backend} --sm {capability.replace('.', '')}"
        )


def deserialize(runtime: Any, data: bytes, log: Log) -> tuple[Any, str]:
    """(engine, "") or (None, the reason). Without a GPU only what is wrong with the header is found."""
    log.clear()
    engine = runtime.deserialize_cuda_engine(data)
    return (engine, "") if engine is not None else (None, log.reason())


def is_for_want_of_gpu(reason: str) -> bool:
    """Was the plan refused only because there is no GPU to load it to?"""
    return any(words in reason for words in NO_DRIVER)


def header_problem(trt: Any, runtime: Any, data: bytes, log: Log) -> str:
    """What the plan's header alone says against it, without a GPU; empty if nothing."""
    if not hasattr(runtime, "get_engine_validity"):
        return ""
    log.clear()
    _, found = runtime.get_engine_validity(data)
    flags = trt.EngineInvalidityDiagnostics
    if int(found) & int(flags.MALFORMED_ENGINE):
        return "its header is not that of a plan"
    other = [words.strip() for _, words in log.messages if "created with" in words and "version" in words]
    if int(found) & int(flags.VERSION_MISMATCH) or other:
        return other[0] if other else "it was built by another release"
    return ""


def dtype_name(dtype: Any) -> str:
    """A TensorRT data type as numpy names it; of types that numpy lacks TensorRT's own name."""
    name = str(dtype).rsplit(".", 1)[-1]
    return {"FLOAT": "float32", "HALF": "float16"}.get(name, name.lower())
