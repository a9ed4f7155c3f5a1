"""guided-diffusion checkpoints, diffusers folders and random weights as UNets, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from adm_forward import Adm  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from engines.unet import Injection, load_unet  # noqa: E402
from export import adm, adm_keys  # noqa: E402
from export.adm import read_state, rebuild, source_of_checkpoint, source_of_random  # noqa: E402
from export.adm_architecture import (  # noqa: E402
    ADM_256,
    Architecture,
    as_recipe,
    parse_architecture,
    read_architecture,
    unet_config,
)
from export.cli import main  # noqa: E402
from export.embedded.unet64 import build_unet64  # noqa: E402
from export.errors import ExportError, UsageError  # noqa: E402
from export.hspace import InjectedUNet, PlainUNet  # noqa: E402
from tests.export.verdicts import accept  # noqa: E402

ATOL = 1e-4  # fp32 rounding is 1e-5 at most; the smallest mistake known, one norm's epsilon, costs 1.7e-3
TINY = Architecture(
    image_size=16,
    in_channels=3,
    out_channels=6,
    num_res_blocks=1,
    model_channels=32,
    channel_mult=(1, 2),
    attention_resolutions=(2,),
    num_head_channels=16,
    use_scale_shift_norm=True,
    resblock_updown=True,
)
# Every sort of block, up and down, with attention and without; other depths, widths, heads and sizes.
ARCHITECTURES = {
    "tiny": TINY,
    "attention above": dataclasses.replace(TINY, attention_resolutions=(1,), num_head_channels=32),
    "deep": dataclasses.replace(TINY, channel_mult=(1, 1, 2), attention_resolutions=(2, 4), image_size=24),
    "three blocks": dataclasses.replace(TINY, num_res_blocks=3, out_channels=3, channel_mult=(1, 3)),
    "no attention": dataclasses.replace(TINY, attention_resolutions=(4,), channel_mult=(1, 1, 1)),
}


def state_of(architecture: Architecture, seed: int = 0) -> dict[str, Any]:
    """A checkpoint under guided-diffusion's names, random and nowhere zero."""
    unet = adm._empty(unet_config(architecture))
    shapes = {name: tuple(value.shape) for name, value in unet.state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for entry in adm_keys.entries(architecture, shapes):
        values = torch.randn(entry.shape, generator=generator)
        norm = len(entry.shape) == 1 and entry.source.endswith("weight")
        fan_in = values[0].numel() if len(entry.shape) > 1 else 25
        state[entry.source] = 1 + 0.2 * values if norm else values / fan_in**0.5
    return state


def saved(state: dict[str, Any], folder: Path) -> Path:
    save_file(state, folder / "state.safetensors")
    return folder / "state.safetensors"


def noise(architecture: Architecture) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    size = architecture.image_size
    return {
        "sample": torch.randn(2, 3, size, size, generator=generator),
        "timestep": torch.tensor([37, 812]),
    }


def error_of(architecture: Architecture, state: dict[str, Any], path: Path) -> float:
    """Largest difference of eps and h between the original and what is made of its checkpoint."""
    inputs = noise(architecture)
    with torch.no_grad():
        expected = Adm(architecture, state)(**inputs)
        eps, h = PlainUNet(source_of_checkpoint(path, architecture).unet)(**inputs)
    return max(float((eps - expected.out[:, :3]).abs().max()), float((h - expected.h).abs().max()))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_checkpoint_computes_what_it_did_in_guided_diffusion(name: str, tmp_path: Path) -> None:
    """For every architecture of the family, eps and h are those of the original."""
    state = state_of(ARCHITECTURES[name])
    assert error_of(ARCHITECTURES[name], state, saved(state, tmp_path)) < ATOL


@pytest.mark.parametrize(
    ("changed", "least"),
    [
        ({"flip_sin_to_cos": False}, 0.1),
        ({"freq_shift": 1}, 0.1),
        ({"attention_head_dim": 8}, 0.01),
        ({"norm_eps": 1e-2}, 10 * ATOL),
    ],
)
def test_silent_mistakes_exceed_the_bar(
    changed: dict[str, Any], least: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that is wrong in one place loads without an error and misses the original."""
    state = state_of(TINY)
    monkeypatch.setattr(adm, "unet_config", lambda architecture: unet_config(architecture) | changed)
    assert error_of(TINY, state, saved(state, tmp_path)) > least


def test_a_wrong_order_of_qkv_exceeds_the_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """q, k and v cut as three blocks, not head by head, load without an error and miss the original."""
    state = state_of(TINY)
    right = adm_keys.converted

    def wrong(entry: adm_keys.Entry, tensor: Any, head_channels: int) -> dict[str, Any]:
        return right(entry, tensor, len(tensor) // 3 if len(entry.targets) == 3 else head_channels)

    monkeypatch.setattr(adm, "converted", wrong)
    assert error_of(TINY, state, saved(state, tmp_path)) > 0.01


def test_a_pt_file_gives_what_a_safetensors_file_gives(tmp_path: Path) -> None:
    """Both formats, fp16 weights too, hold the same tensors."""
    state = state_of(TINY)
    torch.save(state, tmp_path / "state.pt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("state.pt", "old.pt"):
        assert error_of(TINY, state, tmp_path / name) < ATOL
    half = {name: value.half() for name, value in state.items()}
    assert error_of(TINY, {name: v.float() for name, v in half.items()}, saved(half, tmp_path)) < ATOL


def test_all_that_does_not_fit_is_listed_at_once(tmp_path: Path) -> None:
    """Missing, unknown and misshapen tensors stand in one error, each with its name and shape."""
    state = state_of(TINY)
    del state["input_blocks.1.0.in_layers.2.weight"], state["out.2.bias"]
    state["stranger.weight"] = torch.zeros(10, 4)
    state["time_embed.0.weight"] = torch.zeros(5, 5)
    state["out.0.bias"] = torch.zeros(32, dtype=torch.int64)
    with pytest.raises(ExportError) as raised:
        source_of_checkpoint(saved(state, tmp_path), TINY)
    message = str(raised.value)
    assert "5 of its tensors" in message
    assert "missing: input_blocks.1.0.in_layers.2.weight [32, 32, 3, 3]" in message
    assert "missing: out.2.bias [6]" in message
    assert "unknown: stranger.weight [10, 4]" in message
    assert "shape: time_embed.0.weight is [5, 5], the architecture needs [128, 32]" in message
    assert "type: out.0.bias is torch.int64" in message


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("label_emb.weight", (10, 128), "class-conditional"),
        ("input_blocks.0.0.weight", (32, 6, 3, 3), "super-resolution"),
        ("input_blocks.2.0.op.weight", (32, 32, 3, 3), "plain convolutions"),
    ],
)
def test_other_models_are_known_by_their_tensors(
    name: str, shape: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    """A checkpoint of another sort is named, whatever architecture was given."""
    state = state_of(TINY) | {name: torch.zeros(shape)}
    with pytest.raises(ExportError, match=said):
        source_of_checkpoint(saved(state, tmp_path), TINY)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"num_classes": 1000}, "Class-conditional"),
        ({"in_channels": 6}, "Super-resolution"),
        ({"num_head_channels": -1, "num_heads": 4}, "fixed number of heads"),
        ({"use_new_attention_order": True}, "new attention order"),
        ({"resblock_updown": False}, "resblock_updown"),
        ({"use_scale_shift_norm": False}, "use_scale_shift_norm"),
        ({"channel_mult": [2, 2]}, "first level has not model_channels"),
        ({"dims": 3}, "3-dimensional"),
        ({"out_channels": 4}, "4 output channels"),
        ({"attention_resolutions": [16, 8]}, "downsample factors, not pixels"),
        ({"image_size": 15}, "multiple of 2"),
        ({"model_channels": 48}, "multiples of 32"),
        ({"num_head_channels": 24}, "must divide"),
        ({"channel_mult": "1,2"}, "channel_mult: '1,2', needs a list"),
        ({"num_res_blocks": True}, "num_res_blocks: True, needs a whole number"),
        ({"num_channels": 32}, "num_channels is a flag of its scripts; here it is model_channels"),
    ],
)
def test_other_models_are_refused_by_name(changed: dict[str, Any], said: str) -> None:
    """What this release does not export is named, with what does not hold."""
    with pytest.raises(UsageError, match=said):
        parse_architecture(as_recipe(TINY) | changed, where="architecture.json")


def test_the_arguments_may_stand_bare_or_under_constructor(tmp_path: Path) -> None:
    """The JSON of a training run is accepted as it is, with notes beside the constructor's arguments."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"constructor": as_recipe(TINY), "notes": {"seed": 1}}))
    assert read_architecture(path) == TINY == parse_architecture(as_recipe(TINY), where="here")


def test_without_an_architecture_the_published_model_is_meant() -> None:
    """The default has the published model's 552,814,086 parameters, 1024 channels of h on 8x8 cells."""
    unet = adm._empty(unet_config(ADM_256))
    assert sum(parameter.numel() for parameter in unet.parameters()) == 552_814_086
    shapes = {name: tuple(value.shape) for name, value in unet.state_dict().items()}
    assert len(adm_keys.entries(ADM_256, shapes)) == 566
    assert parse_architecture(as_recipe(ADM_256), where="default") == ADM_256


class Payload:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("executed",)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .pt file that would run code when unpickled is refused."""
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Payload()}, "evil.pt")
    Path("evil.pkl").write_bytes(pickle.dumps(Payload()))
    for name in ("evil.pt", "evil.pkl"):
        with pytest.raises(ExportError, match="not a file of weights"):
            read_state(Path(name))
    assert not Path("executed").exists()


def test_broken_files_are_refused(tmp_path: Path) -> None:
    """Cut, empty, absent files and files of something else give one message each."""
    state = state_of(TINY)
    torch.save(state, tmp_path / "whole.pt")
    torch.save({"model": {"weight": torch.zeros(1)}, "step": 3}, tmp_path / "run.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    (tmp_path / "cut.safetensors").write_bytes(saved(state, tmp_path).read_bytes()[:1000])
    (tmp_path / "empty.pt").write_bytes(b"")
    for name in ("cut.pt", "cut.safetensors", "empty.pt"):
        with pytest.raises(ExportError, match=f"{name}: not a file of weights"):
            read_state(tmp_path / name)
    with pytest.raises(ExportError, match=r"holds model \(dict\), step \(int\)"):
        read_state(tmp_path / "run.pt")
    with pytest.raises(UsageError, match="no such file"):
        read_state(tmp_path / "absent.pt")


def test_no_bytes_whatever_escape_the_reader(tmp_path: Path) -> None:
    """Torch's reader fails in many ways on what it did not write: each is the same message."""
    torch.save({"weight": torch.ones(3)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    whole, rng = (tmp_path / "old.pt").read_bytes(), np.random.default_rng(0)
    for number in range(150):
        content = bytearray(whole if number % 2 else rng.bytes(100))
        content[int(rng.integers(min(len(content), 300)))] ^= int(rng.integers(1, 256))
        (tmp_path / "odd.pt").write_bytes(bytes(content[: int(rng.integers(len(content)))]))
        with pytest.raises(ExportError, match=r"odd\.pt: "):
            read_state(tmp_path / "odd.pt")


def test_a_diffusers_folder_takes_the_same_route(tmp_path: Path) -> None:
    """The embedded model, saved by diffusers, comes back as the same network, v-prediction kept."""
    torch.manual_seed(0)
    unet = build_unet64().eval()
    unet.save_pretrained(tmp_path)
    source = source_of_checkpoint(tmp_path, None)
    sample, timestep = torch.randn(2, 3, 64, 64), torch.tensor([5, 900])
    with torch.no_grad():
        found, expected = PlainUNet(source.unet)(sample, timestep), PlainUNet(unet)(sample, timestep)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    with torch.no_grad():
        again = rebuild(source.recipe, tmp_path)["plain"].module(sample=sample, timestep=timestep)
    assert torch.equal(again[0], expected[0])
    with pytest.raises(UsageError, match="leave out --architecture"):
        source_of_checkpoint(tmp_path, TINY)
    (tmp_path / adm.DIFFUSERS).unlink()
    with pytest.raises(UsageError, match=adm.DIFFUSERS):
        source_of_checkpoint(tmp_path, None)


def test_a_recipe_gives_the_network_again(tmp_path: Path) -> None:
    """From its recipe, read back as JSON, a network computes the same, with a checkpoint and with a seed."""
    inputs = noise(TINY)
    checkpoint = saved(state_of(TINY), tmp_path)
    for source, path in [
        (source_of_checkpoint(checkpoint, TINY), checkpoint),
        (source_of_random(7, TINY), None),
    ]:
        recipe = json.loads(json.dumps(source.recipe))
        with torch.no_grad():
            found = rebuild(recipe, path)["plain"].module(**inputs)
            expected = PlainUNet(source.unet)(**inputs)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    with pytest.raises(ExportError, match="--checkpoint"):
        rebuild(source_of_checkpoint(checkpoint, TINY).recipe, None)


def test_random_weights_follow_their_seed() -> None:
    """The same seed gives the same weights, another one others, and the output is not faint."""
    first, again, other = (source_of_random(seed, TINY) for seed in (3, 3, 4))
    first_hash, *others = (source.provenance.source_sha256 for source in (first, again, other))
    assert first_hash == others[0] != others[1]
    with torch.no_grad():
        eps, _ = PlainUNet(first.unet)(**noise(TINY))
    assert 0.1 < float(eps.std()) < 10


def reference() -> Path:
    folder = os.environ.get("GOODPARTS_REFERENCE")
    if not folder or not (Path(folder) / "io.safetensors").is_file():
        pytest.skip("set GOODPARTS_REFERENCE to the folder with the original code's io.safetensors")
    return Path(folder)


def test_the_original_code_is_reproduced_by_torch() -> None:
    """eps, h and the injected eps of the original code, within 1e-4; the tests' own network agrees too."""
    folder = reference()
    architecture = read_architecture(folder / "config.json")
    io = load_file(folder / "io.safetensors")
    unet = source_of_checkpoint(folder / "state_dict.safetensors", architecture).unet
    gamma = io["gamma"].view(2, 1, 1, 1).expand(2, 1, *io["h"].shape[2:])
    with torch.no_grad():
        eps, injected, h = InjectedUNet(unet)(
            io["sample"], io["timestep"], io["h_content"], gamma, torch.zeros_like(io["h"])
        )
        independent = Adm(architecture, load_file(folder / "state_dict.safetensors"))(
            io["sample"], io["timestep"]
        )
    for found, expected in [
        (eps, io["out"][:, :3]),
        (injected, io["out_injected"][:, :3]),
        (h, io["h"]),
        (independent.out, io["out"]),
        (independent.h, io["h"]),
    ]:
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=ATOL, rtol=0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("precision", "atol"), [("fp32", ATOL), ("fp16", 3e-2)])
def test_the_original_code_is_reproduced_by_the_exported_engine(
    precision: str, atol: float, tmp_path: Path
) -> None:
    """The command's files, under ONNX Runtime, give the original code's eps, h and injected eps."""
    folder = reference()
    arguments = ["--checkpoint", str(folder / "state_dict.safetensors")]
    arguments += ["--architecture", str(folder / "config.json"), "--out", str(tmp_path / "adm")]
    assert main(["unet", *arguments, "--precision", precision]) == 0
    unet = load_unet(accept(tmp_path / "adm"), device="cpu")
    io = {name: value.numpy() for name, value in load_file(folder / "io.safetensors").items()}
    for row, t in enumerate(io["timestep"].tolist()):
        one = {name: value[row : row + 1] for name, value in io.items()}
        eps, h = unet.plain(one["sample"], t)
        gamma = np.full((1, 1, *unet.h_shape[1:]), one["gamma"][0], np.float32)
        both = unet.injected(one["sample"], t, Injection(one["h_content"], gamma))
        for found, expected in [
            (eps, one["out"][:, :3]),
            (h, one["h"]),
            (both[0], one["out"][:, :3]),
            (both[1], one["out_injected"][:, :3]),
        ]:
            np.testing.assert_allclose(found, expected, atol=atol, rtol=0)
