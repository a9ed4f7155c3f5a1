"""`goodparts-export unet` as a person uses it, and the engines that it writes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from engines.diffusion.injection import _both_eps, slerp  # noqa: E402
from engines.errors import EngineError  # noqa: E402
from engines.golden import check_golden  # noqa: E402
from engines.manifest import check_files, file_sha256, load_manifest, save_manifest  # noqa: E402
from engines.onnxrt.runner import OnnxRunner  # noqa: E402
from engines.unet import Injection, UNetEngine, load_unet  # noqa: E402
from export import provenance, unet_engine  # noqa: E402
from export.adm import source_of_random  # noqa: E402
from export.adm_architecture import parse_architecture  # noqa: E402
from export.catalogue import CATALOGUE  # noqa: E402
from export.cli import main  # noqa: E402
from export.errors import ExportError  # noqa: E402
from export.graphs import run_onnx, run_torch  # noqa: E402
from export.originals import rebuild  # noqa: E402
from export.provenance import UNKNOWN, of_file  # noqa: E402
from export.unet_engine import GRAPHS, OUTPUTS, unet_inputs  # noqa: E402
from tests.export.verdicts import accept  # noqa: E402

pytestmark = pytest.mark.timeout(180)  # the first test waits for four graphs to be exported

TINY = {
    "image_size": 16,
    "in_channels": 3,
    "model_channels": 32,
    "out_channels": 6,
    "num_res_blocks": 1,
    "attention_resolutions": [2],
    "channel_mult": [1, 1],
    "num_head_channels": 16,
    "use_scale_shift_norm": True,
    "resblock_updown": True,
}
ARCHITECTURE = parse_architecture(TINY, where="test")
MADE = {"lerp": ("fp32", 1e-4), "slerp": ("fp16", 2e-2)}  # interpolation -> precision, its rounding


@pytest.fixture(scope="module")
def architecture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("architecture") / "tiny.json"
    path.write_text(json.dumps({"constructor": TINY}))
    return path


@pytest.fixture(scope="module")
def engines(architecture: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny network by the command, by interpolation: lerp in fp32, slerp in fp16."""
    folder = tmp_path_factory.mktemp("engines")
    for interpolation, (precision, _) in MADE.items():
        options = ["--interpolation", interpolation, "--precision", precision, "--seed", "5"]
        options += [
            "--random-weights",
            "--architecture",
            str(architecture),
            "--out",
            str(folder / interpolation),
        ]
        assert main(["unet", *options]) == 0
    return {interpolation: accept(folder / interpolation) for interpolation in MADE}


@pytest.mark.parametrize("interpolation", MADE)
def test_the_folder_is_an_engine(engines: dict[str, Path], interpolation: str) -> None:
    """Hashes hold, the golden outputs are reproduced, and the manifest says what was asked for."""
    folder = engines[interpolation]
    manifest = load_manifest(folder)
    check_files(manifest, folder)
    assert (manifest.interpolation, manifest.precision) == (interpolation, MADE[interpolation][0])
    assert manifest.name == interpolation and manifest.kind == "unet"
    assert "random weights, seed 5" in manifest.source and "random" in manifest.licence
    assert set(manifest.parity) == {f"{role}/{name}" for role in GRAPHS for name in OUTPUTS[role]}
    assert max(manifest.parity.values()) < MADE[interpolation][1]
    for role, file in GRAPHS.items():
        with OnnxRunner(folder / file, device="cpu", threads=1) as runner:
            assert check_golden(manifest, folder, role, runner) < MADE[interpolation][1]
    assert {path.name for path in folder.iterdir()} == {*manifest.files, "manifest.json"}


@pytest.mark.parametrize("interpolation", MADE)
def test_the_recipe_rebuilds_the_original(engines: dict[str, Path], interpolation: str) -> None:
    """From the manifest alone torch computes what the engine does, interpolation included."""
    manifest = load_manifest(engines[interpolation])
    originals = rebuild(manifest.recipe, None)
    inputs = unet_inputs(originals["plain"].module.unet, count=2, rng=np.random.default_rng(3))
    for role, original in originals.items():
        expected = run_torch(original.module, inputs[role], original.outputs)
        found = run_onnx(engines[interpolation] / GRAPHS[role], inputs[role])
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=MADE[interpolation][1], err_msg=name)


@pytest.mark.parametrize("interpolation", MADE)
def test_every_batch_to_64_runs_and_agrees(engines: dict[str, Path], interpolation: str) -> None:
    """A picture's outputs do not depend on how many come with it."""
    unet = source_of_random(5, ARCHITECTURE).unet
    inputs = unet_inputs(unet, count=64, rng=np.random.default_rng(4))["injected"]
    with OnnxRunner(engines[interpolation] / GRAPHS["injected"], device="cpu", threads=1) as runner:
        whole = runner.infer(inputs)
        assert {name: len(value) for name, value in whole.items()} == dict.fromkeys(whole, 64)
        for count in (1, 2, 3, 7, 31, 32, 33, 63):
            part = runner.infer({name: value[:count] for name, value in inputs.items()})
            for name, value in part.items():
                np.testing.assert_allclose(value, whole[name][:count], atol=MADE[interpolation][1])


def test_a_side_input_of_another_batch_is_refused(engines: dict[str, Path]) -> None:
    """gamma for one picture beside samples of two is an error before anything runs."""
    unet = source_of_random(5, ARCHITECTURE).unet
    inputs = unet_inputs(unet, count=2, rng=np.random.default_rng(4))["injected"]
    with OnnxRunner(engines["lerp"] / GRAPHS["injected"], device="cpu", threads=1) as runner:
        for name in ("timestep", "h_content", "gamma", "delta_h"):
            with pytest.raises(EngineError, match="same batch size"):
                runner.infer({**inputs, name: inputs[name][:1]})


@pytest.mark.parametrize("asked", MADE)
def test_either_engine_gives_either_interpolation(engines: dict[str, Path], asked: str) -> None:
    """An engine made for the other way of interpolating gives what was asked for, in one pass more."""
    results = {}
    for made, folder in engines.items():
        unet = load_unet(folder, device="cpu", threads=1)
        rng = np.random.default_rng(8)
        x = rng.standard_normal((2, 3, 16, 16), dtype=np.float32)
        content = 2 * rng.standard_normal((2, *unet.h_shape), dtype=np.float32)
        gamma = rng.random((2, 1, *unet.h_shape[1:]), dtype=np.float32)
        results[made] = _both_eps(unet, x, 500, content, gamma, asked)  # type: ignore[arg-type]
    for one, other in zip(results["lerp"], results["slerp"], strict=True):
        np.testing.assert_allclose(one, other, atol=MADE["slerp"][1])
    changed = np.abs(results["lerp"][1] - results["lerp"][0]).max()
    assert changed > 5 * MADE["slerp"][1]


def test_the_engines_own_slerp_is_numpys(engines: dict[str, Path]) -> None:
    """The graph's interpolated h, decoded, is what numpy's is, and not the straight one's."""
    unet: UNetEngine = load_unet(engines["slerp"], device="cpu", threads=1)
    rng = np.random.default_rng(9)
    x = rng.standard_normal((1, 3, 16, 16), dtype=np.float32)
    content = rng.standard_normal((1, *unet.h_shape), dtype=np.float32)
    gamma = np.full((1, 1, *unet.h_shape[1:]), 0.5, np.float32)
    _, h = unet.plain(x, 300)
    _, found = unet.injected(x, 300, Injection(content, gamma))
    by_hand = {"slerp": slerp(h, content, gamma), "lerp": 0.5 * (h + content)}
    errors = {}
    for way, mixed in by_hand.items():
        _, expected = unet.injected(x, 300, Injection(h, np.zeros_like(gamma), mixed - h))
        errors[way] = float(np.abs(found - expected).max())
    assert errors["slerp"] < MADE["slerp"][1] < errors["lerp"]


def test_an_unknown_interpolation_is_refused(engines: dict[str, Path], tmp_path: Path) -> None:
    """A manifest with another word in it is no engine that a box can use."""
    shutil.copytree(engines["lerp"], tmp_path / "odd")
    save_manifest(
        dataclasses.replace(load_manifest(tmp_path / "odd"), interpolation="area"), tmp_path / "odd"
    )
    with pytest.raises(EngineError, match="interpolation 'area'"):
        load_unet(tmp_path / "odd", device="cpu")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--checkpoint", "absent.pt"], 2, "no such file or folder"),
        (["--checkpoint", "notes.txt"], 1, "not a file of weights"),
        (["--random-weights", "--architecture", "notes.txt"], 2, "not a JSON file"),
        (["--random-weights", "--architecture", "classes.json"], 2, "Class-conditional"),
        (["--checkpoint", "notes.txt", "--seed", "1"], 2, "--seed"),
        (["--random-weights", "--out", "full"], 2, "--force"),
    ],
)
def test_mistakes_leave_one_message_and_nothing_else(
    options: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong option or file gives its exit code and a message, and no folder appears."""
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("not what you think")
    Path("classes.json").write_text(json.dumps(TINY | {"num_classes": 10}))
    Path("full").mkdir()
    Path("full/kept.txt").write_text("kept")
    before = sorted(Path().rglob("*"))
    assert main(["unet", "--out", "new", *options]) == code
    assert said in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before


def test_published_weights_bring_their_terms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known by their hash: the manifest has address, licence and what is said of commercial use, as a
    backbone's has; what the person says of the licence goes before.
    """
    adm256 = next(weights for weights in CATALOGUE if weights.used_by == "unet")
    checkpoint = tmp_path / "mine.pt"
    checkpoint.write_bytes(b"weights")
    assert of_file(checkpoint, network="UNet", licence=None).licence == UNKNOWN
    monkeypatch.setattr(provenance, "by_hash", lambda sha256: adm256)
    known = of_file(checkpoint, network="UNet", licence=None)
    assert known.source == f"{adm256.url}; UNet" and known.source_sha256 == file_sha256(checkpoint)
    assert adm256.licence in known.licence and adm256.terms.condition in known.licence
    assert of_file(checkpoint, network="UNet", licence="mine").licence == "mine"


def test_weights_that_give_no_numbers_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that diverged is not a fault of the exporter."""
    unet = source_of_random(5, ARCHITECTURE).unet
    unet.conv_out.bias.fill_(float("nan"))
    monkeypatch.setattr(unet_engine, "_write_graphs", lambda *_: None)
    with pytest.raises(ExportError, match="original network itself gives values that are not finite"):
        unet_engine.save_unet_engine(
            unet, tmp_path, name="nan", provenance=of_file(Path(__file__), network="UNet", licence=None)
        )


def test_a_graph_that_computes_something_else_is_not_written(
    engines: dict[str, Path],
    architecture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """When the graphs do not compute what the original does the command fails and leaves no folder."""

    def of_other_weights(_unet: object, folder: Path, _options: object) -> None:
        shutil.copytree(engines["lerp"], folder, dirs_exist_ok=True)

    monkeypatch.setattr(unet_engine, "_write_graphs", of_other_weights)
    arguments = ["--random-weights", "--seed", "6", "--architecture", str(architecture)]
    assert main(["unet", *arguments, "--out", str(tmp_path / "wrong")]) == 1
    assert "differ from the original network: plain/eps by" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
