"""The h-space wrapper and the UNet engine exported from it, on a small random network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from diffusers import UNet2DModel  # noqa: E402

from engines.diffusion.injection import slerp as slerp_of_numpy  # noqa: E402
from engines.manifest import Manifest, check_files, load_manifest, subsample  # noqa: E402
from export.embedded.training import fp16_rounded  # noqa: E402
from export.errors import ExportError  # noqa: E402
from export.graphs import run_onnx, run_torch  # noqa: E402
from export.hspace import (  # noqa: E402
    Encoded,
    InjectedUNet,
    PlainUNet,
    alphas_cumprod,
    check_supported,
    h_shape,
    slerp,
)
from export.provenance import Provenance  # noqa: E402
from export.unet_engine import GRAPHS, OUTPUTS, WEIGHTS_FILE, save_unet_engine, unet_inputs  # noqa: E402

ATOL = 1e-4  # fp32 rounding is about 1e-5 here, a wrong layer costs more than 1e-2
PROVENANCE = Provenance(pack="embedded", licence="Apache-2.0", source="random", source_sha256="0" * 64)


def small_unet(*, out_channels: int = 3, sample_size: int = 16) -> UNet2DModel:
    """A random network of the ADM family, with weights that fp16 holds and no zeroed layers."""
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=sample_size,
        out_channels=out_channels,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        downsample_type="resnet",
        upsample_type="resnet",
        attention_head_dim=8,
        norm_num_groups=4,
        attn_norm_num_groups=4,
        resnet_time_scale_shift="scale_shift",
    )
    unet.load_state_dict(fp16_rounded(unet.state_dict()))
    return unet.eval()


@pytest.fixture(scope="module")
def unet() -> UNet2DModel:
    return small_unet()


@pytest.fixture(scope="module")
def engine(unet: UNet2DModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("unet")
    return folder, save_unet_engine(unet, folder, name="small", provenance=PROVENANCE)


def inputs_of(unet: UNet2DModel, role: str, count: int) -> dict[str, np.ndarray]:
    return unet_inputs(unet, count=count, rng=np.random.default_rng(count))[role]


def test_plain_is_the_model_itself(unet: UNet2DModel) -> None:
    """The wrapper's eps is the output of the diffusers model."""
    inputs = inputs_of(unet, "plain", 2)
    found = run_torch(PlainUNet(unet), inputs, OUTPUTS["plain"])
    with torch.no_grad():
        expected = unet(torch.from_numpy(inputs["sample"]), torch.from_numpy(inputs["timestep"])).sample
    np.testing.assert_allclose(found["eps"], expected.numpy(), atol=1e-5)
    assert found["h"].shape == (2, *h_shape(unet, 16))


def test_a_model_of_v_gives_eps() -> None:
    """From the exact v of a noised picture the wrapper's eps is the very noise."""
    unet = small_unet()
    unet.register_to_config(prediction_type="v_prediction")
    wrapper = PlainUNet(unet)
    generator = torch.Generator().manual_seed(0)
    image, noise = (
        torch.randn(2, 3, 16, 16, generator=generator),
        torch.randn(2, 3, 16, 16, generator=generator),
    )
    timestep = torch.tensor([37, 812])
    signal = alphas_cumprod()[timestep].view(-1, 1, 1, 1).float()
    sample = signal.sqrt() * image + (1 - signal).sqrt() * noise
    v = signal.sqrt() * noise - (1 - signal).sqrt() * image
    np.testing.assert_allclose(wrapper.eps(v, sample, timestep).numpy(), noise.numpy(), atol=1e-5)


def test_learned_variance_is_dropped() -> None:
    """Of a model with six output channels the first three are eps."""
    six = small_unet(out_channels=6)
    inputs = inputs_of(six, "plain", 2)
    with torch.no_grad():
        expected = six(torch.from_numpy(inputs["sample"]), torch.from_numpy(inputs["timestep"])).sample[:, :3]
    found = run_torch(PlainUNet(six), inputs, OUTPUTS["plain"])
    np.testing.assert_allclose(found["eps"], expected.numpy(), atol=1e-5)


def test_frequencies_stay_fp32_in_a_half_model() -> None:
    """Only the weights of an fp16 model are fp16: a rounded frequency times a timestep would be far off."""
    assert PlainUNet(small_unet().half()).frequencies.dtype == torch.float32


@pytest.mark.parametrize("role", GRAPHS)
@pytest.mark.parametrize("count", [1, 3])
def test_graphs_repeat_torch_for_any_batch(
    unet: UNet2DModel, engine: tuple[Path, Manifest], role: str, count: int
) -> None:
    """Every output of both graphs agrees with torch, for batches other than the exported one."""
    module = PlainUNet(unet) if role == "plain" else InjectedUNet(unet)
    inputs = inputs_of(unet, role, count)
    expected = run_torch(module, inputs, OUTPUTS[role])
    found = run_onnx(engine[0] / GRAPHS[role], inputs)
    assert set(found) == set(OUTPUTS[role])
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], value, atol=ATOL, err_msg=name)


def test_without_gamma_nothing_is_injected(unet: UNet2DModel, engine: tuple[Path, Manifest]) -> None:
    """gamma 0 and delta_h 0 leave eps as it is."""
    inputs = inputs_of(unet, "injected", 3)
    inputs["gamma"] = np.zeros_like(inputs["gamma"])
    inputs["delta_h"] = np.zeros_like(inputs["delta_h"])
    found = run_onnx(engine[0] / GRAPHS["injected"], inputs)
    np.testing.assert_allclose(found["eps_injected"], found["eps"], atol=1e-5)


def test_full_gamma_decodes_the_content(unet: UNet2DModel, engine: tuple[Path, Manifest]) -> None:
    """gamma 1 and delta_h 0 run the decoder on h_content, with the skips of the sample."""
    inputs = inputs_of(unet, "injected", 2)
    inputs["gamma"] = np.ones_like(inputs["gamma"])
    inputs["delta_h"] = np.zeros_like(inputs["delta_h"])
    found = run_onnx(engine[0] / GRAPHS["injected"], inputs)
    wrapper = PlainUNet(unet)
    with torch.no_grad():
        encoded = wrapper.encode(torch.from_numpy(inputs["sample"]), torch.from_numpy(inputs["timestep"]))
        content = Encoded(torch.from_numpy(inputs["h_content"]), encoded.skips, encoded.emb)
        expected = wrapper.decode(content).numpy()
    np.testing.assert_allclose(found["eps_injected"], expected, atol=ATOL)
    assert np.abs(found["eps_injected"] - found["eps"]).max() > 10 * ATOL


def test_both_graphs_share_half_precision_weights(unet: UNet2DModel, engine: tuple[Path, Manifest]) -> None:
    """The weights lie once, as fp16, in one file that both graphs name."""
    folder, manifest = engine
    size = (folder / WEIGHTS_FILE).stat().st_size
    assert size < 2 * manifest.parameters * 1.2
    for file in GRAPHS.values():
        model = onnx.load(str(folder / file), load_external_data=False)
        places = [
            {entry.key: entry.value for entry in tensor.external_data}
            for tensor in model.graph.initializer
            if tensor.external_data
        ]
        assert {place["location"] for place in places} == {WEIGHTS_FILE}
        assert sum(int(place["length"]) for place in places) > 0.9 * size


def test_manifest_and_golden_describe_the_engine(unet: UNet2DModel, engine: tuple[Path, Manifest]) -> None:
    """The saved manifest reads back, its hashes hold, and the graphs reproduce the golden outputs."""
    folder, manifest = engine
    assert load_manifest(folder) == manifest
    check_files(manifest, folder)
    with np.load(folder / manifest.golden.file) as golden:
        for role, file in GRAPHS.items():
            inputs = {key.split("/")[2]: golden[key] for key in golden.files if key.startswith(f"{role}/in/")}
            found = run_onnx(folder / file, inputs)
            for name in OUTPUTS[role]:
                np.testing.assert_allclose(
                    subsample(found[name]),
                    golden[f"{role}/out/{name}"],
                    atol=manifest.golden.atol,
                    rtol=manifest.golden.rtol,
                )


def both_slerps(h: np.ndarray, content: np.ndarray, gamma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tensors = (torch.from_numpy(value) for value in (h, content, gamma))
    return slerp(*tensors).numpy(), slerp_of_numpy(h, content, gamma)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_the_graphs_slerp_is_numpys(scale: float) -> None:
    """In float32 the way along the sphere is that of the box, for any lengths, with a map of gamma."""
    rng = np.random.default_rng(0)
    h, content = (rng.standard_normal((3, 64, 8, 8), dtype=np.float32) for _ in range(2))
    found, expected = both_slerps(scale * h, 7 * content, rng.random((3, 1, 8, 8), dtype=np.float32))
    np.testing.assert_allclose(found, expected, atol=2e-6 * scale)


@pytest.mark.parametrize("closeness", [0.0, 1e-6, 1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_graphs_slerp_holds_near_parallel(closeness: float, sign: int) -> None:
    """Where the angle nearly vanishes, or nearly is half a turn, it stays finite; small angles agree."""
    rng = np.random.default_rng(1)
    h, other = (rng.standard_normal((2, 64, 8, 8), dtype=np.float32) for _ in range(2))
    content = sign * h + np.float32(closeness) * other
    found, expected = both_slerps(h, content, np.full((2, 1, 8, 8), 0.3, np.float32))
    assert np.isfinite(found).all()
    if sign > 0:  # opposite, every way round is as short, and rounding decides which is taken
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_slerp_of_nothing_is_nothing() -> None:
    """An h or a content of zeros gives no NaN."""
    zero, gamma = np.zeros((1, 4, 2, 2), np.float32), np.full((1, 1, 2, 2), 0.5, np.float32)
    for h, content in ((zero, zero), (zero, zero + 1), (zero + 1, zero)):
        assert np.isfinite(both_slerps(h, content, gamma)[0]).all()


def test_unsupported_models_are_refused_together() -> None:
    """Everything about a UNet2DModel that the wrapper does not repeat stands in one error."""
    unet = small_unet()
    unet.register_to_config(time_embedding_type="fourier", sample_size=(8, 16), prediction_type="sample")
    with pytest.raises(ExportError, match=r"fourier.*sample_size.*'sample'"):
        check_supported(unet)
