"""Which candidates there are."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from detector_fakes import FakeEncoder

import appliance.detectors
from appliance.detectors import installed
from appliance.detectors import installed as public
from appliance.detectors.candidates import ENTRY_POINTS, network_free, wanted_strides
from appliance.errors import DetectorError

FREE = ["gabor/patches", "gabor/pooled", "raw/patches"]


def names(*encoders: FakeEncoder, exclude: tuple[str, ...] = ()) -> list[str]:
    return [detector.name for detector in installed(encoders, exclude=exclude).detectors]


def foreign_detectors(encoders: list[FakeEncoder]) -> list[object]:
    (detector, *_) = network_free()
    detector.name = f"foreign/{len(encoders)}"
    return [detector]


def failing_detectors(encoders: list[FakeEncoder]) -> list[object]:
    raise RuntimeError("licence expired")


def use_entry_points(monkeypatch: pytest.MonkeyPatch, *functions: str) -> None:
    points = [EntryPoint(name=name, value=f"{__name__}:{name}", group=ENTRY_POINTS) for name in functions]
    monkeypatch.setattr("appliance.detectors.candidates.entry_points", lambda *, group: points)


def test_an_encoder_gives_pooled_and_patch_candidates() -> None:
    """Pooled, each of the strides 8 and 16, the two together, coarse cells one by one; no other strides."""
    encoder = FakeEncoder("cnn_small", strides=(4, 8, 16, 32))
    assert names(encoder) == [
        "cnn_small/pooled",
        "cnn_small/patches_s8",
        "cnn_small/patches_s16",
        "cnn_small/patches_s8+s16",
        "cnn_small/cells_s16",
        *FREE,
    ]


@pytest.mark.parametrize(("strides", "neighbourhood"), [((4, 8), 3), ((8, 16), 1)])
def test_cells_are_tried_where_they_differ(strides: tuple[int, ...], neighbourhood: int) -> None:
    """Not of fine maps, nor of encoders whose patches are single cells already."""
    encoder = FakeEncoder(strides=strides, neighbourhood=neighbourhood)
    assert not any("cells" in name for name in names(encoder))


def test_an_encoder_without_maps_gives_one_candidate() -> None:
    """A network with an embedding alone is a pooled candidate."""
    assert names(FakeEncoder(strides=())) == ["fake/pooled", *FREE]


@pytest.mark.parametrize(
    ("strides", "wanted"),
    [
        ((4, 8, 16, 32), (8, 16)),
        ((4, 16), (16,)),
        ((4, 32), (4, 32)),
        ((4,), (4,)),
        ((14,), (14,)),
        ((2, 8, 32), (8, 32)),
        ((), ()),
    ],
)
def test_the_nearest_strides_are_taken(strides: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Those nearest to 8 and to 16 by ratio, each once."""
    assert wanted_strides(strides) == wanted


def test_excluded_patterns_are_left_out() -> None:
    """Names and patterns as of file names leave candidates out."""
    assert names(FakeEncoder(), exclude=("*/pooled", "raw/patches")) == [
        "fake/patches_s8",
        "fake/patches_s16",
        "fake/patches_s8+s16",
        "fake/cells_s16",
        "gabor/patches",
    ]


def test_one_name_for_two_candidates_is_an_error() -> None:
    """Two encoders of one name cannot be told apart in a result."""
    with pytest.raises(DetectorError, match=r"fake/pooled.*different names"):
        installed([FakeEncoder(), FakeEncoder(sha256="a" * 64)])


def test_another_package_installs_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point is called with the encoders, and its candidates come last."""
    use_entry_points(monkeypatch, "foreign_detectors")
    found = installed([FakeEncoder(strides=())])
    assert [detector.name for detector in found.detectors] == ["fake/pooled", *FREE, "foreign/1"]
    assert found.problems == []


@pytest.mark.parametrize("function", ["failing_detectors", "no_such_function"])
def test_a_failing_package_is_named_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """A package that raises, or cannot be loaded, is a problem beside the other candidates."""
    use_entry_points(monkeypatch, function, "foreign_detectors")
    found = installed([])
    assert [detector.name for detector in found.detectors] == [*FREE, "foreign/0"]
    (problem,) = found.problems
    assert isinstance(problem, DetectorError)
    assert function in str(problem)
    assert "Upgrade or remove the package" in str(problem)


def test_the_public_names_are_listed() -> None:
    """`__all__` holds what other packages may use."""
    assert appliance.detectors.__all__ == ["Installed", "installed"]
    assert public is installed
