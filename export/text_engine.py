"""The text tower of a CLIP as a text engine: one graph, the tokenizer, golden outputs, a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from engines.manifest import Golden, Manifest, file_sha256, save_manifest
from engines.text import INPUT, OUTPUT, TOKENIZER_FILE
from export.clip_tokenizer import build_tokenizer
from export.encoder_engine import TOLERANCES, checked_error, plain_attention
from export.golden import FILE_NAME as GOLDEN_FILE
from export.golden import Example, save_golden
from export.graphs import gflop, onnx_from_torch, run_onnx, run_torch
from export.half_storage import halve_weights, share_weights
from export.precision import Precision, fp16_graph
from export.provenance import Provenance, exporter_version
from export.steps import step

GRAPH_FILE = "text.onnx"
WEIGHTS_FILE = "text.weights"
OUTPUTS = (OUTPUT,)
GOLDEN_PROMPT = "a photo of a small metal gear for inspection"
PROMPTS = (
    "a photo of something",
    "a photo of a gear",
    "",
    "a close-up photo of a Schraube M8×1.25, 40 mm — geprüft",
    "a blurry photo of some flower",
    "a photo of a printed circuit board " * 12,  # longer than the tower reads
    "ネジの写真",
)
PARITY_BATCHES = (1, 3, 16)


class TextTower(nn.Module):
    """`tokens` [N, 77] int64 -> (`embedding` [N, D],), not normalised, as CLIP's `encode_text` gives it."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, tokens: Tensor) -> tuple[Tensor]:
        return (self.clip.encode_text(tokens),)  # type: ignore[operator] # it is a method, not a module

    def parameter_count(self) -> int:
        """Of the text tower; the image tower hangs on the same model."""
        return sum(value.numel() for name, value in self.clip.named_parameters() if not _of_image(name))


def token_batch(tokenizer: Tokenizer, count: int) -> npt.NDArray[np.int64]:
    """Tokens [count, 77] of PROMPTS, over and over."""
    rows = [tokenizer.encode(PROMPTS[i % len(PROMPTS)]).ids for i in range(count)]
    return np.asarray(rows, dtype=np.int64)


def onnx_from_text(
    tower: nn.Module, tokens: npt.NDArray[np.int64], *, scratch: Path | None = None
) -> onnx.ModelProto:
    """The graph, for any batch of as many tokens as `tokens` [N, 77] has."""
    examples = {INPUT: torch.from_numpy(tokens)}
    return onnx_from_torch(tower, examples, OUTPUTS, dynamic={INPUT: {0: "N"}}, scratch=scratch)


def save_text_engine(
    tower: TextTower,
    folder: Path,
    *,
    name: str,
    space: str,
    provenance: Provenance,
    recipe: Mapping[str, Any],
    precision: Precision = "fp32",
) -> Manifest:
    """Writes the engine into `folder`: graph, weights, tokenizer, golden outputs, manifest.

    ExportError if the graph does not compute what the tower computes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tower = tower.eval()
    tokenizer = build_tokenizer()
    tokenizer.save(str(folder / TOKENIZER_FILE), pretty=False)
    inputs = {INPUT: np.asarray([tokenizer.encode(GOLDEN_PROMPT).ids], dtype=np.int64)}
    with plain_attention(), step(f"{name}: writing ONNX in {precision}"):
        _save_graph(tower, tokenizer, folder, precision)
        golden = run_torch(tower, inputs, OUTPUTS)
        save_golden({"text": Example(inputs=inputs, outputs=golden)}, folder)
        cost = gflop(tower, [torch.from_numpy(inputs[INPUT])])
    with plain_attention(), step(f"{name}: comparing with PyTorch"):
        parity = text_parity(tower, folder, tokenizer, precision)
    embedding, tolerance = golden[OUTPUT], TOLERANCES[precision]
    manifest = Manifest(
        name=name,
        kind="text",
        pack=provenance.pack,
        graphs={"text": GRAPH_FILE},
        files={
            file: file_sha256(folder / file)
            for file in (GRAPH_FILE, WEIGHTS_FILE, TOKENIZER_FILE, GOLDEN_FILE)
        },
        image_size=0,
        outputs={OUTPUT: embedding.shape[1:]},
        precision=precision,
        parameters=tower.parameter_count(),
        gflop=round(cost, 4),
        licence=provenance.licence,
        source=provenance.source,
        source_sha256=provenance.source_sha256,
        exporter_version=exporter_version(),
        training=provenance.training,
        space=space,
        recipe=recipe,
        parity=parity,
        golden=Golden(file=GOLDEN_FILE, atol=tolerance * float(np.abs(embedding).max()), rtol=10 * tolerance),
    )
    save_manifest(manifest, folder)
    return manifest


def text_parity(
    tower: nn.Module, folder: Path, tokenizer: Tokenizer, precision: Precision = "fp32"
) -> dict[str, float]:
    """Largest difference between torch and ONNX Runtime over batches of several sizes, by output.

    ExportError if it is larger than the precision explains.
    """
    worst = 0.0
    for count in PARITY_BATCHES:
        inputs = {INPUT: token_batch(tokenizer, count)}
        expected = run_torch(tower, inputs, OUTPUTS)[OUTPUT]
        found = run_onnx(folder / GRAPH_FILE, inputs, threads=0)[OUTPUT]
        worst = max(worst, checked_error(OUTPUT, expected, found, precision))
    return {OUTPUT: worst}


def _save_graph(tower: nn.Module, tokenizer: Tokenizer, folder: Path, precision: Precision) -> None:
    model = onnx_from_text(tower, token_batch(tokenizer, 2), scratch=folder)
    if precision == "fp16":
        model = fp16_graph(model)
    else:
        halve_weights(model)  # published weights often are in fp16
    share_weights({GRAPH_FILE: model}, folder, file=WEIGHTS_FILE)


def _of_image(name: str) -> bool:
    return name.startswith("visual.") or name in ("logit_scale", "logit_bias")
