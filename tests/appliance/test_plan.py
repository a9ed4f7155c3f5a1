"""appliance/plan.py: what a calibration will do, before it does anything."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from detector_fakes import FakeEncoder

from appliance import plan as plan_module
from appliance.errors import ConfigurationError, ImagesError
from appliance.generators import GENERATORS
from appliance.plan import Engines, Plan, candidates_of, load_engines, make_plan, prompts_of
from appliance.progress import Silent
from appliance.prompt_texts import SLUGS
from appliance.settings import (
    DetectorsSettings,
    EncoderSettings,
    EnginesSettings,
    PromptSettings,
    StationSettings,
    ThresholdSettings,
    default_settings,
)
from appliance.stages import StageClock
from engines.packs import EMBEDDED
from tests import small_clip
from tests.pictures import write_parts

ENGINES = EnginesSettings(device="cpu", threads=1)


def _station(**changes: Any) -> StationSettings:
    return default_settings().station().model_copy(update=changes)


def _plan(images: Path, station: StationSettings, *, clock: StageClock | None = None) -> Plan:
    return make_plan(images, station, ENGINES, clock or StageClock(), Silent())


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    """Engines that are not asked for anything here."""
    encoder = FakeEncoder()
    encoder.device = "cpu"
    found = Engines(
        unet=SimpleNamespace(size_px=64, device="cpu"),
        encoders=(encoder,),
        problems=("engine left out: a fault",),
        settings=ENGINES,
        threads=1,
    )
    monkeypatch.setattr(plan_module, "load_engines", lambda *arguments: found)
    return found


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan") / "good"
    write_parts(folder, 30, size_px=64)
    return folder


def test_a_plan_knows_who_will_compete_and_on_what(images: Path, engines: Engines) -> None:
    """Candidates of every encoder and without one, generators in their order, photos by their hash."""
    clock = StageClock()
    plan = _plan(images, _station(), clock=clock)
    names = [detector.name for detector in plan.detectors]
    assert "gabor/pooled" in names and "fake/pooled" in names
    assert [workload.name for workload in plan.workloads] == list(GENERATORS)
    assert [photo.sha256 for photo in plan.photos] == sorted(photo.sha256 for photo in plan.photos)
    assert plan.aspect == 1.0 and len(plan.parts) == len(plan.photos) == 30
    assert [row["name"] for row in clock.rows()] == ["load engines", "read photos", "screen photos"]
    assert "engine left out: a fault" in plan.warnings


def test_counts_are_those_of_the_settings(images: Path, engines: Engines) -> None:
    """A generator that is not enabled does not run; units of progress weigh a UNet's work."""
    generators = default_settings().generators
    changed = generators.model_copy(
        update={
            "perlin": generators.perlin.model_copy(update={"enabled": False}),
            "cutpaste": generators.cutpaste.model_copy(update={"count": 11}),
        }
    )
    plan = _plan(images, _station(generators=changed))
    counts = {workload.name: workload.count for workload in plan.workloads}
    assert "perlin" not in counts and counts["cutpaste"] == 11
    units = {workload.name: workload.units for workload in plan.workloads}
    assert units["diffstyle_global"] > units["cutpaste"] == 1.0
    assert plan.units > sum(counts[name] * units[name] for name in counts)


def test_few_photos_all_choose(images: Path, engines: Engines) -> None:
    """Where a certificate would leave too few for the choice, nothing is held out."""
    plan = _plan(images, _station())
    assert plan.held_out == ()


def test_photos_for_the_certificate_are_set_aside(images: Path, engines: Engines) -> None:
    """Where there are enough: in no other role, by the seed, and the choice keeps its minimum."""
    station = _station(threshold=ThresholdSettings(max_false_reject_rate=0.3, confidence=0.9))
    plan = _plan(images, station)
    chosen, held_out = ({photo.sha256 for photo in photos} for photos in (plan.photos, plan.held_out))
    assert len(chosen) >= station.intake.minimum and len(held_out) >= 7
    assert chosen.isdisjoint(held_out)
    assert chosen | held_out == {photo.sha256 for photo in plan.intake.photos}
    assert set(plan.parts).isdisjoint(photo.part for photo in plan.held_out)
    again, other = _plan(images, station), _plan(images, station.model_copy(update={"seed": 1}))
    assert [p.sha256 for p in again.held_out] == [p.sha256 for p in plan.held_out]
    assert [p.sha256 for p in other.held_out] != [p.sha256 for p in plan.held_out]


def test_too_few_photos_stop_the_plan(tmp_path: Path, engines: Engines) -> None:
    """Nine parts are not ten."""
    write_parts(tmp_path / "good", 9, size_px=64)
    with pytest.raises(ImagesError):
        _plan(tmp_path / "good", _station())


def test_a_fallback_that_is_no_candidate_is_a_wrong_setting(images: Path, engines: Engines) -> None:
    """The message lists those there are; one that is there passes."""
    decision = default_settings().decision
    with pytest.raises(
        ConfigurationError, match=r"decision\.fallback: 'best' is not a candidate.*gabor/pooled"
    ):
        _plan(images, _station(decision=decision.model_copy(update={"fallback": "best"})))
    _plan(images, _station(decision=decision.model_copy(update={"fallback": "gabor/pooled"})))


def test_excluding_everything_is_a_wrong_setting(images: Path, engines: Engines) -> None:
    """Patterns leave candidates or the plan is refused."""
    some = _plan(images, _station(detectors=DetectorsSettings(exclude=("*/patches*",))))
    assert all("/patches" not in detector.name for detector in some.detectors)
    with pytest.raises(ConfigurationError, match=r"detectors\.exclude leaves no candidate"):
        _plan(images, _station(detectors=DetectorsSettings(exclude=("*",))))


def test_an_own_encoder_joins_the_installed_ones() -> None:
    """From its file alone, under the name that the settings give it."""
    path = sorted(EMBEDDED.glob("*/encoder.onnx"))[0]
    station = _station(
        detectors=DetectorsSettings(encoders=(EncoderSettings(name="mine", path=path, image_size=64),))
    )
    engines = load_engines(station, ENGINES)
    assert engines.encoders[-1].name == "mine" and engines.encoders[-1].spec.pack == "own"
    assert len(engines.encoders) == 1 + len(list(EMBEDDED.glob("*/encoder.onnx")))
    assert (engines.device, engines.threads, engines.problems) == ("cpu", 1, ())


@pytest.mark.parametrize("what", ["encoder", "folder"])
def test_an_engine_that_is_not_there_is_a_wrong_setting(tmp_path: Path, what: str) -> None:
    """The settings named it: exit code 2 with the path."""
    gone = tmp_path / "gone"
    encoders = (EncoderSettings(name="mine", path=gone),) if what == "encoder" else ()
    settings = ENGINES.model_copy(update={"folders": (gone,) if what == "folder" else ()})
    with pytest.raises(ConfigurationError, match="gone") as error:
        load_engines(_station(detectors=DetectorsSettings(encoders=encoders)), settings)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("devices", "said"), [(("cuda", "cuda"), "cuda"), (("cuda", "cpu"), "cpu"), (("cpu", "cpu"), "cpu")]
)
def test_the_device_is_cuda_only_if_all_of_it_is(devices: tuple[str, str], said: str) -> None:
    """One model on the CPU makes it a slow run, and the result says so."""
    unet, encoder = (SimpleNamespace(device=device) for device in devices)
    engines = Engines(unet=unet, encoders=(encoder,), problems=(), settings=ENGINES, threads=1)
    assert engines.device == said


@pytest.mark.parametrize(
    ("asked", "used", "has_gpu", "tells"),
    [
        ("auto", "cpu", True, True),
        ("auto", "cpu", False, False),
        ("auto", "cuda", True, False),
        ("cpu", "cpu", True, False),
    ],
)
def test_a_gpu_that_is_not_used_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, used: str, has_gpu: bool, tells: bool
) -> None:
    """Only where there is one, it may be used, and it is not."""
    driver = tmp_path / "version"
    if has_gpu:
        driver.write_text("driver")
    monkeypatch.setattr(plan_module, "NVIDIA_DRIVER", driver)
    settings, model = EnginesSettings(device=asked), SimpleNamespace(device=used)
    engines = Engines(unet=model, encoders=(model,), problems=(), settings=settings, threads=1)
    assert (engines.fallback is not None) == tells


@pytest.mark.parametrize(
    ("rungs", "said"),
    [
        (("tensorrt", "tensorrt"), "tensorrt"),
        (("tensorrt", "cuda"), "cuda"),
        (("cpu", "tensorrt"), "cpu"),
    ],
)
def test_the_rung_is_the_lowest_in_use(rungs: tuple[str, str], said: str) -> None:
    """One model on a lower rung holds the others up, and the result says so."""
    unet, encoder = (SimpleNamespace(rung=rung) for rung in rungs)
    engines = Engines(unet=unet, encoders=(encoder,), problems=(), settings=ENGINES, threads=1)
    assert engines.rung == said


def test_a_rung_that_did_not_hold_is_loud(
    images: Path, engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU it is the banner's reason, driver or not; on CUDA a warning."""
    monkeypatch.setattr(plan_module, "NVIDIA_DRIVER", tmp_path / "none")
    for device, is_banner in (("cpu", True), ("cuda", False)):
        fallen = dataclasses.replace(
            engines,
            unet=SimpleNamespace(size_px=64, device=device),
            encoders=(),
            settings=EnginesSettings(device="auto"),
            fallen=("tensorrt: the plan is truncated",),
        )
        assert ("the plan is truncated" in (fallen.fallback or "")) == is_banner
        monkeypatch.setattr(plan_module, "load_engines", lambda *arguments, found=fallen: found)
        assert any("the plan is truncated" in said for said in _plan(images, _station()).warnings)


OWN = (
    PromptSettings(name="scratched", normal="a photo of a {}", abnormal="a photo of a scratched {}"),
    PromptSettings(name="any", normal="a new {}, a {}", abnormal="dirt"),
)


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnginesSettings:
    """Settings that name a tiny CLIP, on a box with the package `tokenizers`."""
    monkeypatch.setitem(sys.modules, "tokenizers", small_clip.tokenizers_package())
    return ENGINES.model_copy(update={"folders": (small_clip.save_clip(tmp_path / "clip"),)})


def test_prompts_speak_of_the_stations_part() -> None:
    """The ten and the own ones, the part's name in its place."""
    station = _station(part_name="daisy", part_noun="flower", detectors=DetectorsSettings(prompts=OWN))
    first, *_, scratched, dirt = found = prompts_of(station)
    assert [prompt.slug for prompt in found] == [*SLUGS, "scratched", "any"]
    assert (first.normal, first.abnormal) == ("a photo of a daisy flower", "a photo of some flower")
    assert (scratched.normal, scratched.abnormal) == ("a photo of a daisy", "a photo of a scratched daisy")
    assert (dirt.normal, dirt.abnormal) == ("a new daisy, a daisy", "dirt")


def test_prompts_are_candidates_where_there_is_a_clip(clip: EnginesSettings) -> None:
    """The ten without being named, and the station's own."""
    station = _station(detectors=DetectorsSettings(prompts=OWN))
    found = candidates_of(load_engines(station, clip), station)
    prompts = [detector for detector in found.detectors if detector.kind == "prompt"]
    assert [detector.name for detector in prompts] == [
        f"{small_clip.NAME}/prompt_{slug}" for slug in (*SLUGS, "scratched", "any")
    ]
    assert found.problems == ()


def test_without_tokenizers_the_ten_are_left_out(
    clip: EnginesSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warning says what is missing and how to get it; excluded, there is none."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    station = _station()
    found = candidates_of(load_engines(station, clip), station)
    assert not any(detector.kind == "prompt" for detector in found.detectors)
    assert f"{small_clip.NAME}/pooled" in [detector.name for detector in found.detectors]
    (problem,) = found.problems
    assert "pip install tokenizers" in problem and "detectors.exclude" in problem
    station = _station(detectors=DetectorsSettings(exclude=("*/prompt_*",)))
    assert candidates_of(load_engines(station, clip), station).problems == ()


@pytest.mark.parametrize("lacks", ["tokenizers", "text engine", "clip"])
def test_an_own_prompt_that_cannot_be_used_is_a_wrong_setting(
    clip: EnginesSettings, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    """Exit code 2 with what it needs and what was found wrong, whatever is missing; unless it is excluded."""
    station = _station(detectors=DetectorsSettings(prompts=OWN))
    if lacks == "tokenizers":
        monkeypatch.setitem(sys.modules, "tokenizers", None)
    elif lacks == "text engine":
        (clip.folders[0] / "text" / "tokenizer.json").write_text("another")
    else:
        clip = ENGINES
    engines = load_engines(station, clip)
    with pytest.raises(ConfigurationError) as error:
        candidates_of(engines, station)
    first, *rest = error.value.problems
    assert first.startswith("detectors.prompts: scratched cannot be used.") and "clip" in first
    assert len(rest) == (lacks != "clip") and all("tokenizer" in problem for problem in rest)
    assert error.value.exit_code == 2
    excluded = DetectorsSettings(prompts=OWN, exclude=("*/prompt_*",))
    candidates_of(engines, _station(detectors=excluded))


def test_every_engine_says_why_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text encoders too: what a GPU would not run is never silent."""
    unet, encoder, text = (SimpleNamespace(fallen=(said,)) for said in ("unet", "encoder", "text"))
    found = SimpleNamespace(unet=unet, encoders=(encoder,), texts=(text,), problems=())
    monkeypatch.setattr(plan_module, "load_installed", lambda *arguments, **options: found)
    assert load_engines(_station(), ENGINES).fallen == ("unet", "encoder", "text")


def test_parts_are_numbered_as_the_photos(images: Path, engines: Engines) -> None:
    """A row each, in the photos' order."""
    plan = _plan(images, _station())
    assert plan.parts.dtype == np.int64
    assert plan.parts.tolist() == [photo.part for photo in plan.photos]
