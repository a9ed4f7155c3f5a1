"""`goodparts-export all`: targets in order, only what is not there; one failure does not stop the rest."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from engines.manifest import load_manifest, save_manifest
from engines.packs import EMBEDDED
from engines.verified import record_verdict
from export import cli
from export.all_targets import Outcome, make_all, summary
from export.commands import all as command
from export.errors import ExportError, UsageError
from export.recipes_file import Recipes
from export.targets import commands, targets_of
from export.up_to_date import EXPORTERS, Made, content_sha256, export_key, is_made, is_ours, mark_made

TINY_UNET = {
    "image_size": 32,
    "in_channels": 3,
    "model_channels": 32,
    "out_channels": 6,
    "num_res_blocks": 1,
    "attention_resolutions": [2],
    "channel_mult": [1, 2],
    "num_head_channels": 16,
    "use_scale_shift_norm": True,
    "resblock_updown": True,
}


class Fakes:
    """Commands that copy an embedded engine, and remember what they were asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.faults: dict[str, BaseException] = {}

    def __call__(self, arguments: list[str]) -> int:
        self.asked.append(arguments)
        name = self._target(arguments).name
        if name in self.faults:
            raise self.faults[name]
        getattr(self, arguments[0])(arguments)
        return 0

    def _target(self, arguments: list[str]) -> Path:
        if arguments[0] == "verify":
            return Path(arguments[1])
        if arguments[0] == "engine":
            return Path(arguments[arguments.index("--onnx") + 1]).parent
        return Path(arguments[arguments.index("--out") + 1])

    def encoder(self, arguments: list[str]) -> None:
        out = Path(arguments[arguments.index("--out") + 1])
        if out.exists() and "--force" not in arguments:
            raise UsageError(f"{out}: is there already")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(EMBEDDED / "tessera", out)

    def engine(self, arguments: list[str]) -> None:
        graph = Path(arguments[arguments.index("--onnx") + 1])
        plan = graph.with_name(f"{graph.stem}.{arguments[2]}.plan")
        if plan.exists() and "--force" not in arguments:
            raise UsageError(f"{plan}: is there already")
        plan.write_bytes(graph.read_bytes()[:100])

    def verify(self, arguments: list[str]) -> None:
        folder = Path(arguments[1])
        record_verdict(load_manifest(folder), folder, accepted=True, reason="same", rungs=("cpu",))

    def names(self) -> list[str]:
        return [arguments[0] for arguments in self.asked]


RECIPES = Recipes.model_validate(
    {
        "encoders": [
            {"network": "resnet18", "checkpoint": "a.pth"},
            {"network": "timm/b", "checkpoint": "b.pth"},
        ],
        "plans": [{"backend": "tensorrt-rtx", "sm": [86, 89], "engines": ["resnet18"]}],
    }
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    for name in ("a.pth", "b.pth"):
        (tmp_path / "weights" / name).write_bytes(name.encode())
    return tmp_path / "export.yaml"


def _make(
    fakes: Fakes, config: Path, recipes: Recipes = RECIPES, *, force: bool = False
) -> dict[str, Outcome]:
    fakes.asked.clear()
    outcomes = list(make_all(targets_of(recipes, config, None), fakes, force=force))
    return {outcome.target.name: outcome for outcome in outcomes}


def _states(outcomes: dict[str, Outcome]) -> list[str]:
    return [outcome.state for outcome in outcomes.values()]


def test_targets_come_in_order(config: Path) -> None:
    """Each engine, its plans, its verification; names that are no folder's are made so."""
    targets = targets_of(RECIPES, config, None)
    names = ["resnet18", "resnet18 tensorrt-rtx", "resnet18 verified", "timm_b", "timm_b verified"]
    assert [target.name for target in targets] == names
    assert targets[0].made.folder == config.parent / "engines" / "resnet18"
    assert targets_of(RECIPES, config, Path("/elsewhere"))[0].made.folder == Path("/elsewhere/resnet18")


def test_the_command_lines_are_those_of_the_commands(config: Path) -> None:
    """A plan for each graph of the engine, for all capabilities; a verification gets the checkpoint."""
    fakes = Fakes()
    assert _states(_make(fakes, config)) == ["made"] * 5
    engines, weights = config.parent / "engines", config.parent / "weights"
    encoder, engine, verify = fakes.asked[:3]
    assert encoder[:4] == ["encoder", "resnet18", "--precision", "fp32"]
    assert encoder[4:] == [
        "--checkpoint",
        str(weights / "a.pth"),
        "--out",
        str(engines / "resnet18"),
        "--force",
    ]
    assert engine[:7] == ["engine", "--backend", "tensorrt-rtx", "--sm", "86", "--sm", "89"]
    assert engine[7:9] == ["--onnx", str(engines / "resnet18" / "encoder.onnx")]
    assert verify == ["verify", str(engines / "resnet18"), "--checkpoint", str(weights / "a.pth")]


def test_what_is_up_to_date_is_skipped(config: Path) -> None:
    """The second run runs no command; --force runs all."""
    fakes = Fakes()
    _make(fakes, config)
    assert _states(_make(fakes, config)) == ["up to date"] * 5
    assert fakes.asked == []
    assert _states(_make(fakes, config, force=True)) == ["made"] * 5


def _change(config: Path, kind: str) -> Recipes:
    engine = config.parent / "engines" / "resnet18"
    if kind == "checkpoint":
        (config.parent / "weights" / "a.pth").write_bytes(b"trained longer")
    elif kind == "damaged file":
        (engine / "encoder.onnx").write_bytes(b"damaged")
    elif kind == "lost file":
        (engine / "golden.npz").unlink()
    elif kind == "lost engine":
        shutil.rmtree(engine)
    elif kind == "damaged stamp":
        Made(folder=engine).stamp.write_text("{")
    else:
        raw = RECIPES.model_dump()
        raw["encoders"][0]["precision"] = "fp16"
        return Recipes.model_validate(raw)
    return RECIPES


@pytest.mark.parametrize(
    "kind", ["checkpoint", "damaged file", "lost file", "lost engine", "damaged stamp", "option"]
)
def test_what_changed_is_made_again(config: Path, kind: str) -> None:
    """With what builds on it; the other engine is left alone."""
    fakes = Fakes()
    _make(fakes, config)
    states = _states(_make(fakes, config, _change(config, kind)))
    assert states == ["made", "made", "made", "up to date", "up to date"]


def test_a_plan_is_made_again_alone(config: Path) -> None:
    """One that is lost costs no new export; one that no run made is not replaced."""
    fakes = Fakes()
    _make(fakes, config)
    plan = config.parent / "engines" / "resnet18" / "encoder.tensorrt-rtx.plan"
    plan.unlink()
    assert _states(_make(fakes, config)) == ["up to date", "made", *["up to date"] * 3]
    Made(folder=plan.parent, label="tensorrt-rtx").stamp.unlink()
    assert _states(_make(fakes, config))[:2] == ["up to date", "failed"]


def test_moved_weights_are_the_same_weights(config: Path) -> None:
    """What is in a file counts, not where it lies."""
    fakes = Fakes()
    _make(fakes, config)
    (config.parent / "weights").rename(config.parent / "moved")
    assert set(_states(_make(fakes, config, RECIPES.model_copy(update={"weights": "moved"})))) == {
        "up to date"
    }


def test_other_versions_make_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new PyTorch may export another graph."""
    before = export_key(["encoder"], EXPORTERS)
    monkeypatch.setattr("export.up_to_date.version", lambda name: "99" if name == "torch" else "1")
    assert export_key(["encoder"], EXPORTERS) != before


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (ExportError("the checkpoint does not fit"), "the checkpoint does not fit"),
        (MemoryError(), "the memory does not suffice"),
        (RuntimeError("shapes"), "RuntimeError: shapes"),
    ],
)
def test_one_failure_does_not_stop_the_rest(config: Path, fault: BaseException, said: str) -> None:
    """What builds on the failed target is skipped, and the next run makes what is missing."""
    fakes = Fakes()
    fakes.faults["resnet18"] = fault
    outcomes = _make(fakes, config)
    assert _states(outcomes) == ["failed", "skipped", "skipped", "made", "made"]
    assert said in outcomes["resnet18"].reason
    fakes.faults.clear()
    assert _states(_make(fakes, config)) == ["made", "made", "made", "up to date", "up to date"]


def test_an_interrupted_run_is_continued(config: Path) -> None:
    """Also where the kill came between the export and its stamp."""
    fakes = Fakes()
    fakes.faults["timm_b"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        _make(fakes, config)
    fakes.faults.clear()
    shutil.copytree(EMBEDDED / "tessera", config.parent / "engines" / "timm_b")
    assert _states(_make(fakes, config)) == ["up to date"] * 3 + ["made"] * 2


def test_a_folder_of_somebody_else_is_not_replaced(config: Path) -> None:
    """Unless by --force."""
    own = config.parent / "engines" / "resnet18"
    own.mkdir(parents=True)
    (own / "mine").touch()
    fakes = Fakes()
    assert "is there already" in _make(fakes, config)["resnet18"].reason
    assert (own / "mine").exists() and not is_ours(Made(folder=own))
    assert _make(fakes, config, force=True)["resnet18"].state == "made"


def test_engines_in_a_hidden_folder_are_made_whole(config: Path) -> None:
    """The folder of all engines may begin with a dot; only what is hidden inside it is not an engine."""
    recipes = RECIPES.model_copy(update={"out": ".engines"})
    fakes = Fakes()
    assert _states(_make(fakes, config, recipes)) == ["made"] * 5
    assert fakes.names() == ["encoder", "engine", "verify", "encoder", "verify"]


def test_an_option_that_no_command_takes_costs_one_target(capsys: pytest.CaptureFixture[str]) -> None:
    """argparse would end the process, and with it all other targets."""
    assert command._run_command(["encoder", "a", "--layers", "one"]) == 2
    assert "give numbers" in capsys.readouterr().err


def test_a_verdict_for_other_files_does_not_count(config: Path) -> None:
    """An engine that was changed by hand after it was verified is verified again."""
    fakes = Fakes()
    _make(fakes, config)
    folder = config.parent / "engines" / "resnet18"
    manifest = load_manifest(folder)
    save_manifest(dataclasses.replace(manifest, verified={**manifest.verified, "engine": "another"}), folder)
    assert _make(fakes, config)["resnet18 verified"].state == "made"


def test_missing_weights_are_said_before_any_work(tmp_path: Path) -> None:
    """All of them, with the command that brings what is published."""
    recipes = Recipes.model_validate(
        {"unet": {}, "encoders": ["resnet18", {"network": "x", "checkpoint": "x.pth"}]}
    )
    with pytest.raises(UsageError) as fault:
        targets_of(recipes, tmp_path / "export.yaml", None)
    said = str(fault.value).splitlines()
    assert len(said) == 4 and "x.pth: not there" in said[2]
    assert said[3].endswith(f"goodparts-export fetch adm256 resnet18 --out {tmp_path / 'weights'}")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "Nothing to export"),
        ({"encoders": [{"network": "a", "random_weights": True}] * 2}, "a: the name of two engines"),
        (
            {"encoders": [{"network": "a", "random_weights": True, "checkpoint": "a"}]},
            "contradict each other",
        ),
        ({"encoders": ["vit_tiny"]}, "the catalogue has no weights for it"),
        (
            {
                "encoders": [{"network": "a", "random_weights": True}],
                "plans": [{"backend": "tensorrt", "engines": ["b"]}],
            },
            "b is not exported here; there are a",
        ),
        (
            {
                "encoders": [{"network": "a", "random_weights": True}],
                "plans": [{"backend": "tensorrt-rtx", "sm": [sm]} for sm in (86, 89)],
            },
            "a would get several of tensorrt-rtx",
        ),
    ],
)
def test_recipes_that_do_not_hold_together_are_refused(
    tmp_path: Path, raw: dict[str, object], said: str
) -> None:
    """Before any work."""
    with pytest.raises(UsageError, match=said):
        targets_of(Recipes.model_validate(raw), tmp_path / "export.yaml", None)


def test_every_option_reaches_its_command(tmp_path: Path) -> None:
    """What a recipe says stands in the command line, and that is one that the command takes."""
    recipes = Recipes.model_validate(
        {
            "unet": {"random_weights": True, "seed": 3, "architecture": "a.json", "interpolation": "slerp"},
            "encoders": [
                {
                    "network": "vit_b_16",
                    "name": "own",
                    "random_weights": True,
                    "licence": "mine",
                    "family": "torchvision",
                    "image_size": 64,
                    "layers": [6, 12],
                    "strides": [16],
                    "precision": "fp16",
                }
            ],
        }
    )
    (tmp_path / "a.json").touch()
    unet, _, encoder, _ = targets_of(recipes, tmp_path / "export.yaml", None)
    parsed = [cli._parser().parse_args(commands(target)[0]) for target in (unet, encoder)]
    assert (parsed[0].seed, parsed[0].architecture, parsed[0].interpolation) == (
        3,
        tmp_path / "a.json",
        "slerp",
    )
    given = {"name": "own", "licence": "mine", "family": "torchvision", "image_size": 64, "precision": "fp16"}
    assert given.items() <= vars(parsed[1]).items()
    assert (parsed[1].layers, parsed[1].strides) == ((6, 12), (16,))


def test_the_summary_has_a_line_for_each(config: Path) -> None:
    """State, seconds, size; the reasons of failures below."""
    fakes = Fakes()
    fakes.faults["timm_b"] = ExportError("does not fit")
    lines = summary(list(_make(fakes, config).values())).splitlines()
    assert [line.split("  ")[0] for line in lines[1:6]] == [
        target.name for target in targets_of(RECIPES, config, None)
    ]
    assert lines[-1] == "timm_b: does not fit"


def test_a_folder_is_hashed_by_names_and_content(tmp_path: Path) -> None:
    """A checkpoint may be a folder; a renamed file in it is another checkpoint."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"1")
    before = content_sha256(tmp_path / "a")
    made = Made(folder=tmp_path / "a")
    mark_made(made, "key")
    assert is_made(made, "key") and not is_made(made, "other")
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert content_sha256(tmp_path / "a") != before and not is_made(made, "key")


def _write(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "export.yaml").write_text(text)
    return ["all", "--config", str(tmp_path / "export.yaml")]


TRIAL = "verify: false\nencoders: [{network: resnet18, random_weights: true}]\n"


def test_a_dry_run_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what would be made."""
    assert cli.main([*_write(tmp_path, TRIAL), "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("resnet18: encoder resnet18 --precision fp32 --random-weights")
    assert [path.name for path in tmp_path.iterdir()] == ["export.yaml"]


@pytest.mark.parametrize(("text", "said"), [("x: 1", "export.yaml:1:1: x: unknown key"), ("", "Nothing to")])
def test_wrong_usage_is_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    """Exit code 2."""
    assert cli.main(_write(tmp_path, text)) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("fault", "code"), [(ExportError("no"), 1), (KeyboardInterrupt(), 130)])
def test_failures_have_their_codes(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    fault: BaseException,
    code: int,
) -> None:
    """1 with the summary where a target failed; 130 when interrupted, and how to go on."""

    def fails(_arguments: list[str]) -> int:
        raise fault

    monkeypatch.setattr(command, "_run_command", fails)
    assert cli.main(_write(tmp_path, TRIAL)) == code
    said = capsys.readouterr()
    assert ("failed" in said.out) == (code == 1)
    assert ("goes on from here" in said.err) == (code == 130)


NETWORKS = {
    "resnet18": "{network: resnet18, random_weights: true, image_size: 64}",
    "unet": "{random_weights: true, architecture: tiny.json}",
}


@pytest.mark.parametrize(
    ("section", "name"), [("encoders", "resnet18"), pytest.param("unet", "unet", marks=pytest.mark.slow)]
)
def test_real_networks_are_exported_and_then_up_to_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str, name: str
) -> None:
    """ResNet-18 and a tiny UNet with random weights, by the commands themselves."""
    (tmp_path / "tiny.json").write_text(json.dumps(TINY_UNET))
    recipe = f"[{NETWORKS[name]}]" if section == "encoders" else NETWORKS[name]
    arguments = _write(tmp_path, f"verify: false\n{section}: {recipe}\n")
    assert cli.main(arguments) == 0
    assert load_manifest(tmp_path / "engines" / name).graphs
    capsys.readouterr()
    assert cli.main(arguments) == 0
    assert "up to date" in capsys.readouterr().out
