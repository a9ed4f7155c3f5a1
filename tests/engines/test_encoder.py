"""engines/encoder.py: pictures in, one embedding and maps by stride out, whoever exported the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from embedded_pack import SMALLEST, UNET, copy_of, each_encoder
from hypothesis import given
from hypothesis import strategies as st

from engines.encoder import Encoder, EncoderSpec, load_encoder, load_foreign_encoder
from engines.errors import EngineError
from engines.manifest import engine_hash, file_sha256, load_manifest
from tests import onnx_files as onnx

MAP: onnx.Tensor = (onnx.FLOAT, ("N", 3, "h", "w"))
VECTOR: onnx.Tensor = (onnx.FLOAT, ("N", 3))


def _pictures(count: int, height: int = 64, width: int = 96, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def _foreign(
    tmp_path: Path,
    nodes: Sequence[bytes],
    outputs: Mapping[str, onnx.Tensor],
    *,
    image: onnx.Tensor = onnx.PICTURE,
    image_size: int = 64,
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Encoder:
    path = tmp_path / "own.onnx"
    path.write_bytes(onnx.model(nodes, inputs={"image": image}, outputs=outputs))
    return load_foreign_encoder(
        path, name="own", image_size=image_size, mean=mean, std=std, device="cpu", threads=1
    )


def _cells(pictures: np.ndarray, stride: int) -> np.ndarray:
    """[N, H, W, 3] -> [N, 3, H / stride, W / stride] means of cells, in [0, 1]."""
    n, h, w, _ = pictures.shape
    cells = (pictures / 255).reshape(n, h // stride, stride, w // stride, stride, 3).mean(axis=(2, 4))
    return cells.transpose(0, 3, 1, 2)


@each_encoder
def test_outputs_are_those_of_the_manifest(folder: Path) -> None:
    """At the size it was made for, an encoder gives the maps and the embedding that its manifest promises."""
    manifest = load_manifest(folder)
    encoder = load_encoder(folder, device="cpu", threads=1)
    side = manifest.image_size
    values = encoder.infer(_pictures(1, side, side))
    assert {name: value.shape[1:] for name, value in values.items()} == manifest.outputs
    assert encoder.spec.sha256 == engine_hash(manifest)
    assert encoder.widths == {name: shape[0] for name, shape in manifest.outputs.items()}
    assert {8, 16} <= set(encoder.strides)
    assert all(manifest.outputs[name][1] == side // stride for stride, name in encoder.strides.items())
    assert list(encoder.strides) == sorted(encoder.strides)


@each_encoder
def test_a_picture_does_not_see_its_neighbours(folder: Path) -> None:
    """One by one or together, bit for bit the same: scores must not depend on how photos are batched."""
    encoder = load_encoder(folder, device="cpu", threads=1)
    pictures = _pictures(5)
    together = encoder.infer(pictures)
    for row in range(5):
        alone = encoder.infer(pictures[row : row + 1])
        for name, value in together.items():
            np.testing.assert_array_equal(alone[name][0], value[row])


def test_a_fixed_batch_is_filled_and_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the batch of a GPU every pass has the same size, and the padding is cut off again."""
    encoder = load_encoder(SMALLEST, device="cpu", threads=1)
    pictures = _pictures(11)
    one_by_one = encoder.infer(pictures)
    monkeypatch.setattr(encoder, "_batch", 8)
    sizes, infer = [], encoder.runner.infer

    def counted(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        sizes.extend(len(value) for value in inputs.values())
        return infer(inputs)

    monkeypatch.setattr(encoder.runner, "infer", counted)
    values = encoder.infer(pictures)
    assert sizes == [8, 8]
    for name, value in one_by_one.items():
        assert values[name].shape == value.shape
        np.testing.assert_allclose(values[name], value, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def smallest() -> Encoder:
    return load_encoder(SMALLEST, device="cpu", threads=1)


@given(aspect=st.floats(0.01, 100.0))
def test_a_view_has_about_the_area_it_was_made_for(smallest: Encoder, aspect: float) -> None:
    """Sides are multiples of the network's, the area is about image_size², the aspect kept up to 1:4."""
    spec = smallest.spec
    height, width = smallest.view_size(aspect)
    assert height > 0 and width > 0
    assert height % spec.size_multiple == 0 and width % spec.size_multiple == 0
    kept = min(max(aspect, 0.25), 4.0)
    half = spec.size_multiple / 2  # of a side, lost or gained by rounding
    assert abs(width - spec.image_size * math.sqrt(kept)) <= half + 1e-6
    assert abs(height - spec.image_size / math.sqrt(kept)) <= half + 1e-6


@given(aspect=st.floats(0.25, 4.0))
def test_a_turned_part_has_a_turned_view(smallest: Encoder, aspect: float) -> None:
    """A part lying down and the same part standing are shown at the same size, up to a tie of rounding."""
    height, width = smallest.view_size(aspect)
    turned = smallest.view_size(1 / aspect)
    for side, other in ((height, turned[1]), (width, turned[0])):
        assert side == other or abs(side - other) == smallest.spec.size_multiple
    assert (width >= height) == (aspect >= 1) or width == height


def test_a_fixed_network_has_one_view(tmp_path: Path) -> None:
    """A foreign model of fixed size sees every photo squeezed to that size."""
    image = (onnx.FLOAT, ("N", 3, 64, 64))
    encoder = _foreign(tmp_path, [onnx.average_map("map", 8)], {"map": MAP}, image=image)
    assert encoder.spec.size_multiple == 0
    assert {encoder.view_size(aspect) for aspect in (0.3, 1.0, 3.0)} == {(64, 64)}


def test_a_map_is_found_by_its_size(tmp_path: Path) -> None:
    """Without names to go by, strides come of sizes and the pooled deepest map serves as embedding."""
    nodes = [onnx.average_map("deep", 16), onnx.average_map("fine", 8), *onnx.average_vector("logits")]
    encoder = _foreign(tmp_path, nodes, {"deep": MAP, "logits": VECTOR, "fine": MAP})
    assert encoder.strides == {8: "fine", 16: "deep"}
    assert encoder.widths == {"fine": 3, "deep": 3, "embedding": 3}
    pictures = _pictures(2)
    values = encoder.infer(pictures)
    assert set(values) == {"fine", "deep", "embedding"}
    np.testing.assert_allclose(values["fine"], _cells(pictures, 8), rtol=1e-5)
    np.testing.assert_allclose(values["deep"], _cells(pictures, 16), rtol=1e-5)
    np.testing.assert_allclose(values["embedding"], _cells(pictures, 16).mean(axis=(2, 3)), rtol=1e-5)


def test_an_embedding_alone_serves(tmp_path: Path) -> None:
    """A transformer's export often has no map: its embedding is enough."""
    encoder = _foreign(tmp_path, onnx.average_vector("embedding"), {"embedding": VECTOR})
    assert encoder.strides == {} and encoder.widths == {"embedding": 3}
    pictures = _pictures(3)
    values = encoder.infer(pictures)
    np.testing.assert_allclose(values["embedding"], pictures.mean(axis=(1, 2)) / 255, rtol=1e-5)


def test_pictures_are_scaled_as_the_settings_say(tmp_path: Path) -> None:
    """Mean and deviation are those of each channel, of values in [0, 1]."""
    mean, std = (0.5, 0.25, 0.0), (0.5, 0.25, 2.0)
    nodes, outputs = onnx.average_vector("embedding"), {"embedding": VECTOR}
    encoder = _foreign(tmp_path, nodes, outputs, mean=mean, std=std)
    picture = np.full((1, 64, 64, 3), (255, 0, 51), np.uint8)
    np.testing.assert_allclose(encoder.infer(picture)["embedding"], [[1.0, -1.0, 0.1]], rtol=1e-5)


def test_fine_maps_serve_only_where_there_is_nothing_else(tmp_path: Path) -> None:
    """A map of stride 4 is left aside beside one of stride 8, and used when it is alone."""
    nodes = [onnx.average_map("fine", 4), onnx.average_map("map", 8)]
    assert _foreign(tmp_path, nodes, {"fine": MAP, "map": MAP}).strides == {8: "map"}
    assert _foreign(tmp_path, nodes[:1], {"fine": MAP}).strides == {4: "fine"}


def test_an_own_file_behaves_as_the_installed_engine(tmp_path: Path) -> None:
    """An embedded encoder named by its file alone gives the same values; only what is known of it differs."""
    engine = load_encoder(SMALLEST, device="cpu", threads=1)
    path = copy_of(SMALLEST, tmp_path) / "encoder.onnx"
    own = load_foreign_encoder(
        path,
        name="own",
        image_size=engine.spec.image_size,
        mean=engine.spec.mean,
        std=engine.spec.std,
        device="cpu",
        threads=1,
    )
    assert (own.name, own.spec.pack, own.spec.sha256) == ("own", "own", file_sha256(path))
    assert own.strides == engine.strides and own.widths == engine.widths
    assert own.spec.size_multiple == engine.spec.size_multiple
    pictures = _pictures(2)
    for name, value in engine.infer(pictures).items():
        np.testing.assert_array_equal(own.infer(pictures)[name], value)


def test_the_cost_of_an_own_model_is_that_of_its_file(tmp_path: Path) -> None:
    """Twice the side is four times the work; the figure does not come of a clock."""
    nodes, outputs = onnx.average_vector("embedding"), {"embedding": VECTOR}
    small = _foreign(tmp_path, nodes, outputs, image_size=64)
    large = _foreign(tmp_path, nodes, outputs, image_size=128)
    assert large.spec.gflop == pytest.approx(4 * small.spec.gflop)
    assert small.spec.gflop > 0


@pytest.mark.parametrize(
    ("nodes", "outputs", "image", "said"),
    [
        ([onnx.average_map("map", 8)], {"map": MAP}, (onnx.FLOAT, ("N", 3, 32, 32)), "Set image_size"),
        ([onnx.average_map("map", 8)], {"map": MAP}, (onnx.FLOAT, (1, 3, "H", "W")), "dynamic batch"),
        ([onnx.average_map("map", 8)], {"map": MAP}, (onnx.FLOAT16, ("N", 3, "H", "W")), "float16"),
        (onnx.average_vector("logits"), {"logits": VECTOR}, onnx.PICTURE, "no feature map"),
        ([onnx.node("Abs", ["image"], ["v"])], {"v": VECTOR}, VECTOR, r"must be \[N, 3, H, W\]"),
    ],
)
def test_a_model_that_cannot_serve_is_refused(
    tmp_path: Path,
    nodes: Sequence[bytes],
    outputs: Mapping[str, onnx.Tensor],
    image: onnx.Tensor,
    said: str,
) -> None:
    """Another size, a fixed batch, another type or no usable output: an EngineError that says what to do."""
    if image[0] == onnx.FLOAT16:
        outputs = {name: (onnx.FLOAT16, shape) for name, (_, shape) in outputs.items()}
    with pytest.raises(EngineError, match=said) as error:
        _foreign(tmp_path, nodes, outputs, image=image)
    assert str(tmp_path / "own.onnx") in str(error.value)


def test_a_model_of_two_inputs_is_no_encoder(tmp_path: Path) -> None:
    """The message lists the inputs."""
    path = tmp_path / "two.onnx"
    nodes = [onnx.node("Add", ["image", "mask"], ["sum"])]
    inputs = {"image": onnx.PICTURE, "mask": onnx.PICTURE}
    path.write_bytes(onnx.model(nodes, inputs=inputs, outputs={"sum": onnx.PICTURE}))
    with pytest.raises(EngineError, match=r"one image input, this has \['image', 'mask'\]"):
        load_foreign_encoder(path, name="two", image_size=64, device="cpu")


def test_an_own_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The message names the encoder, the path, and where to correct it."""
    with pytest.raises(EngineError, match=r"gone\.onnx: encoder 'own' is not there.*settings"):
        load_foreign_encoder(tmp_path / "gone.onnx", name="own", image_size=64)


def test_an_own_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """A renamed picture is not a network."""
    path = tmp_path / "own.onnx"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(EngineError, match="cannot load it"):
        load_foreign_encoder(path, name="own", image_size=64)


def test_a_unet_is_no_encoder() -> None:
    """An engine of another kind is refused by its manifest."""
    with pytest.raises(EngineError, match="a unet engine, expected an encoder"):
        load_encoder(UNET)


def test_a_damaged_engine_is_refused(tmp_path: Path) -> None:
    """Files are compared with the manifest before they are run."""
    folder = copy_of(SMALLEST, tmp_path)
    (folder / "encoder.onnx").write_bytes(b"")
    with pytest.raises(EngineError, match="its manifest says"):
        load_encoder(folder)


def test_a_spec_is_a_value() -> None:
    """Two specs of the same fields are equal: results are compared by them."""
    fields = {"name": "a", "sha256": "0", "image_size": 64, "size_multiple": 32, "gflop": 1.0, "pack": "own"}
    one, two = (EncoderSpec(**fields, mean=(0.0,) * 3, std=(1.0,) * 3) for _ in range(2))
    assert one == two and hash(one) == hash(two)
