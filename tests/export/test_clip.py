"""`goodparts-export clip`: two engines of one space, from published weights or a model of one's own."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")

from engines.encoder import load_encoder  # noqa: E402
from engines.golden import check_golden  # noqa: E402
from engines.manifest import check_files, load_manifest  # noqa: E402
from engines.text import OUTPUT, TOKENIZER_FILE, load_text_encoder  # noqa: E402
from export import cli  # noqa: E402
from export.clip import load_clip, rebuild, save_clip  # noqa: E402
from export.clip_model import build_clip, own_model, published_model  # noqa: E402
from export.errors import ExportError, UsageError  # noqa: E402
from export.graphs import run_onnx, run_torch  # noqa: E402
from export.text_engine import GRAPH_FILE, INPUT, PROMPTS  # noqa: E402
from tests.export.tiny_clip import TINY, export_clip, write_config  # noqa: E402
from tests.export.verdicts import accept  # noqa: E402

TINY_RESNET = {**TINY, "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8}}
TINY_CUSTOM = {**TINY, "custom_text": True}
MEAN = np.array((0.48145466, 0.4578275, 0.40821073), dtype=np.float32)  # OpenAI's
STD = np.array((0.26862954, 0.26130258, 0.27577711), dtype=np.float32)


def _network(config: Mapping[str, Any] = TINY) -> Any:
    return build_clip(config, "tiny", seed=1)


def _exported(folder: Path) -> Any:
    """The network behind `engines`."""
    return load_clip(own_model(write_config(folder), "tiny"), checkpoint=None, seed=1).network


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny CLIP with random weights, made by the command."""
    return export_clip(tmp_path_factory.mktemp("clip"))


def test_both_engines_stand_up_to_their_golden_outputs(engines: Path) -> None:
    """Files match their hashes, and ONNX Runtime reproduces what PyTorch computed."""
    for folder, role in ((engines / "image", "encoder"), (engines / "text", "text")):
        manifest = load_manifest(folder)
        check_files(manifest, folder)
        load = load_text_encoder if role == "text" else load_encoder
        check_golden(manifest, folder, role, load(folder, device="cpu", threads=1).runner)
    assert sorted(path.name for path in engines.iterdir()) == ["image", "text"]


def test_both_engines_name_one_space(engines: Path) -> None:
    """The manifests agree in space and weights; other weights are another space."""
    image, text = load_manifest(engines / "image"), load_manifest(engines / "text")
    assert image.space == text.space != ""
    assert image.source_sha256 == text.source_sha256
    assert (text.kind, list(text.graphs), text.image_size) == ("text", ["text"], 0)
    assert text.outputs[OUTPUT] == image.outputs["embedding"] == (24,)
    other = load_clip(own_model(write_config(engines.parent), "tiny"), checkpoint=None, seed=2)
    assert other.space != image.space


def test_texts_embed_as_open_clip_embeds_them(engines: Path, tmp_path: Path) -> None:
    """From the text to the embedding, the box gives what open_clip's tokenizer and text tower give."""
    from open_clip.tokenizer import SimpleTokenizer

    with torch.no_grad():
        expected = _exported(tmp_path).encode_text(SimpleTokenizer()(list(PROMPTS))).numpy()
    found = load_text_encoder(engines / "text", device="cpu", threads=1).embed(PROMPTS)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_pictures_embed_as_open_clip_embeds_them(engines: Path, tmp_path: Path) -> None:
    """The engine takes pictures from 0 to 1 and normalises them inside; its map has a cell for each patch."""
    image = np.random.default_rng(0).random((3, 3, 32, 32), dtype=np.float32)
    normalised = (image - MEAN[:, None, None]) / STD[:, None, None]
    with torch.no_grad():
        expected = _exported(tmp_path).encode_image(torch.from_numpy(normalised)).numpy()
    found = run_onnx(engines / "image" / "encoder.onnx", {"image": image})
    np.testing.assert_allclose(found["embedding"], expected, atol=1e-4 * np.abs(expected).max())
    assert [name for name in found if name != "embedding"] == ["map_s4"]
    assert found["map_s4"].shape == (3, 32, 8, 8)


def test_texts_do_not_see_their_neighbours(engines: Path) -> None:
    """Alone or in any batch up to 16, a text has the same embedding, also from the bare graph."""
    encoder = load_text_encoder(engines / "text", device="cpu", threads=1)
    tokens = encoder.tokenize([f"a photo of part number {number}" for number in range(16)])
    alone = np.concatenate(
        [run_onnx(engines / "text" / GRAPH_FILE, {INPUT: row[None]})[OUTPUT] for row in tokens]
    )
    for count in range(1, 17):
        found = run_onnx(engines / "text" / GRAPH_FILE, {INPUT: tokens[:count]})[OUTPUT]
        np.testing.assert_allclose(found, alone[:count], atol=1e-5)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3


def test_tokenizer_lies_beside_the_text_engine(engines: Path) -> None:
    """The manifest lists the tokenizer, and tokens have the length that the graph takes."""
    encoder = load_text_encoder(engines / "text", device="cpu", threads=1)
    assert TOKENIZER_FILE in encoder.manifest.files
    assert encoder.tokenize(PROMPTS).shape == (len(PROMPTS), 77)
    assert encoder.runner.inputs == {"tokens": ["N", 77]}


def test_fp16_keeps_the_embeddings(engines: Path, tmp_path: Path) -> None:
    """With fp16 arithmetic files shrink, inputs and outputs keep their types, embeddings their directions."""
    clip = load_clip(own_model(write_config(tmp_path), "tiny"), checkpoint=None, seed=1)
    save_clip(clip, tmp_path / "half", precision="fp16", layers=())
    accept(tmp_path / "half" / "text")
    exact, half = (
        load_text_encoder(path / "text", device="cpu", threads=1) for path in (engines, tmp_path / "half")
    )
    assert half.manifest.precision == "fp16"
    assert half.manifest.space == exact.space
    weights = [(path / "text" / "text.weights").stat().st_size for path in (engines, tmp_path / "half")]
    assert weights[1] < 0.6 * weights[0]
    expected, found = exact.embed(PROMPTS), half.embed(PROMPTS)
    cosine = (expected * found).sum(1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(found, axis=1)
    assert cosine.min() > 0.9999
    assert np.abs(expected - found).max() > 1e-6  # it is another arithmetic


def _as_safetensors(state: Mapping[str, Any], path: Path) -> Path:
    from safetensors.torch import save_file

    save_file({name: value.contiguous().clone() for name, value in state.items()}, path)
    return path


def _as_training_state(state: Mapping[str, Any], path: Path) -> Path:
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}, path)
    return path


def _as_openai_archive(state: Mapping[str, Any], path: Path) -> Path:
    """A TorchScript archive with weights in half and OpenAI's notes beside them."""
    root = torch.nn.Module()
    notes = {"input_resolution": torch.tensor(32), "context_length": torch.tensor(77)}
    for name, value in {**state, **notes}.items():
        *folders, last = name.split(".")
        module = root
        for folder in folders:
            if not hasattr(module, folder):
                module.add_module(folder, torch.nn.Module())
            module = getattr(module, folder)
        module.register_buffer(last, value.half() if value.is_floating_point() else value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is no longer developed
        torch.jit.script(root).save(str(path))
    return path


WRITERS: Mapping[str, tuple[Callable[[Mapping[str, Any], Path], Path], str]] = {
    "safetensors": (_as_safetensors, "w.safetensors"),
    "training state": (_as_training_state, "w.pt"),
    "archive": (_as_openai_archive, "w.pt"),
}


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("config", [TINY, TINY_CUSTOM, TINY_RESNET], ids=["vit", "custom", "resnet"])
def test_checkpoints_of_every_form_are_read(form: str, config: Mapping[str, Any], tmp_path: Path) -> None:
    """OpenAI's archives, state dicts and training states give the network that they were saved from."""
    write, file = WRITERS[form]
    saved = _network(config)
    path = write(saved.state_dict(), tmp_path / file)
    clip = load_clip(own_model(write_config(tmp_path, config), "tiny"), checkpoint=path, seed=0)
    expected = saved.half().float() if form == "archive" else saved
    tokens = torch.randint(1, 49000, (2, 77), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(clip.network.encode_text(tokens), expected.encode_text(tokens))
    assert not clip.network.training


def test_old_weights_fit_a_custom_text_tower(tmp_path: Path) -> None:
    """Weights that name the text tower's parts at the top, as OpenAI's do, serve models with `text.` too."""
    path = _as_safetensors(_network(TINY).state_dict(), tmp_path / "w.safetensors")
    clip = load_clip(own_model(write_config(tmp_path, TINY_CUSTOM), "tiny"), checkpoint=path, seed=0)
    assert torch.equal(clip.network.text.token_embedding.weight, _network(TINY).token_embedding.weight)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    """One error lists missing and unknown tensors and other shapes."""
    state = dict(_network().state_dict())
    state["strange"] = torch.zeros(3)
    state["text_projection"] = torch.zeros(16, 25)
    del state["ln_final.bias"]
    path = _as_safetensors(state, tmp_path / "w.safetensors")
    with pytest.raises(ExportError) as refused:
        load_clip(own_model(write_config(tmp_path), "tiny"), checkpoint=path, seed=0)
    for part in ("strange", "text_projection", "[16, 25]", "[16, 24]", "ln_final.bias", "--model-config"):
        assert part in str(refused.value)


@pytest.mark.parametrize("folder", ["image", "text"])
def test_recipe_builds_the_network_again(folder: str, engines: Path) -> None:
    """With random weights the manifest's recipe alone gives what the golden outputs were made with."""
    manifest = load_manifest(engines / folder)
    ((role, original),) = rebuild(manifest.recipe, None).items()
    assert role in manifest.graphs
    assert original.outputs == tuple(manifest.outputs)
    with np.load(engines / folder / "golden.npz") as golden:
        inputs = {name.split("/")[-1]: golden[name] for name in golden.files if "/in/" in name}
        found = run_torch(original.module, inputs, original.outputs)
        np.testing.assert_allclose(found["embedding"].ravel(), golden[f"{role}/out/embedding"], atol=1e-5)


def test_recipe_of_a_checkpoint_needs_it(tmp_path: Path) -> None:
    """A recipe of published weights gives the network only with their file."""
    path = _as_safetensors(_network().state_dict(), tmp_path / "w.safetensors")
    clip = load_clip(own_model(write_config(tmp_path), "tiny"), checkpoint=path, seed=0)
    recipe = json.loads(json.dumps(clip.recipe("text")))
    with pytest.raises(UsageError, match="--checkpoint"):
        rebuild(recipe, None)
    module = rebuild(recipe, path)["text"].module
    assert torch.equal(module.clip.text_projection, _network().text_projection)


@pytest.mark.parametrize(
    ("name", "tag", "quick"),
    [
        ("ViT-B-16", "openai", True),
        ("ViT-B/16", None, True),
        ("ViT-B-16-quickgelu", "openai", True),
        ("ViT-B-16", "laion2b_s34b_b88k", False),
        ("ViT-B-16", "own", False),
        ("ViT-B-16-quickgelu", "own", True),
        ("RN50", "openai", True),
        ("ViT-H-14", None, False),
    ],
)
def test_the_weights_decide_the_activation(name: str, tag: str | None, quick: bool) -> None:
    """OpenAI's weights get the quick GELU whatever the model is called; others what they were made with."""
    assert bool(published_model(name, tag).config.get("quick_gelu", False)) is quick


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ViT-B-16-SigLIP", "SigLIP"),
        ("ViT-B-16-SigLIP2-256", "SigLIP"),
        ("coca_ViT-B-32", "CoCa"),
        ("xlm-roberta-base-ViT-B-32", "xlm-roberta-base"),
        ("ViT-L-14-CLIPA", "bert-base-uncased"),
        ("ViT-B-15", "does not know"),
        ("hf-hub:laion/some-model", "does not know"),
    ],
)
def test_other_tokenizers_are_refused_by_name(name: str, reason: str) -> None:
    """Models that CLIP's tokenizer does not serve are refused with the reason, and nothing is looked up."""
    with pytest.raises(UsageError, match=reason) as refused:
        published_model(name, None)
    assert name.split(":")[0] in str(refused.value)


def _with(section: str, **values: Any) -> dict[str, Any]:
    return {**TINY, section: {**TINY[section], **values}}


BAD: Mapping[str, tuple[list[str], str]] = {
    "no weights": ([], "--random-weights"),
    "both weights": (["--checkpoint", "tiny.json", "--random-weights"], "contradict"),
    "no file": (["--checkpoint", "nothing.pt"], "no such file"),
    "a folder": (["--checkpoint", "."], "is a folder"),
    "no tag": (["--checkpoint", "tiny.json"], "--pretrained TAG"),
    "unknown tag": (["--checkpoint", "tiny.json", "--pretrained", "nosuch"], "laion2b_s34b_b88k"),
    "tag of own config": (
        ["--model-config", "tiny.json", "--random-weights", "--pretrained", "openai"], "Leave one out",
    ),
    "no config": (["--model-config", "nothing.json", "--random-weights"], "nothing.json"),
    "empty config": (["--model-config", "empty.json", "--random-weights"], "vision_cfg"),
    "unknown setting": (["--model-config", "unknown.json", "--random-weights"], "layerz"),
    "heads that do not divide": (["--model-config", "heads.json", "--random-weights"], "divisible"),
    "short context": (["--model-config", "context.json", "--random-weights"], "context_length 64"),
    "unknown layer": (["--model-config", "tiny.json", "--random-weights", "--layers", "3"], "1 to 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_usage_ends_with_one_message(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 2, the message says what is wrong, and nothing is written."""
    configs = {
        "tiny": TINY,
        "empty": {},
        "unknown": _with("vision_cfg", layerz=3),
        "heads": _with("text_cfg", heads=3),
        "context": _with("text_cfg", context_length=64),
    }
    for name, config in configs.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    arguments, said = BAD[case]
    assert cli.main(["clip", *arguments, "--out", "out"]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert sorted(tmp_path.iterdir()) == before


def test_an_archive_is_openais(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another tag for an archive is refused, and so is a truncated one."""
    path = _as_openai_archive(_network().state_dict(), tmp_path / "w.pt")
    arguments = ["clip", "--checkpoint", str(path), "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--pretrained", "laion2b_s34b_b88k"]) == 2
    assert "archive of OpenAI" in capsys.readouterr().err
    assert cli.main(arguments) == 1  # the weights of the tiny network are none of ViT-B-16
    assert "ViT-B-16" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:-100])
    assert cli.main([*arguments, "--pretrained", "openai"]) == 1
    assert "cut short" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_random_branches_are_not_silent(tmp_path: Path) -> None:
    """With random weights each block of a ResNet tells in the embedding: parity sees one that is lost."""
    clip = load_clip(own_model(write_config(tmp_path, TINY_RESNET), "tiny"), checkpoint=None, seed=0)
    visual = clip.network.visual
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = visual(image)
        visual.layer3[0].bn3.weight.zero_()
        without = visual(image)
    assert not visual.training
    assert (whole - without).abs().max() > 1e-2 * whole.abs().max()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["ViT-B-16", "RN50"])
def test_published_architectures_export(name: str, tmp_path: Path) -> None:
    """At full size with random weights both towers agree with PyTorch within 1e-4 of their largest value."""
    assert cli.main(["clip", name, "--random-weights", "--out", str(tmp_path / "out")]) == 0
    for folder, role in (("image", "encoder"), ("text", "text")):
        manifest = load_manifest(tmp_path / "out" / folder)
        with np.load(tmp_path / "out" / folder / "golden.npz") as golden:
            largest = float(np.abs(golden[f"{role}/out/embedding"]).max())
        assert manifest.parity["embedding"] < 1e-4 * largest
        load = load_text_encoder if role == "text" else load_encoder
        runner = load(tmp_path / "out" / folder, device="cpu").runner
        check_golden(manifest, tmp_path / "out" / folder, role, runner)
