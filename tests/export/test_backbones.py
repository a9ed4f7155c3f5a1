"""Networks of torchvision, timm and open_clip as encoders: features, maps, weights, engines."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("open_clip")

import timm  # noqa: E402
import torchvision  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from engines.encoder import load_encoder  # noqa: E402
from engines.manifest import Manifest, load_manifest  # noqa: E402
from export.backbones.checkpoints import load_weights, misfits, read_state  # noqa: E402
from export.backbones.layers import choose_maps, stride_of  # noqa: E402
from export.backbones.names import PAPER, family_of  # noqa: E402
from export.backbones.networks import Built, Wanted, build, recipe_of, wanted_of  # noqa: E402
from export.backbones.random_weights import enliven  # noqa: E402
from export.backbones.statement import provenance_of  # noqa: E402
from export.encoder_engine import TOLERANCES, save_encoder_engine  # noqa: E402
from export.errors import ExportError, UsageError  # noqa: E402
from export.graphs import run_torch  # noqa: E402
from export.originals import rebuild  # noqa: E402
from export.precision import Precision  # noqa: E402
from export.provenance import RANDOM  # noqa: E402

OTHERS = (
    ("timm", "vit_small_patch14_dinov2", 224),
    ("timm", "vit_small_patch16_dinov3", None),
    ("timm", "convnext_atto", None),
    ("timm", "efficientnet_b0", None),
    ("timm", "swin_tiny_patch4_window7_224", None),
    ("torchvision", "mobilenet_v3_small", None),
    ("torchvision", "efficientnet_b0", None),
    ("torchvision", "wide_resnet50_2", None),
    ("open_clip", "ViT-B-32", None),
    ("open_clip", "RN50", None),
    ("open_clip", "ViT-B-16-SigLIP", None),
)


def _export(built: Built, folder: Path, precision: Precision = "fp32") -> Manifest:
    return save_encoder_engine(
        built.encoder,
        folder,
        name=built.wanted.network,
        outputs=built.encoder.outputs,
        provenance=provenance_of(built, None, None),
        image_size=built.image_size,
        size_multiple=built.size_multiple,
        precision=precision,
        recipe=recipe_of(built.wanted),
    )


def _check_engine(family: str, network: str, folder: Path, image_size: int | None = None) -> Manifest:
    """Exports with random weights; ONNX Runtime agrees, or the export itself fails; the box loads it."""
    built = build(Wanted(family=family, network=network, seed=0, image_size=image_size), None)
    manifest = _export(built, folder)
    del built
    gc.collect()
    with load_encoder(folder, device="cpu").runner as runner:
        assert set(runner.outputs) == set(manifest.outputs)
    size = sum((folder / file).stat().st_size for file in manifest.files)
    print(f"{network}: {size / 2**20:.1f} MiB, {manifest.gflop:.1f} GFLOP, parity {manifest.parity}")
    shutil.rmtree(folder)
    return manifest


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("network", PAPER)
def test_the_papers_backbones_become_engines(network: str, tmp_path: Path) -> None:
    """Each of the ten goes through export and ONNX Runtime and gives there what PyTorch gives."""
    manifest = _check_engine("torchvision", network, tmp_path / "engine")
    assert len(manifest.files) == (3 if network in ("vit_l_16", "vit_l_32", "vit_h_14") else 2)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("family", "network", "image_size"), OTHERS)
def test_other_backbones_become_engines(
    family: str, network: str, image_size: int | None, tmp_path: Path
) -> None:
    """So do networks of every family and kind: convolutional, transformers of both kinds, CLIP."""
    _check_engine(family, network, tmp_path / "engine", image_size)


def test_resnet18_becomes_an_engine_that_the_box_takes(tmp_path: Path) -> None:
    """Embedding, maps and sizes of the engine are those of the network, whose head is gone."""
    built = build(Wanted(family="torchvision", network="resnet18", seed=3, image_size=64), None)
    manifest = _export(built, tmp_path)
    assert manifest.outputs == {
        "embedding": (512,),
        "map_s8": (128, 8, 8),
        "map_s16": (256, 4, 4),
        "map_s32": (512, 2, 2),
    }
    assert manifest.parameters == 11_176_512  # published 11,689,512 less the classifier's 513,000
    assert manifest.licence == RANDOM
    assert load_manifest(tmp_path) == manifest
    encoder = load_encoder(tmp_path, device="cpu")
    assert encoder.strides == {8: "map_s8", 16: "map_s16", 32: "map_s32"}
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    found = encoder.infer(pictures)
    original = rebuild(manifest.recipe, None)["encoder"]
    image = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2) / np.float32(255), dtype=np.float32)
    for name, expected in run_torch(original.module, {"image": image}, original.outputs).items():
        np.testing.assert_allclose(found[name], expected, atol=1e-4 * np.abs(expected).max(), err_msg=name)


def test_half_precision_stays_near(tmp_path: Path) -> None:
    """An engine in fp16 is half as large and within the tolerance of fp16, not of fp32."""
    built = build(Wanted(family="torchvision", network="squeezenet1_1", seed=0, image_size=64), None)
    whole, half = (_export(built, tmp_path / p, p) for p in ("fp32", "fp16"))
    sizes = [(tmp_path / p / "encoder.onnx").stat().st_size for p in ("fp32", "fp16")]
    assert sizes[1] < 0.6 * sizes[0]
    assert whole.parity["embedding"] < half.parity["embedding"]
    assert half.precision == "fp16" and half.golden.rtol == 10 * TOLERANCES["fp16"]


@pytest.mark.parametrize("network", ["resnet18", "mobilenet_v2", "squeezenet1_1", "efficientnet_b0"])
def test_the_head_of_torchvision_on_our_embedding_gives_its_logits(network: str) -> None:
    """The embedding is what the published classifier reads."""
    built = build(Wanted(family="torchvision", network=network, seed=0), None)
    model = torchvision.models.get_model(network, weights=None).eval()
    model.load_state_dict(built.encoder.body.model.state_dict(), strict=False)
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    normalised = (image - built.encoder.mean) / built.encoder.std
    with torch.no_grad():
        embedding, *_ = built.encoder(image)
        if network == "squeezenet1_1":  # its classifier reads the map, not the pooled features
            expected = model.features(normalised).mean(dim=(2, 3))
            assert torch.allclose(embedding, expected, atol=1e-5)
            return
        head = model.fc if network == "resnet18" else model.classifier
        assert torch.allclose(head(embedding), model(normalised), atol=1e-4)


def test_the_class_token_of_a_vision_transformer_is_the_embedding() -> None:
    """vit_b_32 at a small size: its head on our embedding gives its logits; maps are patches."""
    wanted = Wanted(family="torchvision", network="vit_b_32", seed=0, image_size=64, layers=(6, 12))
    built = build(wanted, None)
    model = torchvision.models.vit_b_32(weights=None, image_size=64).eval()
    model.load_state_dict(built.encoder.body.model.state_dict(), strict=False)
    torch.nn.init.normal_(model.heads.head.weight, generator=torch.Generator().manual_seed(2))
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    normalised = (image - built.encoder.mean) / built.encoder.std
    tokens: list[torch.Tensor] = []
    model.encoder.layers[5].register_forward_hook(lambda *call: tokens.append(call[2]))
    with torch.no_grad():
        embedding, map_s32 = built.encoder(image)
        assert torch.allclose(model.heads(embedding), model(normalised), atol=1e-3)
        # [N, 1 + 4, D] without the class token -> [N, D, 2, 2]
        sixth = model.encoder.ln(tokens[0])[:, 1:].transpose(1, 2).reshape(2, 768, 2, 2)
    assert built.size_multiple == 0 and map_s32.shape == (2, 2 * 768, 2, 2)
    assert torch.allclose(map_s32[:, :768], sixth, atol=1e-4)


def test_timms_features_are_timms() -> None:
    """The embedding equals the network's own output without head, the map its last tokens after the norm."""
    built = build(Wanted(family="timm", network="vit_tiny_patch16_224", seed=1, image_size=64), None)
    model = built.encoder.body.model
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        normalised = (image - built.encoder.mean) / built.encoder.std
        embedding, map_s16 = built.encoder(image)
        tokens = model.forward_features(normalised)
        assert torch.allclose(embedding, model(normalised), atol=1e-5)
    assert torch.allclose(map_s16.flatten(2).transpose(1, 2), tokens[:, 1:], atol=1e-5)
    assert built.wanted.mean == (0.5, 0.5, 0.5)  # of this network's published weights


def test_a_towers_embedding_is_the_towers() -> None:
    """An open_clip image tower's embedding is what `encode_image` gives."""
    built = build(Wanted(family="open_clip", network="ViT-S-32-alt", seed=0), None)
    image = torch.rand(1, 3, built.image_size, built.image_size)
    with torch.no_grad():
        embedding, map_s32 = built.encoder(image)
        expected = built.encoder.body.visual((image - built.encoder.mean) / built.encoder.std)
    assert torch.allclose(embedding, expected, atol=1e-5)
    assert map_s32.shape[2:] == (7, 7)


@pytest.mark.parametrize(
    ("size", "side", "stride"), [(28, 224, 8), (27, 224, 8), (16, 224, 16), (37, 518, 16), (7, 224, 32)]
)
def test_strides_are_the_nearest_power_of_two(size: int, side: int, stride: int) -> None:
    """14-pixel patches go by 16, as the contract of encoder engines says."""
    assert stride_of(size, side) == stride


@pytest.mark.parametrize(
    ("layers", "strides", "expected"),
    [
        ((), (), {8: (3,), 16: (5,)}),
        ((), (4, 8), {4: (1,), 8: (3,)}),
        ((2, 3), (), {8: (2, 3)}),
        ((1, 4, 5), (), {4: (1,), 16: (4, 5)}),
        ((1, 4, 5), (16,), {16: (4, 5)}),
    ],
)
def test_maps_are_the_layers_asked_for(
    layers: Sequence[int], strides: Sequence[int], expected: dict[int, tuple[int, ...]]
) -> None:
    """By default the last layer of each usual stride; layers of one stride share a map."""
    sizes = [(16, 16), (8, 8), (8, 8), (4, 4), (4, 4)]
    assert choose_maps(sizes, 64, layers=layers, strides=strides, where="net") == expected


@pytest.mark.parametrize(
    ("layers", "strides", "said"),
    [
        ((0,), (), "layers 1 to 5"),
        ((6,), (), "layers 1 to 5"),
        ((2, 2), (), "twice"),
        ((), (32,), "stride 4, 8, 16"),
        ((2, 3), (16,), "stride 8"),
    ],
)
def test_layers_that_are_not_there_are_refused(
    layers: Sequence[int], strides: Sequence[int], said: str
) -> None:
    """The message says what there is."""
    sizes = [(16, 16), (8, 8), (8, 8), (4, 4), (4, 4)]
    with pytest.raises(UsageError, match=said):
        choose_maps(sizes, 64, layers=layers, strides=strides, where="net")


def test_layers_of_one_stride_but_two_sizes_are_refused() -> None:
    """Such maps cannot lie side by side."""
    with pytest.raises(UsageError, match="27 x 27, 28 x 28"):
        choose_maps([(28, 28), (27, 27)], 224, layers=(1, 2), where="net")


def test_random_weights_are_those_of_the_seed() -> None:
    """The same seed gives the same network, another another; torch's own generator stays as it was."""
    before = torch.random.get_rng_state()
    states = [
        build(Wanted(family="torchvision", network="resnet18", seed=seed), None).encoder.state_dict()
        for seed in (1, 1, 2)
    ]
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["body.model.conv1.weight"], states[2]["body.model.conv1.weight"])


def test_no_layer_is_silent() -> None:
    """Norms that start at zero and layer scales of 1e-6 get values that tell."""
    model = torch.nn.ParameterDict({
        "scale": torch.full((8,), 1e-6),
        "norm": torch.zeros(8),
        "one": torch.ones(8),
        "drawn": torch.arange(8.0),
    })  # fmt: skip
    enliven(model, 0)
    assert model["scale"].abs().min() > 1e-2 and model["norm"].std() > 0.02 and model["one"].std() > 0.05
    assert torch.equal(model["drawn"], torch.arange(8.0))


def test_recipes_make_the_same_network_again() -> None:
    """A recipe survives JSON's lists and names all that was left to the family."""
    built = build(Wanted(family="timm", network="resnet10t", seed=4, layers=(3, 4)), None)
    wanted = wanted_of(recipe_of(built.wanted))
    assert wanted == built.wanted
    assert wanted.image_size == 192  # published for 176, which 32 does not divide
    assert wanted.strides == (8, 16)
    with pytest.raises(ExportError, match="Export the engine again"):
        wanted_of({"family": "timm"})


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_checkpoint_gives_its_network(suffix: str, tmp_path: Path) -> None:
    """Also with counters of batch norms missing, with a head of any size, and wrapped by a training."""
    model = build(Wanted(family="torchvision", network="resnet18", seed=7), None).encoder.body.model
    state = {k: v.clone() for k, v in model.state_dict().items() if "num_batches" not in k}
    state |= {"fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        wrapped = {f"module.{name}": value for name, value in state.items()}
        torch.save({"state_dict": wrapped, "epoch": 3}, path)
    else:
        save_file({name: value.half() for name, value in state.items()}, path)
    built = build(Wanted(family="torchvision", network="resnet18"), path)
    kept = built.encoder.body.model.state_dict()
    for name, value in state.items():
        if not name.startswith("fc."):
            expected = value.half().float() if suffix == ".safetensors" else value
            assert torch.equal(kept[name], expected), name
    assert not built.converted


def test_old_names_and_other_sizes_of_a_transformer_are_taken(tmp_path: Path) -> None:
    """torchvision's published names are converted; positions are resampled only for an asked-for size."""
    small = Wanted(family="torchvision", network="vit_b_32", seed=7, image_size=64)
    state = dict(build(small, None).encoder.body.model.state_dict())
    old = {
        k.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): v for k, v in state.items()
    }
    save_file(old, tmp_path / "old.safetensors")
    wanted = {"family": "torchvision", "network": "vit_b_32"}
    built = build(Wanted(**wanted, image_size=64), tmp_path / "old.safetensors")
    assert built.converted
    assert torch.equal(built.encoder.body.model.encoder.layers[0].mlp[0].weight, old_weight(old))
    larger = build(Wanted(**wanted, image_size=96), tmp_path / "old.safetensors")
    assert larger.encoder.body.model.encoder.pos_embedding.shape == (1, 10, 768)
    with pytest.raises(ExportError, match=r"shape: encoder.pos_embedding is \[1, 5, 768\]") as caught:
        build(Wanted(**wanted), tmp_path / "old.safetensors")
    assert "--image-size" in str(caught.value) and str(caught.value).count("\n") == 1


def old_weight(old: dict[str, torch.Tensor]) -> torch.Tensor:
    return old["encoder.layers.encoder_layer_0.mlp.linear_1.weight"]


def test_dinov2_as_published_fits_timm(tmp_path: Path) -> None:
    """The names of DINOv2's authors, its mask token and its positions for 518 pixels are timm's business."""
    model = timm.create_model("vit_small_patch14_dinov2", num_classes=0)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["mask_token"] = torch.zeros(1, 384)
    save_file(state, tmp_path / "dinov2.safetensors")
    wanted = Wanted(family="timm", network="vit_small_patch14_dinov2", image_size=56)
    built = build(wanted, tmp_path / "dinov2.safetensors")
    assert built.converted and built.encoder.body.model.pos_embed.shape == (1, 17, 384)
    assert torch.equal(built.encoder.body.model.blocks[3].attn.qkv.weight, model.blocks[3].attn.qkv.weight)


def test_a_tower_is_taken_out_of_a_whole_clip(tmp_path: Path) -> None:
    """Of a CLIP's weights those of `visual` are used, the texts' are not in the way."""
    wanted = Wanted(family="open_clip", network="ViT-S-32-alt", seed=5)
    visual = build(wanted, None).encoder.body.visual
    state = {f"visual.{name}": value for name, value in visual.state_dict().items()}
    save_file(state | {"text_projection": torch.zeros(2)}, tmp_path / "clip.safetensors")
    built = build(Wanted(family="open_clip", network="ViT-S-32-alt"), tmp_path / "clip.safetensors")
    assert torch.equal(built.encoder.body.visual.proj, visual.proj)


def test_everything_that_does_not_fit_is_listed() -> None:
    """Missing, unknown, of another shape or type: each in a line; long lists are cut with a count."""
    wanted = {"a": torch.zeros(2), "b": torch.zeros(3), "c": torch.zeros(1)}
    given = {"b": torch.zeros(4), "c": torch.zeros(1, dtype=torch.int64), "d": torch.zeros(5)}
    assert misfits(given, wanted) == [
        "missing: a [2]",
        "unknown: d [5]",
        "shape: b is [4], needs [3]",
        "type: c is torch.int64, needs torch.float32",
    ]
    many = torch.nn.ParameterDict({f"w{i}": torch.zeros(1) for i in range(50)})
    with pytest.raises(ExportError, match="50 tensors do not fit") as caught:
        load_weights(many, {}, where="file")
    lines = str(caught.value).splitlines()
    assert len(lines) == 22 and lines[-1].strip() == "missing: and 30 more"


@pytest.mark.parametrize("content", [b"", b"hello, I am no weights\n", b"PK\x03\x04 cut short"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_files_that_are_no_weights_are_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    """Empty, text and truncated files each give one message with the path."""
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(ExportError) as caught:
        read_state(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    """A pickled module is not unpickled."""
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(ExportError, match="run foreign code"):
        read_state(tmp_path / "module.pth")


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("resnet18", None, "torchvision"),
        ("resnet18", "timm", "timm"),
        ("mobilenet_v2", None, "torchvision"),
        ("vit_small_patch14_dinov2.lvd142m", None, "timm"),
        ("ViT-B-32", None, "open_clip"),
    ],
)
def test_names_find_their_family(name: str, family: str | None, expected: str) -> None:
    """The paper's names mean torchvision's networks; others mean the one family that has them."""
    assert family_of(name, family) == expected


@pytest.mark.parametrize(
    ("name", "family", "said"),
    [
        ("efficientnet_b0", None, "torchvision and timm each have one"),
        ("convnext_base", None, "timm and open_clip each have one"),
        ("resnet-18", None, "Did you mean resnet18"),
        ("vit_b16", "torchvision", "Did you mean vit_b_16"),
        ("ViT-B-32", "timm", "timm has no such network"),
        ("hf-hub:someone/some-model", None, "no such network"),
        ("qqqqqqqqqqqqqqq", None, "--list shows"),
    ],
)
def test_names_that_nobody_has_are_refused(name: str, family: str | None, said: str) -> None:
    """With names like it; where several families have it, with the options that decide."""
    with pytest.raises(UsageError, match=said):
        family_of(name, family)
