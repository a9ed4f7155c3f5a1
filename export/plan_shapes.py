"""Which sizes a TensorRT plan is built for: smallest, usual and largest of every free axis of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import onnx

from engines.encoder import FOREIGN_MULTIPLE
from engines.encoder import GPU_BATCH as ENCODER_BATCH
from engines.manifest import Manifest
from engines.unet import GPU_BATCH as UNET_BATCH
from export.errors import UsageError

FOREIGN_SIDE = 224  # of a picture for a network of which nothing is known


class Span(NamedTuple):
    smallest: int
    usual: int  # what the plan is tuned for
    largest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphInput:
    name: str
    shape: tuple[int | str, ...]  # free axes by name; those without one are INPUT.AXIS


Spans = Mapping[str, Span]  # by axis


def graph_inputs(graph: onnx.GraphProto) -> list[GraphInput]:
    """What the graph takes, its weights left out."""
    weights = {initializer.name for initializer in graph.initializer}
    return [
        GraphInput(
            name=value.name,
            shape=tuple(
                size.dim_value if size.HasField("dim_value") else size.dim_param or f"{value.name}.{axis}"
                for axis, size in enumerate(value.type.tensor_type.shape.dim)
            ),
        )
        for value in graph.input
        if value.name not in weights
    ]


def spans_for(inputs: Sequence[GraphInput], given: Spans, manifest: Manifest | None) -> dict[str, Span]:
    """A span for each free axis: the one given, or what a box asks for. UsageError if one is wanting."""
    free = {axis: place for one in inputs for place, axis in enumerate(one.shape) if isinstance(axis, str)}
    unknown = sorted(set(given) - set(free))
    if unknown:
        raise UsageError(
            f"--shapes {', '.join(unknown)}: the graph has no such free axis; it has "
            f"{', '.join(sorted(free)) or 'none'}."
        )
    pictures = {axis for one in inputs if len(one.shape) == 4 for axis in one.shape[2:]}
    spans = {}
    for axis, place in free.items():
        if axis in given:
            spans[axis] = given[axis]
        elif place == 0:
            spans[axis] = _batches(manifest)
        elif axis in pictures:
            spans[axis] = _sides(manifest)
        else:
            raise UsageError(f"{axis}: a free axis that needs its sizes: --shapes {axis}=MIN,OPT,MAX.")
    return spans


def parse_span(text: str) -> tuple[str, Span]:
    """`N=1,16,64` -> its axis and span; the axis is "" where none is named, as in `1,16,64`. UsageError."""
    axis, _, sizes = text.rpartition("=")
    try:
        smallest, usual, largest = (int(size) for size in sizes.split(","))
    except ValueError as error:
        raise UsageError(
            f"--shapes {text}: give MIN,OPT,MAX or AXIS=MIN,OPT,MAX, such as N=1,16,64."
        ) from error
    if not 1 <= smallest <= usual <= largest:
        raise UsageError(f"--shapes {text}: must rise from 1 or more: MIN ≤ OPT ≤ MAX.")
    return axis, Span(smallest, usual, largest)


def given_spans(texts: Sequence[str], inputs: Sequence[GraphInput]) -> dict[str, Span]:
    """Spans by axis. One without an axis is meant for the first axis of every input."""
    batches = {one.shape[0] for one in inputs if one.shape and isinstance(one.shape[0], str)}
    spans: dict[str, Span] = {}
    for axis, span in map(parse_span, texts):
        if not axis and not batches:
            raise UsageError(
                f"--shapes {','.join(map(str, span))}: the graph's batch is fixed. Leave it out."
            )
        spans |= {axis: span} if axis else {str(batch): span for batch in batches}
    return spans


def shapes_of(one: GraphInput, spans: Spans) -> list[tuple[int, ...]]:
    """The input's smallest, usual and largest shape."""
    return [
        tuple(size if isinstance(size, int) else spans[size][bound] for size in one.shape)
        for bound in range(3)
    ]


def _batches(manifest: Manifest | None) -> Span:
    """From one, as golden outputs are, to the batch that the box always fills up to."""
    batch = UNET_BATCH if manifest is not None and manifest.kind == "unet" else ENCODER_BATCH
    return Span(1, batch, batch)


def _sides(manifest: Manifest | None) -> Span:
    """Height and width of pictures of about side², up to four times as long as wide."""
    side = manifest.image_size if manifest is not None else FOREIGN_SIDE
    multiple = (manifest.size_multiple if manifest is not None else 0) or FOREIGN_MULTIPLE
    return Span(max(multiple, side // 2 // multiple * multiple), side, -(-2 * side // multiple) * multiple)


def external_files(path: Path) -> list[str]:
    """Names of the files that hold the graph's weights, sorted. UsageError if it is no ONNX file."""
    model = load_graph(path)
    tensors = [*model.graph.initializer, *_constants(model.graph)]
    return sorted(
        {
            entry.value
            for tensor in tensors
            if tensor.data_location == onnx.TensorProto.EXTERNAL
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )


def load_graph(path: Path) -> onnx.ModelProto:
    """Without its external weights. UsageError if it is no ONNX file."""
    try:
        return onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf raises several kinds
        raise UsageError(f"--onnx {path}: not an ONNX file ({error}). Export it again.") from error


def _constants(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    return [attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t")]
