"""A CLIP by hand: two engines of one space, three numbers a picture and three a text, and a tokenizer.

A picture's embedding is its mean colour. A text's is its tokens, which `count_tokens` makes.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from engines.manifest import Golden, Manifest, file_sha256, save_manifest
from engines.text import TOKENIZER_FILE
from tests import onnx_files as onnx

NAME = "clip-colours"
SPACE = "colours/sha256:0"
SIDE = 32
WIDTH = 3


def count_tokens(text: str) -> list[int]:
    """[3] counts of letters: enough to tell texts apart, and without regard to capitals, as CLIP is."""
    low = text.lower()
    return [len(low), 1 + 5 * sum(map(low.count, "aeiou")), 1 + 7 * low.count("o")]


def tokenizers_package() -> ModuleType:
    """Stands in for the package `tokenizers` in `sys.modules`."""
    tokenizer = SimpleNamespace(encode=lambda text: SimpleNamespace(ids=count_tokens(text)))
    package = ModuleType("tokenizers")
    package.Tokenizer = SimpleNamespace(from_file=lambda path: tokenizer)  # type: ignore[attr-defined]
    package.__version__ = "0.0"  # type: ignore[attr-defined]
    return package


def save_clip(folder: Path, *, name: str = NAME, space: str = SPACE) -> Path:
    """`folder`/image and `folder`/text, as `goodparts-export clip` leaves them."""
    save_image_engine(folder / "image", name=name, space=space)
    save_text_engine(folder / "text", name=f"{name}-text", space=space)
    return folder


def save_image_engine(folder: Path, *, name: str = NAME, space: str = SPACE) -> Path:
    graph = onnx.model(
        onnx.average_vector("embedding"),
        inputs={"image": onnx.PICTURE},
        outputs={"embedding": (onnx.FLOAT, ("N", WIDTH))},
    )
    picture = np.random.default_rng(0).random((1, 3, SIDE, SIDE), dtype=np.float32)
    golden = {"encoder/in/image": picture, "encoder/out/embedding": picture.mean(axis=(2, 3))[0]}
    return _save(folder, "encoder", graph, golden, name=name, space=space, image_size=SIDE, size_multiple=0)


def save_text_engine(folder: Path, *, name: str = f"{NAME}-text", space: str = SPACE) -> Path:
    nodes = [
        onnx.node("Shape", ["tokens"], ["shape"]),
        onnx.node("ConstantOfShape", ["shape"], ["zeros"]),
        onnx.node("CastLike", ["tokens", "zeros"], ["embedding"]),
    ]
    graph = onnx.model(
        nodes,
        inputs={"tokens": (onnx.INT64, ("N", WIDTH))},
        outputs={"embedding": (onnx.FLOAT, ("N", WIDTH))},
    )
    tokens = np.arange(1, WIDTH + 1)[None]
    golden = {"text/in/tokens": tokens, "text/out/embedding": tokens[0].astype(np.float32)}
    folder.mkdir(parents=True)
    (folder / TOKENIZER_FILE).write_text("counts")
    return _save(folder, "text", graph, golden, name=name, space=space, image_size=0)


def _save(
    folder: Path, kind: Any, graph: bytes, golden: dict[str, Any], *, name: str, space: str, **sizes: int
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{kind}.onnx").write_bytes(graph)
    np.savez(folder / "golden.npz", **golden)
    manifest = Manifest(
        name=name,
        kind=kind,
        pack="full",
        graphs={kind: f"{kind}.onnx"},
        files={path.name: file_sha256(path) for path in folder.iterdir()},
        outputs={"embedding": (WIDTH,)},
        precision="fp32",
        parameters=0,
        gflop=0.001,
        licence="none",
        source="written by hand",
        source_sha256="0" * 64,
        exporter_version="none",
        space=space,
        golden=Golden(file="golden.npz", atol=1e-5, rtol=0.0),
        **sizes,
    )
    save_manifest(manifest, folder)
    return folder
