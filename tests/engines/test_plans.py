"""engines/plans.py: what a plan was built from is known, and anything else is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from embedded_pack import SMALLEST, UNET, copy_of
from fake_gpu import write_plan

from engines.errors import EngineError
from engines.manifest import engine_hash, load_manifest
from engines.plans import (
    build_again,
    check_plan,
    load_record,
    plan_name,
    plans_beside,
    record_path,
)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return copy_of(SMALLEST, tmp_path) / "encoder.onnx"


@pytest.mark.parametrize(
    ("capabilities", "name"),
    [
        ([], "encoder.tensorrt-rtx.plan"),
        (["8.9"], "encoder.tensorrt-rtx.sm89.plan"),
        (["8.6", "12.0"], "encoder.tensorrt-rtx.sm86-sm120.plan"),
    ],
)
def test_a_plan_is_named_for_its_graph_and_gpu(capabilities: list[str], name: str) -> None:
    """STEM.BACKEND[.smXX].plan"""
    assert plan_name(Path("a/encoder.onnx"), "tensorrt-rtx", capabilities) == name


def test_plans_are_found_beside_their_graph(tmp_path: Path) -> None:
    """Those of another graph, of an unknown backend and a plan's record are none."""
    names = ["encoder.tensorrt-rtx.plan", "encoder.tensorrt.plan", "encoder.tensorrt-rtx.sm89.plan"]
    others = ["encoder2.tensorrt.plan", "encoder.other.plan", "encoder.plan", "encoder.tensorrt.plan.json"]
    for name in (*names, *others):
        (tmp_path / name).touch()
    found = plans_beside(tmp_path / "encoder.onnx")
    assert set(found) == {"tensorrt", "tensorrt-rtx", "tensorrt-rtx.sm89"}
    assert {path.name for path in found.values()} == set(names)
    assert plans_beside(tmp_path / "none.onnx") == {}


def test_a_plan_changes_no_engine(graph: Path) -> None:
    """Run folders name engines by their hash, which is of the manifest's files alone."""
    before = engine_hash(load_manifest(graph.parent))
    write_plan(graph)
    assert engine_hash(load_manifest(graph.parent)) == before


def test_a_record_is_read_as_it_was_written(graph: Path) -> None:
    """Tuples stay tuples, tensors tensors."""
    plan = write_plan(graph, variant="8.9")
    record = load_record(plan)
    assert record.compute_capabilities == ("8.9",)
    assert record.inputs["image"].dtype == "float32" and record.inputs["image"].shape == ()
    check_plan(record, plan, load_manifest(graph.parent).files)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "not found"),
        ("{", "not valid JSON"),
        ("[]", "format version None"),
        ('{"format_version": 2}', "format version 2, this release reads 1"),
        ('{"format_version": 1}', "'inputs' is missing"),
        ('{"format_version": 1, "inputs": {}, "outputs": {}}', "'compute_capabilities' is missing"),
        ('{"format_version": 1, "inputs": 3, "outputs": {}}', "no attribute"),
    ],
)
def test_a_damaged_record_is_refused(graph: Path, text: str | None, said: str) -> None:
    """With the file, what is wrong, and the command that builds the plan again."""
    plan = write_plan(graph)
    record_path(plan).unlink()
    if text is not None:
        record_path(plan).write_text(text, "utf-8")
    with pytest.raises(EngineError, match=rf"plan\.json: .*{said}.*goodparts-export engine") as error:
        load_record(plan)
    assert str(plan) in str(error.value)


def test_a_record_of_an_unknown_backend_is_refused(graph: Path) -> None:
    """A later release may know more."""
    plan = write_plan(graph)
    raw = json.loads(record_path(plan).read_text("utf-8"))
    record_path(plan).write_text(json.dumps({**raw, "backend": "openvino"}), "utf-8")
    with pytest.raises(EngineError, match="a plan of 'openvino'"):
        load_record(plan)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["encoder.onnx"], "no attribute"),
        ({"encoder.onnx": "0", "../encoder.onnx": "0"}, "from 'encoder.onnx'"),
        ({"encoder.onnx": "0", "/etc/passwd": "0"}, "from 'encoder.onnx'"),
        ({"other.onnx": "0"}, "from 'encoder.onnx'"),
    ],
    ids=["list", "above", "elsewhere", "not its graph"],
)
def test_a_record_names_files_of_its_own_folder(graph: Path, files: Any, said: str) -> None:
    """What is looked at, and shown, lies beside the plan."""
    plan = write_plan(graph)
    raw = json.loads(record_path(plan).read_text("utf-8"))
    record_path(plan).write_text(json.dumps({**raw, "files": files}), "utf-8")
    with pytest.raises(EngineError, match=rf"plan\.json: .*{said}.*goodparts-export engine"):
        load_record(plan)


def test_only_files_are_plans(graph: Path) -> None:
    """A folder or a link that leads nowhere is none, whatever its name."""
    graph.with_name("encoder.tensorrt.plan").mkdir()
    graph.with_name("encoder.tensorrt-rtx.plan").symlink_to("gone")
    assert plans_beside(graph) == {}


@pytest.mark.parametrize("damage", ["shorter", "longer", "changed"])
def test_a_plan_that_is_not_the_recorded_one_is_refused(graph: Path, damage: str) -> None:
    """Half copied, or with other bytes: the message says how to build it again."""
    plan = write_plan(graph)
    data = plan.read_bytes()
    damaged = {"shorter": data[:-3], "longer": data + b" ", "changed": data[:-1] + b"!"}[damage]
    plan.write_bytes(damaged)
    said = "sha256" if damage == "changed" else f"{len(damaged)} bytes, its record says {len(data)}"
    with pytest.raises(EngineError, match=rf"{said}.*goodparts-export engine --onnx .* --force"):
        check_plan(load_record(plan), plan, load_manifest(graph.parent).files)


@pytest.mark.parametrize("name", ["unet_plain.onnx", "unet.weights"])
def test_a_plan_of_another_graph_is_refused(tmp_path: Path, name: str) -> None:
    """The graph and its external data count; a file that is not there counts too."""
    folder = copy_of(UNET, tmp_path)
    plan = write_plan(folder / "unet_plain.onnx")
    record, files = load_record(plan), dict(load_manifest(folder).files)
    check_plan(record, plan, files)
    for other in ({**files, name: "0" * 64}, {key: value for key, value in files.items() if key != name}):
        with pytest.raises(EngineError, match=rf"built from a {name} of sha256 .* Build it again"):
            check_plan(record, plan, other)


def test_the_remedy_is_a_command(graph: Path) -> None:
    """With the same backend and the same GPUs."""
    plan = write_plan(graph, variant="8.9")
    record = dataclasses.replace(load_record(plan), compute_capabilities=("8.6", "12.0"))
    said = build_again(plan, record)
    assert said.endswith(f"--onnx {graph} --backend tensorrt-rtx --sm 86 --sm 120 --force")
