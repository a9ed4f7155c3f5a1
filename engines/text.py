"""CLIP's text encoder as an engine: texts in, embeddings out, comparable with the pictures of its space.

The tokenizer lies beside the engine as `tokenizer.json` and is read by the `tokenizers` package when the
first text comes: a box that uses no texts needs no such package. Embeddings are not normalised, neither here
nor by the image engine.
"""

from __future__ import annotations

import html
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.golden import check_golden
from engines.ladder import climb
from engines.manifest import Manifest, check_files, engine_hash, load_manifest
from engines.rank_check import check_batch
from engines.runner import Device, Runner
from engines.verified import check_verified

TOKENIZER_FILE = "tokenizer.json"
INPUT, OUTPUT = "tokens", "embedding"
GPU_BATCH = 8


class TextEncoder:
    """A text encoder on one rung of the ladder, with its tokenizer. `fallen`: why it is on no better rung."""

    def __init__(self, folder: Path, manifest: Manifest, runner: Runner) -> None:
        """EngineError if the graph takes no tokens, or any number of them."""
        self.manifest = manifest
        self.sha256 = engine_hash(manifest)
        self.fallen: tuple[str, ...] = ()
        self.runner = runner
        self.device, self.rung = runner.device, runner.rung
        # A fixed batch, so that a text's embedding does not depend on how many came with it.
        self._batch = GPU_BATCH if self.device == "cuda" else 1
        self.context = _context(folder, runner)
        self._tokenizer_path = folder / TOKENIZER_FILE
        self._tokenizer: Any = None

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def space(self) -> str:
        """Embeddings can be compared with those of an image engine whose manifest names the same space."""
        return self.manifest.space

    def tokenize(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """-> ids [N, context]: start, the text's, end, zeros. A text that is too long loses its end.

        EngineError where the `tokenizers` package is not installed or the file is none of its own.
        """
        assert not isinstance(texts, str), "a list of texts, not one text"
        if self._tokenizer is None:
            self._tokenizer = _load_tokenizer(self._tokenizer_path)
        rows = [self._tokenizer.encode(prepared(text)).ids for text in texts]
        wrong = next((len(row) for row in rows if len(row) != self.context), None)
        if wrong is not None:
            raise EngineError(
                f"{self._tokenizer_path}: gives {wrong} tokens for a text, the engine takes {self.context}. "
                "Export the engine again."
            )
        return np.asarray(rows, dtype=np.int64).reshape(len(rows), self.context)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """-> embeddings [N, D], not normalised."""
        tokens = self.tokenize(texts)
        width = self.manifest.outputs[OUTPUT][0]
        parts = [
            self._run(tokens[start : start + self._batch]) for start in range(0, len(tokens), self._batch)
        ]
        return np.concatenate([np.empty((0, width), np.float32), *parts])

    def _run(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        index = np.minimum(np.arange(self._batch), len(tokens) - 1)
        return self.runner.infer({INPUT: tokens[index]}, outputs=[OUTPUT])[OUTPUT][: len(tokens)]


def load_text_encoder(folder: Path, *, device: Device = "auto", threads: int = 0) -> TextEncoder:
    """An exported text encoder on the best rung that holds; on a GPU it has been proven.

    EngineError where files and manifest differ, it is another kind, or no rung holds.
    """
    manifest = load_manifest(folder)
    if manifest.kind != "text":
        raise EngineError(f"{folder}: a {manifest.kind} engine, expected a text encoder.")
    if TOKENIZER_FILE not in manifest.files:
        raise EngineError(f"{folder}: its manifest lists no {TOKENIZER_FILE}. Export the engine again.")
    check_verified(manifest, folder)
    check_files(manifest, folder)

    def make(runners: Mapping[str, Runner]) -> TextEncoder:
        return TextEncoder(folder, manifest, runners["text"])

    def prove(encoder: TextEncoder) -> None:
        check_golden(manifest, folder, "text", encoder.runner)
        check_batch(manifest, folder, "text", encoder.runner, outputs=[OUTPUT], count=GPU_BATCH)

    graphs = {"text": folder / manifest.graphs["text"]}
    encoder, fallen = climb(graphs, manifest.files, device=device, threads=threads, make=make, prove=prove)
    encoder.fallen = fallen
    return encoder


def prepared(text: str) -> str:
    """The text as the tokenizer takes it: entities of HTML resolved, no lone surrogates.

    open_clip resolves entities until none is left, but only twice in a text with a "<", which may be HTML.
    """
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    rounds = 2 if "<" in text else len(text)
    for _ in range(rounds):
        resolved = html.unescape(text)
        if resolved == text:
            break
        text = resolved
    return text


def _context(folder: Path, runner: Runner) -> int:
    if set(runner.inputs) != {INPUT} or OUTPUT not in runner.outputs:
        raise EngineError(
            f"{folder}: a text encoder has the input {INPUT} and the output {OUTPUT}, this has "
            f"{sorted(runner.inputs)} and {sorted(runner.outputs)}. Export the engine again."
        )
    context = runner.inputs[INPUT][-1]
    if not isinstance(context, int):
        raise EngineError(f"{folder}: {INPUT} must have a fixed length, its shape is {runner.inputs[INPUT]}.")
    return context


def _load_tokenizer(path: Path) -> Any:
    try:
        package = importlib.import_module("tokenizers")
    except ImportError as error:
        raise EngineError(
            f"{path}: texts need the package `tokenizers`, which is not installed here. "
            "Install it (pip install tokenizers), or use no text prompts."
        ) from error
    try:
        return package.Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises bare exceptions
        raise EngineError(
            f"{path}: the package tokenizers {package.__version__} cannot read it: {error}. "
            "Install the engine again, or a newer release of the package."
        ) from error
