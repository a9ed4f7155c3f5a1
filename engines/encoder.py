"""Image encoders as engines: pictures in, one embedding and feature maps by stride out.

Any ONNX file that takes one image tensor serves. Of a foreign model every 4-D output is a feature map (its
stride is the nearest power of two of the size ratio), and where there is no `embedding` the pooled deepest
map is one. Other outputs, such as logits, are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.golden import check_golden
from engines.ladder import Runners, climb
from engines.manifest import check_files, engine_hash, file_sha256, load_manifest
from engines.onnxrt.runner import OnnxRunner
from engines.rank_check import check_rank
from engines.runner import Arrays, Device, Runner, check_names
from engines.verified import check_verified

GPU_BATCH = 8
FOREIGN_MULTIPLE = 32  # what convolutional networks with five halvings need


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """What is known of an encoder before it runs."""

    name: str
    sha256: str
    image_size: int  # side in pixels of a square picture that it was made for
    size_multiple: int  # height and width are multiples of this; 0: fixed at image_size
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    gflop: float  # a pass for one picture of image_size; of a foreign model an estimate from its file's size
    pack: str  # "embedded", "full", or "own" when the settings name its file
    neighbourhood: int = 3  # cells a side that patch features are averaged over: 1 or 3
    space: str = ""  # texts embedded into the same space can be compared with its embeddings; "": none can


class Encoder:
    """An encoder on one rung of the ladder.

    `strides` maps each feature map's stride to the name of the output, ascending; `widths` maps the names of
    `embedding` and of the maps to their channels. `fallen`: why it is on no better rung, a sentence each.
    """

    def __init__(self, runner: Runner, spec: EncoderSpec, path: Path) -> None:
        """`path`: its graph, for messages. EngineError if it is no encoder."""
        self.spec = spec
        self.fallen: tuple[str, ...] = ()
        self._mean = np.asarray(spec.mean, dtype=np.float32)
        self._std = np.asarray(spec.std, dtype=np.float32)
        self.runner = runner
        self.device, self.rung = runner.device, runner.rung
        # A fixed batch, so that a picture's features do not depend on how many came with it; on a CPU of one,
        # since a bigger one saves nothing there and costs a single photo its padding.
        self._batch = GPU_BATCH if self.device == "cuda" else 1
        if len(self.runner.inputs) != 1:
            raise EngineError(
                f"{path}: an encoder has one image input, this has {sorted(self.runner.inputs)}."
            )
        ((self._input, shape),) = self.runner.inputs.items()
        if len(shape) != 4:
            raise EngineError(f"{path}: input {self._input} must be [N, 3, H, W], it is {shape}.")
        self.strides, self.widths = self._probe(path)

    @property
    def name(self) -> str:
        return self.spec.name

    def view_size(self, aspect: float) -> tuple[int, int]:
        """(height, width) at which a station's photos of this width/height ratio are shown to the encoder.

        About image_size² pixels in all, the aspect kept where the network allows: squeezing a long part to a
        square throws away detail along its length.
        """
        multiple, side = self.spec.size_multiple, self.spec.image_size
        if multiple == 0:
            return side, side
        root = math.sqrt(min(max(aspect, 0.25), 4.0))
        height, width = (max(1, round(length / multiple)) * multiple for length in (side / root, side * root))
        return height, width

    def infer(self, pictures: npt.NDArray[np.uint8]) -> Arrays:
        """`pictures` [N, H, W, 3] RGB of a size that `view_size` gave -> `embedding` [N, D] and maps
        [N, D, h, w] under their outputs' names.
        """
        parts = [
            self._run(pictures[start : start + self._batch]) for start in range(0, len(pictures), self._batch)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.widths}

    def _run(self, pictures: npt.NDArray[np.uint8]) -> Arrays:
        index = np.minimum(np.arange(self._batch), len(pictures) - 1)
        image = pictures[index].astype(np.float32) / 255.0
        image = (image - self._mean) / self._std
        values = self.runner.infer({self._input: np.ascontiguousarray(image.transpose(0, 3, 1, 2))})
        return {name: value[: len(pictures)] for name, value in self._with_embedding(values).items()}

    def _with_embedding(self, values: Arrays) -> Arrays:
        kept = {name: values[name] for name in self.strides.values()}
        if "embedding" in values:
            return {**kept, "embedding": values["embedding"]}
        return {**kept, "embedding": _pooled(kept[self.strides[max(self.strides)]])}

    def _probe(self, path: Path) -> tuple[dict[int, str], dict[str, int]]:
        side = self.spec.image_size
        try:
            values = self.runner.infer({self._input: np.zeros((2, 3, side, side), np.float32)})
        except EngineError as error:
            raise EngineError(
                f"{error} Set image_size to what the model takes, and export it with a dynamic batch."
            ) from error
        strides: dict[int, str] = {}
        for name, value in values.items():
            if value.ndim == 4 and min(value.shape[2:]) > 1:
                strides.setdefault(2 ** round(math.log2(side / value.shape[2])), name)
        # Maps finer than stride 8 are large and hold edges only; they serve where there is nothing else.
        strides = {stride: name for stride, name in strides.items() if stride >= 8} or strides
        if not strides and "embedding" not in values:
            raise EngineError(
                f"{path}: outputs {[f'{n} {list(v.shape)}' for n, v in values.items()]} hold no feature map "
                "(4-D) and no `embedding`. Export the model with one of them."
            )
        strides = dict(sorted(strides.items()))
        names = [*strides.values()]
        widths = {name: values[name].shape[1] for name in names}
        widths["embedding"] = values["embedding"].shape[1] if "embedding" in values else widths[names[-1]]
        return strides, widths


def load_encoder(folder: Path, *, device: Device = "auto", threads: int = 0) -> Encoder:
    """An exported encoder with its manifest, on the best rung that holds; on a GPU it has been proven.

    EngineError where files and manifest differ, or no rung holds.
    """
    manifest = load_manifest(folder)
    if manifest.kind != "encoder":
        raise EngineError(f"{folder}: a {manifest.kind} engine, expected an encoder.")
    check_verified(manifest, folder)
    check_files(manifest, folder)
    spec = EncoderSpec(
        name=manifest.name,
        sha256=engine_hash(manifest),
        image_size=manifest.image_size,
        size_multiple=manifest.size_multiple,
        mean=manifest.mean,
        std=manifest.std,
        gflop=manifest.gflop,
        pack=manifest.pack,
        neighbourhood=manifest.neighbourhood,
        space=manifest.space,
    )

    def agree(encoder: Encoder) -> None:
        check_golden(manifest, folder, "encoder", encoder.runner)

    return _climb(
        folder / manifest.graphs["encoder"],
        spec,
        device=device,
        threads=threads,
        files=manifest.files,
        promised=list(manifest.outputs),
        agree=agree,
    )


def load_foreign_encoder(
    path: Path,
    *,
    name: str,
    image_size: int,
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    device: Device = "auto",
    threads: int = 0,
) -> Encoder:
    """An ONNX file without a manifest, which the settings name. It has no golden outputs."""
    if not path.is_file():
        raise EngineError(f"{path}: encoder {name!r} is not there. Correct its path in the settings.")
    dynamic = _is_dynamic(path)
    spec = EncoderSpec(
        name=name,
        sha256=file_sha256(path),
        image_size=image_size,
        size_multiple=FOREIGN_MULTIPLE if dynamic else 0,
        mean=mean,
        std=std,
        gflop=_estimated_gflop(path.stat().st_size, image_size),
        pack="own",
    )
    return _climb(path, spec, device=device, threads=threads)


def _climb(
    path: Path,
    spec: EncoderSpec,
    *,
    device: Device,
    threads: int,
    files: Mapping[str, str] | None = None,
    promised: Sequence[str] = (),
    agree: Callable[[Encoder], None] | None = None,
) -> Encoder:
    """files, promised, agree: of an engine with a manifest its files' hashes, its outputs, and the proof that
    it computes what the original did."""

    def make(runners: Runners) -> Encoder:
        runner = runners["encoder"]
        check_names(path, found=[*runner.outputs, "embedding"], promised=promised)
        return Encoder(runner, spec, path)

    def prove(encoder: Encoder) -> None:
        if agree is not None:
            agree(encoder)
        with OnnxRunner(path, device="cpu", threads=threads) as runner:
            check_rank(encoder, Encoder(runner, spec, path), where=path)

    encoder, fallen = climb({"encoder": path}, files, device=device, threads=threads, make=make, prove=prove)
    encoder.fallen = fallen
    return encoder


def _is_dynamic(path: Path) -> bool:
    with OnnxRunner(path, device="cpu", threads=1) as runner:
        shapes = list(runner.inputs.values())
    # Anything but one 4-D input is refused when the encoder is made.
    return all(len(s) == 4 and not isinstance(s[2], int) and not isinstance(s[3], int) for s in shapes)


def _estimated_gflop(size_bytes: int, image_size: int) -> float:
    """Two operations per fp32 weight and position of a stride-32 map, times four for the wider early layers.

    A rough figure, but the same on every machine: the choice between equals must not depend on a clock.
    """
    return 4 * 2 * (size_bytes / 4) * (image_size / 32) ** 2 / 1e9


def _pooled(feature_map: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    pooled: npt.NDArray[np.float32] = feature_map.mean(axis=(2, 3), dtype=np.float32)
    return pooled
