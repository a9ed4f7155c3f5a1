"""engines/text.py: texts in, embeddings out, on a box with or without the `tokenizers` package."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_gpu import FakeTensorRT, write_plan

from engines import ladder
from engines.errors import EngineError
from engines.manifest import Golden, Manifest, file_sha256, save_manifest
from engines.text import GPU_BATCH, TOKENIZER_FILE, TextEncoder, load_text_encoder, prepared
from tests import onnx_files as onnx

CONTEXT = 5
FILES = {"text": "text.onnx", "tokenizer": TOKENIZER_FILE, "golden": "golden.npz"}


class Letters:
    """Stands in for `tokenizers.Tokenizer`: a token for each letter."""

    @classmethod
    def from_file(cls, path: str) -> Letters:
        if Path(path).read_text() != "letters":
            raise Exception("expected value at line 1 column 1")  # as the package does
        return cls()

    def encode(self, text: str) -> Any:
        return SimpleNamespace(ids=([ord(letter) for letter in text] + [0] * CONTEXT)[:CONTEXT])


@pytest.fixture
def tokenizers(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("tokenizers")
    package.Tokenizer, package.__version__ = Letters, "0.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tokenizers", package)


def _graph(*, context: int | str = CONTEXT, name: str = "tokens") -> bytes:
    """Its embedding of a text is the tokens themselves."""
    nodes = [
        onnx.node("Shape", [name], ["shape"]),
        onnx.node("ConstantOfShape", ["shape"], ["zeros"]),
        onnx.node("CastLike", [name, "zeros"], ["embedding"]),
    ]
    tokens: onnx.Tensor = (onnx.INT64, ("N", context))
    outputs: dict[str, onnx.Tensor] = {"embedding": (onnx.FLOAT, ("N", context))}
    return onnx.model(nodes, inputs={name: tokens}, outputs=outputs)


def _save(folder: Path, *, graph: bytes | None = None, tokenizer: str = "letters", **changes: Any) -> Path:
    (folder / FILES["text"]).write_bytes(_graph() if graph is None else graph)
    (folder / FILES["tokenizer"]).write_text(tokenizer)
    tokens = np.arange(1, CONTEXT + 1)[None]
    np.savez(folder / FILES["golden"], **{"text/in/tokens": tokens, "text/out/embedding": tokens[0] * 1.0})
    values: dict[str, Any] = {
        "name": "letters",
        "kind": "text",
        "pack": "full",
        "graphs": {"text": FILES["text"]},
        "files": {file: file_sha256(folder / file) for file in FILES.values()},
        "image_size": 0,
        "outputs": {"embedding": (CONTEXT,)},
        "precision": "fp32",
        "parameters": 0,
        "gflop": 0.0,
        "licence": "none",
        "source": "drawn by hand",
        "source_sha256": "0" * 64,
        "exporter_version": "none",
        "space": "letters/sha256:0",
        "golden": Golden(file=FILES["golden"], atol=0.0, rtol=0.0),
        **changes,
    }
    save_manifest(Manifest(**values), folder)
    return folder


def _load(folder: Path) -> TextEncoder:
    return load_text_encoder(folder, device="cpu", threads=1)


@pytest.mark.usefixtures("tokenizers")
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 17])
def test_every_text_gets_its_embedding(count: int, batch: int, tmp_path: Path) -> None:
    """Whatever their number, texts come back in order, one row each, as fp32; in the batches of a GPU too."""
    texts = [chr(ord("a") + number) * 2 for number in range(count)]
    encoder = _load(_save(tmp_path))
    assert encoder._batch == 1  # of a CPU
    encoder._batch = batch
    tokens, embeddings = encoder.tokenize(texts), encoder.embed(texts)
    expected = [[ord(text[0]), ord(text[0]), 0, 0, 0] for text in texts]
    assert tokens.dtype == np.int64 and embeddings.dtype == np.float32
    assert tokens.shape == embeddings.shape == (count, CONTEXT)
    assert tokens.tolist() == expected
    assert embeddings.tolist() == expected


@pytest.mark.usefixtures("tokenizers")
def test_the_encoder_knows_its_space(tmp_path: Path) -> None:
    """Name and space are the manifest's; the hash is the engine's."""
    encoder = _load(_save(tmp_path))
    assert (encoder.name, encoder.space, encoder.context) == ("letters", "letters/sha256:0", CONTEXT)
    assert len(encoder.sha256) == 64


@pytest.mark.usefixtures("tokenizers")
def test_a_single_text_is_no_list(tmp_path: Path) -> None:
    """One text given for a list would be read letter by letter: it is refused."""
    with pytest.raises(AssertionError, match="list of texts"):
        _load(_save(tmp_path)).embed("gear")


def test_without_the_package_only_texts_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine loads without `tokenizers`; the first text says what to install."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    encoder = _load(_save(tmp_path))
    with pytest.raises(EngineError, match=r"tokenizer\.json.*package `tokenizers`.*pip install tokenizers"):
        encoder.tokenize(["gear"])


@pytest.mark.usefixtures("tokenizers")
def test_a_tokenizer_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """What the package says of a file that is none of its own comes with the file's name."""
    encoder = _load(_save(tmp_path, tokenizer="{}"))
    with pytest.raises(EngineError, match=r"tokenizer\.json.*expected value at line 1"):
        encoder.tokenize(["gear"])


@pytest.mark.usefixtures("tokenizers")
def test_a_tokenizer_of_another_length_is_refused(tmp_path: Path) -> None:
    """Tokens that the graph does not take are an error of the engine, with both lengths."""
    encoder = _load(_save(tmp_path, graph=_graph(context=7)))
    with pytest.raises(EngineError, match="gives 5 tokens for a text, the engine takes 7"):
        encoder.tokenize(["gear"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"kind": "encoder", "graphs": {"encoder": "text.onnx"}},
            "a encoder engine, expected a text encoder",
        ),
        ({"graph": _graph(context="T")}, "fixed length"),
        ({"graph": _graph(name="ids")}, r"\['ids'\]"),
    ],
)
def test_other_engines_are_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    """An engine that takes no tokens, or any number of them, is no text encoder."""
    with pytest.raises(EngineError, match=said):
        _load(_save(tmp_path, **change))


def test_the_tokenizer_belongs_to_the_engine(tmp_path: Path) -> None:
    """Without its hash in the manifest, or with another hash, the engine is refused."""
    folder = _save(tmp_path)
    files = {file: file_sha256(folder / file) for file in FILES.values() if file != TOKENIZER_FILE}
    with pytest.raises(EngineError, match=r"lists no tokenizer\.json"):
        _load(_save(tmp_path, files=files))
    _save(tmp_path)
    (folder / TOKENIZER_FILE).write_text("Letters")
    with pytest.raises(EngineError, match=r"tokenizer\.json: sha256"):
        _load(folder)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one, and ONNX Runtime has no CUDA, on whatever machine this runs."""
    monkeypatch.setattr(ladder, "has_cuda", lambda: False)
    monkeypatch.setattr(ladder, "has_driver", lambda: True)


@pytest.mark.usefixtures("tokenizers", "driver", "trt")
def test_texts_take_the_ladder_too(tmp_path: Path) -> None:
    """A plan that is proven serves, with the batch of a GPU and the embeddings of the CPU."""
    folder = _save(tmp_path)
    write_plan(folder / FILES["text"])
    fast, slow = load_text_encoder(folder, threads=1), _load(folder)
    assert (fast.rung, fast.device, fast.fallen, fast._batch) == ("tensorrt", "cuda", (), GPU_BATCH)
    assert (slow.rung, slow.device, slow.fallen) == ("cpu", "cpu", ())
    texts = ["gear", "flower", "bird"] * 3
    np.testing.assert_array_equal(fast.embed(texts), slow.embed(texts))


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"factor": 2.0}, "embedding differs from the original"),
        ({"factor": -1.0, "first_row": GPU_BATCH - 1}, "embedding of a whole batch"),
    ],
    ids=["always", "in a batch alone"],
)
def test_a_plan_that_embeds_wrongly_gives_way(
    tmp_path: Path, trt: FakeTensorRT, fault: dict[str, Any], said: str
) -> None:
    """The CPU serves, one sentence says why, and the GPU's memory is given back."""
    folder = _save(tmp_path)
    write_plan(folder / FILES["text"], **fault)
    encoder = load_text_encoder(folder, threads=1)
    assert encoder.rung == "cpu" and len(encoder.fallen) == 1
    assert encoder.fallen[0].startswith("tensorrt: ") and said in encoder.fallen[0]
    assert trt.cuda.allocated == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("R&D", "R&D"),
        ("R&amp;D", "R&D"),
        ("&amp;amp;amp;amp;lt;", "<"),  # to the end
        ("<b> &amp;amp;amp;lt;", "<b> &amp;lt;"),  # twice only
        ("&#233;", "é"),
        ("\ud83d\ude00", "😀"),  # one character that came as two halves
        ("a\udce9b", "a\ufffdb"),  # the trace of a byte that is not UTF-8
        ("", ""),
    ],
)
def test_texts_are_prepared_for_the_tokenizer(text: str, expected: str) -> None:
    """Entities of HTML are resolved, and no lone surrogate is left, which no tokenizer takes."""
    assert prepared(text) == expected
