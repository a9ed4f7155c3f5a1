"""TensorRT plans beside an ONNX graph, and the record that lies beside each plan.

`encoder.onnx` may have `encoder.tensorrt-rtx.plan`, `encoder.tensorrt-rtx.sm89.plan` …, each with a record of
the same name and `.json` behind it. They stand in no manifest: a plan is derived from the graph, and an
engine is the same engine with or without it. So the record names the graph's hash, and a plan of another
graph is refused.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from engines.errors import EngineError
from engines.manifest import file_sha256

SUFFIX = ".plan"
FORMAT_VERSION = 1
Backend = Literal["tensorrt", "tensorrt-rtx"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input or output; free sizes are -1, and `smallest`, `usual`, `largest` bound an input's."""

    dtype: str  # as numpy names it
    shape: tuple[int, ...]
    smallest: tuple[int, ...] = ()
    usual: tuple[int, ...] = ()
    largest: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What stands in the record. Hashes are of the files that the plan was built from, and of the plan."""

    backend: Backend
    backend_version: str
    compute_capabilities: tuple[str, ...]  # such as "8.9"; none: those that the backend builds for by itself
    graph: str  # name of the ONNX file
    files: Mapping[str, str]  # the ONNX file and its external data -> sha256
    plan_sha256: str
    plan_bytes: int
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    layers: int  # of the network as it was parsed
    read_back: Literal["engine", "header"]  # header: without a GPU no more of a plan can be read
    exporter_version: str
    seconds: float  # of the build
    format_version: int = FORMAT_VERSION


def plan_name(graph: Path, backend: Backend, capabilities: Sequence[str]) -> str:
    """`encoder.onnx`, tensorrt-rtx, ["8.6", "8.9"] -> `encoder.tensorrt-rtx.sm86-sm89.plan`."""
    target = "-".join(f"sm{capability.replace('.', '')}" for capability in capabilities)
    return ".".join([graph.stem, backend, *([target] if target else [])]) + SUFFIX


def plans_beside(graph: Path) -> dict[str, Path]:
    """The plans of a graph by what follows its name in theirs, such as `tensorrt-rtx.sm89`; sorted."""
    found = {
        path.name.removeprefix(f"{graph.stem}.").removesuffix(SUFFIX): path
        for path in sorted(graph.parent.glob(f"*{SUFFIX}"))
        if path.name.startswith(f"{graph.stem}.") and path.is_file()
    }
    return {variant: path for variant, path in found.items() if variant.split(".")[0] in BACKENDS}


def record_path(plan: Path) -> Path:
    return plan.with_name(f"{plan.name}.json")


def save_record(record: Plan, path: Path) -> None:
    """Writes the record to `path`."""
    text = json.dumps(dataclasses.asdict(record), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def load_record(plan: Path) -> Plan:
    """The record beside a plan. EngineError if it is missing, malformed or of another format version."""
    path = record_path(plan)
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EngineError(f"{path}: not found, so nobody knows what the plan is. {_again()}") from error
    except (OSError, ValueError) as error:
        raise EngineError(f"{path}: not valid JSON ({error}). {_again()}") from error
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if version != FORMAT_VERSION:
        raise EngineError(
            f"{path}: format version {version}, this release reads {FORMAT_VERSION}. {_again()}"
        )
    try:
        raw |= {side: _tensors(raw[side]) for side in ("inputs", "outputs")}
        raw["compute_capabilities"] = tuple(raw["compute_capabilities"])
        raw["files"] = {name: str(sha256) for name, sha256 in raw["files"].items()}
        record = Plan(**raw)
        wrong = record.backend not in BACKENDS or record.graph not in record.files
        # Names that leave the folder would be hashed, and shown, as if they were the plan's.
        wrong = wrong or any(PurePosixPath(name).name != name for name in record.files)
    except KeyError as error:
        raise EngineError(f"{path}: {error} is missing. {_again()}") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise EngineError(f"{path}: {error}. {_again()}") from error
    if wrong:
        raise EngineError(f"{path}: a plan of {record.backend!r} from {record.graph!r}. {_again()}")
    return record


def check_plan(record: Plan, plan: Path, files: Mapping[str, str]) -> None:
    """EngineError unless the plan is the one that was recorded, built from `files` (name -> sha256)."""
    for name, built_from in record.files.items():
        found = files.get(name)
        if found != built_from:
            raise EngineError(
                f"{plan}: built from a {name} of sha256 {built_from[:12]}…, the one beside it has "
                f"{'none' if found is None else found[:12] + '…'}. {build_again(plan, record)}"
            )
    size = plan.stat().st_size
    if size != record.plan_bytes:
        raise EngineError(
            f"{plan}: {size} bytes, its record says {record.plan_bytes}. It is truncated or was replaced. "
            f"{build_again(plan, record)}"
        )
    sha256 = file_sha256(plan)
    if sha256 != record.plan_sha256:
        raise EngineError(
            f"{plan}: sha256 {sha256[:12]}…, its record says {record.plan_sha256[:12]}…. It is damaged or "
            f"was replaced. {build_again(plan, record)}"
        )


def build_again(plan: Path, record: Plan) -> str:
    """The sentence that says how."""
    targets = "".join(f" --sm {capability.replace('.', '')}" for capability in record.compute_capabilities)
    return _again(f"--onnx {plan.with_name(record.graph)} --backend {record.backend}{targets} --force")


def _again(options: str = "--onnx FILE --backend …") -> str:
    return f"Build it again: goodparts-export engine {options}"


def _tensors(raw: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    shapes = ("shape", "smallest", "usual", "largest")
    return {
        name: Tensor(dtype=one["dtype"], **{key: tuple(int(size) for size in one[key]) for key in shapes})
        for name, one in raw.items()
    }
