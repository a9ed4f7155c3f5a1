"""`goodparts-export verify`: figures, verdicts, what is recorded, and bad input."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

import onnx  # noqa: E402
from onnx import numpy_helper  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from engines.errors import EngineError  # noqa: E402
from engines.manifest import Manifest, file_sha256, load_manifest, save_manifest  # noqa: E402
from engines.onnxrt.runner import OnnxRunner  # noqa: E402
from engines.packs import EMBEDDED  # noqa: E402
from engines.verified import check_verified  # noqa: E402
from export import cli, rungs, seen, verify  # noqa: E402
from export.encoder_engine import save_encoder_engine  # noqa: E402
from export.graphs import run_onnx  # noqa: E402
from export.observation import Observation  # noqa: E402
from export.originals import Original  # noqa: E402
from export.parity import compare, worst  # noqa: E402
from export.precision import fp16_graph  # noqa: E402
from export.provenance import Provenance  # noqa: E402
from export.rungs import Rung  # noqa: E402

OUTPUTS = ("embedding", "map_s8")
CPU = ("--rungs", "pytorch,onnxruntime")


class Tiny(nn.Module):
    """One convolution."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 6, 8, stride=8)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        map_s8 = torch.relu(self.conv(image * 4 - 2))
        return map_s8.mean(dim=(2, 3)), map_s8


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder in fp32 with a recipe of random weights. Tests take a copy."""
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    provenance = Provenance(pack="full", licence="none", source="random", source_sha256="a" * 64)
    recipe = {"family": "torchvision", "weights": "random", "seed": 0}
    save_encoder_engine(
        Tiny(), folder, name="tiny", outputs=OUTPUTS, provenance=provenance, image_size=64, recipe=recipe
    )
    return folder


@pytest.fixture
def engine(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "tiny"))


@pytest.fixture
def original(monkeypatch: pytest.MonkeyPatch) -> dict[str, nn.Module]:
    """What a recipe builds; tests may put another network in its place."""
    built: dict[str, nn.Module] = {"encoder": Tiny().eval()}

    def rebuild(_recipe: Mapping[str, Any], _checkpoint: Path | None) -> dict[str, Original]:
        return {"encoder": Original(module=built["encoder"], outputs=OUTPUTS)}

    monkeypatch.setattr(verify, "rebuild", rebuild)
    return built


def half(folder: Path, out: Path, *, damage: float = 0.0) -> Path:
    """The engine in fp16; with `damage` some of its weights are wrong."""
    shutil.copytree(folder, out)
    manifest = load_manifest(out)
    path = out / manifest.graphs["encoder"]
    model = onnx.load(str(path))
    if damage:
        weights = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
        values = numpy_helper.to_array(weights).copy()
        values += (damage * np.random.default_rng(0).standard_normal(values.shape)).astype(values.dtype)
        weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    path.write_bytes(fp16_graph(model).SerializeToString())
    files = {**manifest.files, path.name: file_sha256(path)}
    golden = dataclasses.replace(manifest.golden, atol=200 * manifest.golden.atol, rtol=0.2)
    save_manifest(dataclasses.replace(manifest, precision="fp16", files=files, golden=golden), out)
    return out


def edited(folder: Path, **changes: Any) -> Manifest:
    manifest = dataclasses.replace(load_manifest(folder), **changes)
    save_manifest(manifest, folder)
    return manifest


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    code = cli.main(["verify", "--format", "json", *map(str, arguments)])
    raw = json.loads(capsys.readouterr().out)
    assert raw["format_version"] == 1
    return code, raw["engines"]


def test_figures_of_two_outputs() -> None:
    """Errors are absolute, relative to the reference's largest value, and shares of the tolerance."""
    reference = np.array([[1.0, -4.0], [0.0, 2.0]], np.float32)
    found = np.array([[1.0, -4.0], [0.5, 2.0]], np.float32)
    figures = compare(reference, found, atol=0.25, rtol=0.1)
    assert figures.max_abs == 0.5 and figures.max_rel == 0.125 and figures.allowed == 2.0
    assert figures.cosine == pytest.approx(2 / np.sqrt(4.25))
    exact = compare(reference, reference, atol=0.25, rtol=0.1)
    assert (exact.max_abs, exact.cosine, exact.allowed) == (0.0, pytest.approx(1.0), 0.0)
    assert worst([exact, figures]) == figures


def test_what_is_not_finite_agrees_with_nothing() -> None:
    """NaN and infinity are infinitely far."""
    reference = np.ones((1, 3), np.float32)
    for bad in (np.nan, np.inf):
        found = reference.copy()
        found[0, 1] = bad
        assert compare(reference, found, atol=1.0, rtol=1.0).allowed == np.inf


def test_an_engine_is_compared_with_its_original(
    engine: Path, original: dict[str, nn.Module], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every output of ONNX Runtime is close to PyTorch's, the ranking is the same: accepted, exit code 0."""
    code, (report,) = run_json(capsys, engine)
    assert code == 0 and report["verdict"] == "accepted" and report["reasons"] == []
    against = {(row["rung"], row["output"], row["against"]) for row in report["outputs"]}
    for name in ("encoder/embedding", "encoder/map_s8"):
        assert ("onnxruntime", name, "pytorch") in against and ("pytorch", name, "golden") in against
    assert all(row["figures"]["max_abs"] < 1e-4 for row in report["outputs"])
    assert [one["rung"] for one in report["rankings"]] == ["pytorch", "onnxruntime"]
    assert report["rankings"][1]["parity"] == {"largest_change": 0.0, "swapped": []}
    said = {rung["name"]: rung["said"] for rung in report["rungs"]}
    assert said["cuda"].startswith("not run: ") and said["tensorrt"].startswith("not run: ")
    assert not report["recorded"] and load_manifest(engine).verified == {}  # fp32 needs none


@pytest.mark.parametrize("has_gpu", [True, False])
def test_plans_are_run_where_there_is_a_gpu(
    engine: Path,
    original: dict[str, nn.Module],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    has_gpu: bool,
) -> None:
    """Each kind of plan is a rung of its own; without a GPU it is listed as not run."""
    (engine / "encoder.tensorrt-rtx.sm89.plan").write_bytes(b"plan")

    def runner(path: Path, files: Mapping[str, str]) -> OnnxRunner:
        assert path.suffix == ".plan" and "encoder.onnx" in files
        return OnnxRunner(engine / "encoder.onnx", device="cpu")

    monkeypatch.setattr(rungs, "TensorRTRunner", runner)
    monkeypatch.setattr(rungs, "_gpu_problem", lambda: "" if has_gpu else "no driver")
    code, (report,) = run_json(capsys, engine)
    said = {rung["name"]: rung["said"] for rung in report["rungs"]}
    assert code == 0 and said["tensorrt-rtx.sm89"].startswith("not run") is not has_gpu
    assert ("tensorrt-rtx.sm89" in {one["rung"] for one in report["rankings"]}) is has_gpu


def test_the_table_says_it_too(
    engine: Path, original: dict[str, nn.Module], capsys: pytest.CaptureFixture[str]
) -> None:
    """The table names rungs, figures, candidates and the verdict, and explains them."""
    assert cli.main(["verify", str(engine)]) == 0
    said = capsys.readouterr().out
    for words in (
        "not run: ",
        "MAX REL",
        "map_s8 patches",
        "the same ranking",
        "verdict      accepted",
        "0.002",
    ):
        assert words in said


def test_another_network_is_not_the_original(
    engine: Path, original: dict[str, nn.Module], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the recipe builds something else, the golden outputs stand in, and the report says so."""
    original["encoder"] = Tiny(seed=1).eval()
    _, (report,) = run_json(capsys, engine, *CPU)
    assert report["verdict"] == "accepted"
    assert "does not give its golden outputs" in report["reference"]
    assert {row["against"] for row in report["outputs"]} == {"golden"}


def test_a_wrong_engine_is_refused(
    engine: Path, original: dict[str, nn.Module], capsys: pytest.CaptureFixture[str]
) -> None:
    """An fp32 graph that computes something else is refused with exit code 1 and says by how much."""
    manifest = load_manifest(engine)
    path = engine / manifest.graphs["encoder"]
    model = onnx.load(str(path))
    weights = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.1), weights.name))
    path.write_bytes(model.SerializeToString())
    edited(engine, files={**manifest.files, path.name: file_sha256(path)})
    code, (report,) = run_json(capsys, engine, *CPU)
    assert code == 1 and report["verdict"] == "refused"
    assert "onnxruntime computes encoder/" in report["reasons"][0]


def test_a_good_half_engine_is_accepted_and_may_serve(
    engine: Path, original: dict[str, nn.Module], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In fp16 the verdict is written into the manifest; a box asks for it, for exactly these files."""
    folder = half(engine, tmp_path / "half")
    with pytest.raises(EngineError, match="never verified"):
        check_verified(load_manifest(folder), folder)
    code, (report,) = run_json(capsys, folder, *CPU)
    assert code == 0 and report["verdict"] == "accepted" and report["recorded"]
    manifest = load_manifest(folder)
    check_verified(manifest, folder)
    changed = dataclasses.replace(manifest, files={**manifest.files, "encoder.onnx": "0" * 64})
    with pytest.raises(EngineError, match="since its files were written"):
        check_verified(changed, folder)
    assert list(folder.glob(".*")) == []


def test_a_bad_half_engine_is_refused_and_may_not_serve(
    engine: Path, original: dict[str, nn.Module], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors within the tolerance of fp16 that change the ranking refuse the engine, and the box says why."""
    folder = half(engine, tmp_path / "half", damage=0.02)
    edited(folder, golden=dataclasses.replace(load_manifest(folder).golden, atol=10.0))
    code, (report,) = run_json(capsys, folder, *CPU)
    assert code == 1 and report["verdict"] == "refused"
    assert any("ranks the candidates differently" in reason for reason in report["reasons"])
    with pytest.raises(EngineError, match=r"was refused by goodparts-export verify: .*ranks"):
        check_verified(load_manifest(folder), folder)


def test_without_the_original_half_needs_a_sibling(
    engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without PyTorch's part fp16 alone is not proven; an fp32 engine of the same weights stands in."""
    folder = half(engine, tmp_path / "half")
    code, (report,) = run_json(capsys, folder, "--rungs", "onnxruntime")
    assert code == 1 and report["verdict"] == "not proven" and not report["recorded"]
    assert "rank parity" in report["reasons"][0] and load_manifest(folder).verified == {}
    code, reports = run_json(capsys, tmp_path, "--rungs", "onnxruntime")
    assert code == 0
    by_name = {Path(report["folder"]).name: report for report in reports}
    assert by_name["half"]["rankings"][0]["rung"] == "fp32 engine"
    assert "stands in" in by_name["half"]["reference"] and by_name["half"]["verdict"] == "accepted"


def test_damaged_files_are_refused_and_others_go_on(
    engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is not as its hash says refuses its engine by name; the next engine is still verified."""
    broken = Path(shutil.copytree(engine, tmp_path / "broken"))
    with (broken / "encoder.onnx").open("ab") as file:
        file.write(b"x")
    code, reports = run_json(capsys, tmp_path, "--rungs", "onnxruntime")
    by_name = {Path(report["folder"]).name: report for report in reports}
    assert code == 1
    assert by_name["broken"]["verdict"] == "refused" and "sha256" in by_name["broken"]["reasons"][0]
    assert by_name["tiny"]["verdict"] == "accepted"


def test_golden_outputs_stand_in_for_the_embedded_pack(capsys: pytest.CaptureFixture[str]) -> None:
    """Its manifests have no recipe: accepted by the golden outputs, and the report says that it was those."""
    code, (report,) = run_json(capsys, EMBEDDED / "tessera", *CPU)
    assert code == 0 and report["rankings"] == []
    assert "golden outputs" in report["reference"] and "golden outputs alone" in report["reasons"][0]


def test_a_quick_unet_is_not_proven(capsys: pytest.CaptureFixture[str]) -> None:
    """Without its ranking a UNet is not accepted, and the exit code says so."""
    code, (report,) = run_json(capsys, EMBEDDED / "unet64", "--rungs", "onnxruntime", "--quick")
    assert code == 1 and report["verdict"] == "not proven" and "--quick" in report["reasons"][0]
    assert {row["output"] for row in report["outputs"]} >= {"plain/eps", "injected/eps_injected"}


def test_a_checkpoint_is_found_by_its_hash(
    engine: Path, original: dict[str, nn.Module], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of weights serves; without the file the report asks for it by its hash."""
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "other.pt").write_bytes(b"other")
    (weights / "right.pth").write_bytes(b"right")
    sha256 = file_sha256(weights / "right.pth")
    edited(engine, source_sha256=sha256, recipe={"family": "torchvision", "weights": "checkpoint"})
    _, (report,) = run_json(capsys, engine, *CPU, "--checkpoint", weights)
    assert "right.pth" in report["reference"] and len(report["rankings"]) == 2
    _, (report,) = run_json(capsys, engine, *CPU)
    assert sha256[:12] in report["reference"] and "--checkpoint" in report["reference"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "not a folder"),
        (["empty"], "no engine in it"),
        (["tiny", "--rungs", "onnxruntime,gpu"], "gpu"),
        (["tiny", "--rungs", ","], "empty"),
        (["tiny", "--checkpoint", "nowhere.pt"], "no such file"),
        (["tiny", "--checkpoint", "empty"], "no weights in this folder"),
        (["tiny", "--checkpoint", "wrong.pt"], "was made from weights of sha256 aaaaaaaaaaaa"),
    ],
)
def test_bad_usage(
    engine: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    """What cannot be meant ends with 2 and one line that says what to do."""
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("wrong.pt").write_bytes(b"wrong")
    assert cli.main(["verify", *arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def seen_of(rankings: Mapping[str, Mapping[str, float]]) -> seen.Seen:
    opened = {name: Rung(family=name, name=name, said="") for name in rankings}
    found = {name: Observation(outputs={}, golden={}, ranking=one) for name, one in rankings.items()}
    return seen.Seen(base="pytorch", reference="", found=found, rungs=opened, missed={}, said=())


@pytest.mark.parametrize("magnifies", [True, False])
def test_walks_that_magnify_rounding_are_judged_by_steps(
    monkeypatch: pytest.MonkeyPatch, magnifies: bool
) -> None:
    """Only where PyTorch does not rank as itself with a millionth of noise are single steps ranked."""
    walks = {"pytorch": {"a": 0.9, "b": 0.8}, "onnxruntime": {"a": 0.8, "b": 0.9}}

    def ranking(_manifest: Manifest, _rung: Rung, *, way: str, jitter: float = 0.0) -> dict[str, float]:
        if way == "steps":
            return {"a": 0.7, "b": 0.6}
        assert jitter > 0
        return {"a": 0.85, "b": 0.8} if magnifies else {"a": 0.9, "b": 0.8}

    monkeypatch.setattr(seen, "_ranking", ranking)
    manifest = load_manifest(EMBEDDED / "unet64")
    after, remark = seen.settled(manifest, seen_of(walks))
    assert bool(remark) is magnifies
    assert all(parity.holds for parity in after.parities().values()) is magnifies


def test_half_arithmetic_is_not_fp32(engine: Path, tmp_path: Path) -> None:
    """The fp16 engine of these tests differs from the fp32 one: what they accept is not the same file."""
    folder = half(engine, tmp_path / "half")
    image: npt.NDArray[np.float32] = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    a, b = (run_onnx(one / "encoder.onnx", {"image": image})["map_s8"] for one in (engine, folder))
    assert 0 < np.abs(a - b).max() < 0.05
