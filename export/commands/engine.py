"""`goodparts-export engine`: a TensorRT plan of an ONNX graph, for the GPU of a box."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from export.errors import ExportError, UsageError

if TYPE_CHECKING:
    from engines.manifest import Manifest
    from engines.plans import Backend, Plan
    from export.tensorrt_plan import Built

DESCRIPTION = """\
Build a TensorRT plan from an ONNX graph, in the precision that the graph has. The plan and its record
(STEM.BACKEND.plan, STEM.BACKEND.plan.json) are written beside the graph: there a box finds them, proves them
against the engine's golden outputs and uses them before anything slower. The manifest stays as it is.

A plan of TensorRT-RTX is built on any machine, without a GPU, and runs on the GPU architectures it names
with exactly the release that built it. A plan of TensorRT is built on a machine with the box's GPU, and runs
on that GPU model and release only. Whatever changes, the graph included: build the plan again.
"""
EXAMPLES = """\
examples:
  goodparts-export engine --onnx engines/resnet18/encoder.onnx
  goodparts-export engine --onnx engines/adm256/unet_plain.onnx --sm 89
  goodparts-export engine --onnx engines/adm256/unet_injected.onnx --sm 89 --shapes N=1,16,32

A UNet needs a plan of each of its two graphs.
"""
SHAPES = """\
sizes of a free axis: smallest, the one to tune for, largest; without AXIS the batch. Repeatable. Default: the
batch from 1 to what the box runs (UNet 16, encoder 8), pictures from half to twice their usual side"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "engine",
        help="build a TensorRT plan of an ONNX graph for the GPU of a box",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--onnx",
        type=Path,
        metavar="FILE",
        required=True,
        help="a graph in an engine's folder, or any ONNX file",
    )
    parser.add_argument(
        "--backend",
        choices=("tensorrt-rtx", "tensorrt"),
        default="tensorrt-rtx",
        help="default tensorrt-rtx, which needs no GPU to build",
    )
    parser.add_argument(
        "--sm",
        action="append",
        default=[],
        metavar="CC",
        help="compute capability of the box's GPU without the point, such as 86 or 89; repeatable. Default: "
        "all that TensorRT-RTX builds for by itself (80, 86, 89, 120 and later)",
    )
    parser.add_argument("--shapes", action="append", default=[], metavar="[AXIS=]MIN,OPT,MAX", help=SHAPES)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the plan (default: that of the graph)"
    )
    parser.add_argument("--force", action="store_true", help="replace a plan that is there already")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from engines.plans import plan_name

    graph: Path = options.onnx
    if not graph.is_file():
        raise UsageError(f"--onnx {graph}: there is no such file. Give a graph that ends in .onnx.")
    out: Path = options.out or graph.parent
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file. Give the name of a folder.")
    capabilities = [_capability(text) for text in dict.fromkeys(options.sm)]
    plan = out / plan_name(graph, options.backend, capabilities)
    if plan.exists() and not options.force:
        raise UsageError(f"{plan}: is there already. Give another --out, or --force to replace it.")
    _make(graph, plan, options.backend, capabilities, options.shapes)
    return 0


def _capability(text: str) -> str:
    """`89` or `sm89` or `8.9` -> "8.9"; `120` -> "12.0"."""
    digits = text.lower().removeprefix("sm").replace("_", "").replace(".", "")
    if not digits.isdecimal() or not 2 <= len(digits) <= 3:
        raise UsageError(f"--sm {text}: not a compute capability. Give it without the point, such as 89.")
    return f"{digits[:-1]}.{digits[-1]}"


def _make(graph: Path, plan: Path, backend: Backend, capabilities: list[str], shapes: list[str]) -> None:
    from export.plan_shapes import given_spans, graph_inputs, load_graph, spans_for
    from export.tensorrt_plan import build_plan

    files, manifest = _sources(graph)
    inputs = graph_inputs(load_graph(graph).graph)
    spans = spans_for(inputs, given_spans(shapes, inputs), manifest)
    built = build_plan(graph, backend, capabilities=capabilities, inputs=inputs, spans=spans)
    record = _write(built, plan, backend, graph=graph, files=files, capabilities=capabilities)
    _tell(record, plan, built.warnings, beside=plan.parent.resolve() == graph.parent.resolve())


def _sources(graph: Path) -> tuple[dict[str, str], Manifest | None]:
    """(the graph's files with hashes, the manifest beside it). ExportError if one is missing or differs."""
    from engines.manifest import FILE_NAME, file_sha256, load_manifest
    from export.plan_shapes import external_files

    manifest = load_manifest(graph.parent) if (graph.parent / FILE_NAME).exists() else None
    files = {}
    for name in (graph.name, *external_files(graph)):
        path = graph.with_name(name)
        if not path.is_file():
            raise ExportError(
                f"{path}: missing; {graph.name} has its weights there. Copy it beside the graph."
            )
        files[name] = file_sha256(path)
        listed = None if manifest is None else manifest.files.get(name)
        if manifest is not None and listed != files[name]:
            raise ExportError(
                f"{path}: sha256 {files[name][:12]}…, the manifest beside it says "
                f"{'nothing' if listed is None else listed[:12] + '…'}. Export the engine again."
            )
    return files, manifest


def _write(
    built: Built, plan: Path, backend: Backend, *, graph: Path, files: dict[str, str], capabilities: list[str]
) -> Plan:
    """The plan, then its record, each whole or not at all; a plan without its record is not used."""
    import tempfile

    from engines.plans import record_path, save_record
    from export.provenance import exporter_version
    from export.tensorrt_plan import record_of

    record = record_of(
        built,
        backend,
        graph=graph,
        files=files,
        sha256=hashlib.sha256(built.data).hexdigest(),
        compute_capabilities=tuple(capabilities),
        exporter_version=exporter_version(),
    )
    plan.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=plan.parent, prefix=".plan-unfinished-") as temporary:
        fresh = Path(temporary)
        (fresh / "plan").write_bytes(built.data)
        save_record(record, fresh / "record")
        record_path(plan).unlink(missing_ok=True)  # never a record beside another plan
        (fresh / "plan").replace(plan)
        (fresh / "record").replace(record_path(plan))
    return record


def _tell(record: Plan, plan: Path, warnings: tuple[str, ...], *, beside: bool) -> None:
    from export.steps import say

    for words in warnings:
        say(f"TensorRT: {words.strip()}")
    print(f"{plan}: {record.plan_bytes / 2**20:.1f} MiB in {record.seconds:.1f} s")
    targets = ", ".join(record.compute_capabilities) or "as the package chooses"
    print(f"{record.backend} {record.backend_version}, compute capability {targets}, {record.layers} layers")
    for name, one in record.inputs.items():
        print(f"  in   {name}: {one.dtype} {_written(one.smallest)} to {_written(one.largest)}")
    for name, one in record.outputs.items():
        print(f"  out  {name}: {one.dtype} {_written(one.shape)}")
    if record.read_back == "header":
        print("read back as far as a machine without a GPU can; the box proves it by the golden outputs")
    if not beside:
        print(f"to be used it must lie beside {record.graph}, with its record")


def _written(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join("?" if size < 0 else str(size) for size in shape) + "]"
