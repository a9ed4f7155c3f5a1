"""goodparts-export engine: real plans of TensorRT-RTX, built and read back on a machine without a GPU."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
trt = pytest.importorskip("tensorrt_rtx")
onnx = pytest.importorskip("onnx")

from engines.errors import EngineError  # noqa: E402
from engines.manifest import engine_hash, load_manifest  # noqa: E402
from engines.packs import EMBEDDED  # noqa: E402
from engines.plans import Plan, check_plan, load_record, plans_beside  # noqa: E402
from engines.tensorrt.loader import (  # noqa: E402
    Log,
    deserialize,
    header_problem,
    is_for_want_of_gpu,
    load_backend,
    make_logger,
)
from export import tensorrt_plan  # noqa: E402
from export.cli import main  # noqa: E402
from export.errors import UsageError  # noqa: E402
from export.graphs import onnx_from_torch  # noqa: E402
from export.plan_progress import Progress, make_monitor  # noqa: E402
from export.plan_shapes import GraphInput, Span, given_spans, parse_span, spans_for  # noqa: E402

UNET = EMBEDDED / "unet64"
ENCODER = min((path.parent for path in EMBEDDED.glob("*/encoder.onnx")), key=lambda f: load_manifest(f).gflop)


def _run(graph: Path, *options: str) -> int:
    return main(["engine", "--onnx", str(graph), *options])


def _record(graph: Path) -> tuple[Path, Plan]:
    ((_, plan),) = plans_beside(graph).items()
    return plan, load_record(plan)


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded UNet with a plan of each graph for compute capability 8.9."""
    folder = shutil.copytree(UNET, tmp_path_factory.mktemp("plans") / "unet64")
    for name in ("unet_plain.onnx", "unet_injected.onnx"):
        assert _run(folder / name, "--sm", "89") == 0
    return folder


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return shutil.copytree(ENCODER, tmp_path / "encoder") / "encoder.onnx"


def _opened(data: bytes) -> tuple[Any, str, str]:
    """(engine, the logger's reason, what the header says) of TensorRT-RTX itself."""
    log = Log()
    runtime = trt.Runtime(make_logger(trt, log))
    problem = header_problem(trt, runtime, data, log)
    return (*deserialize(runtime, data, log), problem)


@pytest.mark.parametrize("graph", ["unet_plain.onnx", "unet_injected.onnx"])
def test_the_unets_plans_are_recorded(unet: Path, graph: str) -> None:
    """Names, types and sizes; hashes of graph, weights and plan; the batch that a box runs fits."""
    plan, record = _record(unet / graph)
    assert plan.name == f"{unet.joinpath(graph).stem}.tensorrt-rtx.sm89.plan"
    assert (record.backend, record.backend_version) == ("tensorrt-rtx", trt.__version__)
    assert record.compute_capabilities == ("8.9",)
    assert set(record.files) == {graph, "unet.weights"}
    check_plan(record, plan, load_manifest(unet).files)
    sample, timestep = record.inputs["sample"], record.inputs["timestep"]
    assert (sample.dtype, sample.shape) == ("float32", (-1, 3, 64, 64))
    assert (sample.smallest[0], sample.largest[0]) == (1, 16) and timestep.dtype == "int64"
    sides = {"h_content", "gamma", "delta_h"} if "injected" in graph else set()
    assert set(record.inputs) == {"sample", "timestep", *sides}
    assert {"eps", "h"} <= set(record.outputs) and record.outputs["eps"].dtype == "float32"
    assert record.layers > 100 and record.seconds > 0


def test_plans_leave_the_engine_as_it_was(unet: Path) -> None:
    """Its hash is what run folders name it by; nothing unfinished is left."""
    assert engine_hash(load_manifest(unet)) == engine_hash(load_manifest(UNET))
    assert not [path.name for path in unet.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the whole plan is read back")
def test_a_whole_plan_wants_only_a_gpu(unet: Path) -> None:
    """Without a driver TensorRT-RTX gets as far as making a CUDA stream, and the record says so."""
    plan, record = _record(unet / "unet_plain.onnx")
    engine, reason, problem = _opened(plan.read_bytes())
    assert engine is None and is_for_want_of_gpu(reason) and problem == ""
    assert record.read_back == "header"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[: len(data) // 2], "plan.header.size == blobSize"),
        (lambda data: data[:-1], "plan.header.size == blobSize"),
        (lambda data: data + b"\0", "plan.header.size == blobSize"),
        (lambda data: data[:64], "cursor < blobSize"),
        (lambda data: b"nonsense" * 1000, "magicTag"),
        (lambda data: b"", "empty memory buffer"),
    ],
    ids=["half", "one byte less", "one byte more", "header only", "garbage", "empty"],
)
def test_a_damaged_plan_is_refused_with_the_loggers_reason(unet: Path, damage: Any, said: str) -> None:
    """Even without a GPU: the header and the table of parts are looked at first."""
    plan, _ = _record(unet / "unet_plain.onnx")
    engine, reason, _ = _opened(damage(plan.read_bytes()))
    assert engine is None and said in reason and not is_for_want_of_gpu(reason)


def test_a_plan_of_another_release_is_known_by_its_header(unet: Path) -> None:
    """The release stands in bytes 24 to 27: with another there TensorRT-RTX says who built it."""
    plan, _ = _record(unet / "unet_plain.onnx")
    data = bytearray(plan.read_bytes())
    data[24] ^= 2
    assert "created with TensorRT-RTX version" in _opened(bytes(data))[2]


@pytest.mark.parametrize(
    "change",
    [lambda data: data[: len(data) // 2], lambda data: data.replace(b"embedding", b"embeddin_")],
    ids=["half a plan", "another output"],
)
def test_a_plan_that_does_not_read_back_is_not_written(
    encoder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: Any
) -> None:
    """The builder may say yes and give half a plan, or one of something else."""
    real = tensorrt_plan._build
    monkeypatch.setattr(tensorrt_plan, "_build", lambda *arguments: change(real(*arguments)))
    assert _run(encoder) == 1
    err = capsys.readouterr().err
    assert "does not read back" in err and "Nothing is written" in err
    assert plans_beside(encoder) == {}


def test_an_encoders_plan_takes_all_sizes_that_a_box_shows_it(encoder: Path) -> None:
    """Photos up to four times as long as wide, of about image_size squared pixels."""
    assert _run(encoder) == 0
    plan, record = _record(encoder)
    assert plan.name == "encoder.tensorrt-rtx.plan" and record.compute_capabilities == ()
    side = load_manifest(encoder.parent).image_size
    image = record.inputs["image"]
    assert image.smallest == (1, 3, side // 2, side // 2)
    assert image.usual == (8, 3, side, side) and image.largest == (8, 3, 2 * side, 2 * side)


def test_several_gpus_and_other_sizes_can_be_asked_for(encoder: Path, tmp_path: Path) -> None:
    """Each option repeats; elsewhere than beside the graph the folder is made."""
    out = tmp_path / "new" / "folder"
    options = ["--sm", "86", "--sm", "sm120", "--shapes", "1,2,3", "--shapes", "H=64,64,64"]
    assert _run(encoder, *options, "--out", str(out)) == 0
    record = load_record(out / "encoder.tensorrt-rtx.sm86-sm120.plan")
    assert record.compute_capabilities == ("8.6", "12.0")
    assert record.inputs["image"].largest[0] == 3 and record.inputs["image"].largest[2] == 64
    assert record.inputs["image"].usual[0] == 2


def test_a_plan_that_is_there_is_replaced_only_by_force(encoder: Path) -> None:
    """Nothing is built before that is known."""
    assert _run(encoder) == 0
    plan, first = _record(encoder)
    assert _run(encoder, "--shapes", "1,1,2") == 2
    assert load_record(plan) == first
    assert _run(encoder, "--shapes", "1,1,2", "--force") == 0
    assert _record(encoder)[1].inputs["image"].largest[0] == 2


class TinyNet(torch.nn.Module):
    """A convolution in fp16 between fp32 input and output, as the exporter's fp16 graphs have it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 3, padding=1).half()

    def forward(self, image: Any) -> tuple[Any]:
        return (self.convolution(image.half()).float().mean(dim=(2, 3)),)


def _export(module: Any, path: Path, outputs: Sequence[str], *, side: int = 32) -> Path:
    dynamic = {"image": {0: "N", 2: "H", 3: "W"}}
    model = onnx_from_torch(module, {"image": torch.rand(2, 3, side, side)}, outputs, dynamic=dynamic)
    path.write_bytes(model.SerializeToString())
    return path


def test_precision_is_that_of_the_graph(tmp_path: Path) -> None:
    """A graph in fp16 with fp32 around it keeps fp32 inputs and outputs; a bare ONNX file is enough."""
    graph = _export(TinyNet(), tmp_path / "tiny.onnx", ["embedding"])
    assert _run(graph) == 0
    _, record = _record(graph)
    assert record.inputs["image"].dtype == record.outputs["embedding"].dtype == "float32"
    assert record.inputs["image"].usual == (8, 3, 224, 224)


def test_resnet18_becomes_a_plan(tmp_path: Path) -> None:
    """The first of the paper's backbones, with random weights."""
    torchvision = pytest.importorskip("torchvision")
    network = torchvision.models.resnet18(weights=None)
    network.fc = torch.nn.Identity()

    class Embedding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: Any) -> tuple[Any]:
            return (self.network(image),)

    graph = _export(Embedding(), tmp_path / "resnet18.onnx", ["embedding"], side=64)
    assert _run(graph, "--sm", "86") == 0
    plan, record = _record(graph)
    assert record.outputs["embedding"].shape == (-1, 512)
    assert plan.stat().st_size == record.plan_bytes > 40e6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sm", "87"], "--sm 87: tensorrt-rtx .* builds for 75, 80, 86, 89, 120"),
        (["--sm", "ada"], "not a compute capability"),
        (["--shapes", "1,2"], "give MIN,OPT,MAX"),
        (["--shapes", "4,2,1"], "must rise"),
        (["--shapes", "batch=1,2,4"], "no such free axis; it has H, N, W"),
    ],
)
def test_wrong_options_are_one_message(
    encoder: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    """Bad usage, nothing written."""
    assert _run(encoder, *options) == 2
    assert re.search(said, capsys.readouterr().err)
    assert plans_beside(encoder) == {}


def test_tensorrt_that_is_not_installed_is_told_with_the_command(
    encoder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It comes from NVIDIA's own index."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert _run(encoder, "--backend", "tensorrt") == 1
    assert "pip install tensorrt, from NVIDIA" in capsys.readouterr().err
    with pytest.raises(EngineError):
        load_backend("tensorrt")


def test_tensorrt_builds_for_its_own_gpu_only() -> None:
    """--sm is TensorRT-RTX's."""
    with pytest.raises(UsageError, match="builds for the GPU of this machine only"):
        tensorrt_plan.target(trt, SimpleNamespace(), "tensorrt", ["8.9"])


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("gone", 2, "there is no such file"),
        ("not onnx", 2, "not an ONNX file"),
        ("weights gone", 1, "unet.weights: missing"),
        ("weights changed", 1, "the manifest beside it says"),
        ("graph changed", 1, "the manifest beside it says"),
    ],
)
def test_a_graph_that_cannot_serve_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, code: int, said: str
) -> None:
    """Before anything is built."""
    folder = shutil.copytree(UNET, tmp_path / "unet")
    graph, weights = folder / "unet_plain.onnx", folder / "unet.weights"
    if what == "gone":
        graph.unlink()
    elif what == "not onnx":
        (folder / "manifest.json").unlink()
        graph.write_bytes(b"\x89PNG")
    elif what == "weights gone":
        weights.unlink()
    elif what == "weights changed":
        weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    else:
        model = onnx.load(str(graph), load_external_data=False)
        model.producer_name = "another"
        graph.write_bytes(model.SerializeToString())
    assert _run(graph) == code
    assert said in capsys.readouterr().err
    assert plans_beside(graph) == {}


def test_what_the_parser_says_is_shown_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the node and its operator."""
    node = onnx.helper.make_node("NoSuchOperator", ["image"], ["out"], name="the_culprit", domain="own")
    value = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 3])
        for name in ("image", "out")
    ]
    graph = onnx.helper.make_graph([node], "g", value[:1], value[1:])
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("own", 1)]
    path = tmp_path / "odd.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), str(path))
    assert _run(path) == 1
    err = capsys.readouterr().err
    assert "cannot parse it" in err and "the_culprit (NoSuchOperator)" in err


def test_spans_are_by_axis() -> None:
    """A span without an axis is the batch's; a free axis that is neither batch nor side must be given."""
    image = GraphInput(name="image", shape=("N", 3, "H", "W"))
    tokens = GraphInput(name="tokens", shape=("N", "length"))
    assert parse_span("N=1,16,64") == ("N", Span(1, 16, 64))
    assert given_spans(["1,2,4"], [image, tokens]) == {"N": Span(1, 2, 4)}
    spans = spans_for([image], {}, None)
    assert spans["N"] == Span(1, 8, 8) and spans["H"] == spans["W"] == Span(96, 224, 448)
    with pytest.raises(UsageError, match="--shapes length=MIN,OPT,MAX"):
        spans_for([tokens], {}, None)
    sample = GraphInput(name="sample", shape=("N", 3, 64, 64))
    assert spans_for([sample], {}, load_manifest(UNET)) == {"N": Span(1, 16, 16)}


def test_an_interrupt_stops_the_build_between_two_steps() -> None:
    """No exception may cross TensorRT's C++: it is kept, and the next answer is no."""

    def interrupted(words: str) -> None:
        if "3 of 9" in words:
            raise KeyboardInterrupt

    progress = Progress(interrupted)
    monitor = make_monitor(trt, progress)
    monitor.phase_start("building", None, 9)
    assert [monitor.step_complete("building", step) for step in range(4)] == [True, True, False, False]
    assert progress.interrupted


def test_an_interrupted_build_writes_nothing(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130."""

    def interrupt(self: Progress, phase: str, step: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "step", interrupt)
    assert _run(encoder) == 130
    assert plans_beside(encoder) == {} and not list(encoder.parent.glob(".*"))


def test_the_record_is_json_for_others_too(unet: Path) -> None:
    """Plain names, no paths of this machine."""
    text = next(unet.glob("*.plan.json")).read_text("utf-8")
    assert json.loads(text)["format_version"] == 1 and str(unet) not in text
