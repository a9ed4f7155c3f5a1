"""`goodparts-export encoder`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from safetensors.torch import save_file  # noqa: E402

from engines.manifest import check_files, file_sha256, load_manifest  # noqa: E402
from export import cli  # noqa: E402
from export.backbones.networks import Wanted, build  # noqa: E402

SMALL = ["squeezenet1_1", "--random-weights", "--image-size", "64"]


def _run(*arguments: str | Path) -> int:
    return cli.main(["encoder", *map(str, arguments)])


def test_random_weights_make_an_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder holds the engine, stdout what it is, stderr the progress."""
    out = tmp_path / "engines" / "squeeze"
    assert _run(*SMALL, "--seed", "5", "--name", "squeeze", "--out", out) == 0
    said = capsys.readouterr()
    assert "map_s16 512 x 3 x 3" in said.out and "random weights" in said.out and "comparing" in said.err
    manifest = load_manifest(out)
    check_files(manifest, out)
    assert manifest.name == "squeeze" and manifest.recipe["seed"] == 5
    assert set(manifest.files) | {"manifest.json"} == {file.name for file in out.iterdir()}
    assert [path.name for path in out.parent.iterdir()] == ["squeeze"]


def test_a_checkpoint_is_named_in_the_manifest(tmp_path: Path) -> None:
    """Its hash, its file's name and the licence that was stated stand there; its folder does not."""
    model = build(Wanted(family="torchvision", network="squeezenet1_1", seed=1), None).encoder.body.model
    file = tmp_path / "secret-folder" / "mine.safetensors"
    file.parent.mkdir()
    save_file(dict(model.state_dict()), file)
    out = tmp_path / "engine"
    assert _run("squeezenet1_1", "--checkpoint", file, "--licence", "ours", "--out", out) == 0
    manifest = load_manifest(out)
    assert manifest.source_sha256 == file_sha256(file)
    assert manifest.licence == "ours" and "mine.safetensors" in manifest.source
    assert manifest.recipe["weights"] == "checkpoint" and "seed" not in manifest.recipe
    assert "secret-folder" not in (out / "manifest.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["resnet18"], 2, "--out is missing"),
        (["--out", "OUT"], 2, "NAME is missing"),
        (["resnet18", "--out", "OUT"], 2, "no weights. Give --checkpoint FILE"),
        (
            ["resnet18", "--out", "OUT", "--random-weights", "--checkpoint", "TEXT"],
            2,
            "contradict each other",
        ),
        (["resnet18", "--out", "OUT", "--checkpoint", "none.pth"], 2, "none.pth: no such file"),
        (["resnet18", "--out", "OUT", "--checkpoint", "TEXT"], 1, "notes.pth: "),
        (["resnet18", "--out", "FULL", "--random-weights"], 2, "is there already"),
        (["resnet81", "--out", "OUT", "--random-weights"], 2, "Did you mean"),
        (["convnext_base", "--out", "OUT", "--random-weights"], 2, "--family timm or --family open_clip"),
        ([*SMALL, "--out", "OUT", "--layers", "14"], 2, "layers 1 to 13"),
        ([*SMALL, "--out", "OUT", "--strides", "32"], 2, "stride 2, 4, 8, 16"),
        ([*SMALL, "--out", "OUT", "--name", "../up"], 2, "letters, digits"),
        ([*SMALL, "--out", "OUT", "--std", "0"], 2, "numbers above 0"),
        ([*SMALL, "--out", "OUT", "--padding", "tensorflow"], 2, "also pools"),
        (["resnet18", "--random-weights", "--image-size", "100", "--out", "OUT"], 2, "multiple of 32"),
        (["vit_b_16", "--random-weights", "--image-size", "100", "--out", "OUT"], 2, "multiple of the side"),
        (
            ["vit_tiny_patch16_224", "--random-weights", "--image-size", "100", "--out", "OUT"],
            2,
            "such as 96",
        ),
        (["--list", "nothing-like-it"], 2, "no network has a name like it"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left(
    arguments: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One message with what to do, the contract's code, and no folder."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "notes.pth").write_text("no weights\n", encoding="utf-8")
    places = {"OUT": tmp_path / "out", "FULL": tmp_path / "full", "TEXT": tmp_path / "notes.pth"}
    assert _run(*(places.get(word, word) for word in arguments)) == code
    shown = capsys.readouterr()
    assert said in shown.err.splitlines()[-1] and shown.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "notes.pth"]


def test_weights_of_another_network_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ResNet-18's weights for a ResNet-34: what is missing, by name, and nothing is written."""
    model = build(Wanted(family="torchvision", network="resnet18", seed=1), None).encoder.body.model
    save_file(dict(model.state_dict()), tmp_path / "r18.safetensors")
    assert _run("resnet34", "--checkpoint", tmp_path / "r18.safetensors", "--out", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "missing: layer1.2.conv1.weight [64, 64, 3, 3]" in said and "more" in said
    assert not (tmp_path / "out").exists()


def test_the_list_can_be_narrowed(capsys: pytest.CaptureFixture[str]) -> None:
    """By a part of the name, a pattern, a family."""
    assert _run("--list", "vit_small_patch14_dinov2") == 0
    assert capsys.readouterr().out == "timm         vit_small_patch14_dinov2\n"
    assert _run("--list", "--family", "torchvision") == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].startswith("torchvision  resnet18") and sum("of the paper" in line for line in lines) == 10
    )


@pytest.mark.parametrize(
    "wrong", [["--layers", "a"], ["--mean", "1,2"], ["--seed", "-1"], ["--image-size", "0"]]
)
def test_malformed_numbers_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The option and the value are named."""
    with pytest.raises(SystemExit) as ended:
        _run("resnet18", *wrong)
    assert ended.value.code == 2
    assert f"argument {wrong[0]}: {wrong[1]!r}" in capsys.readouterr().err
