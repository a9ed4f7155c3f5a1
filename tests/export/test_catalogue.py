"""export/catalogue.py: the table agrees with what the libraries that read the files publish."""

from __future__ import annotations

import json
import re

import open_clip
import pytest
import timm
import torchvision

from export import cli
from export.catalogue import CATALOGUE, Weights
from export.catalogue_table import table

TORCHVISION = [weights for weights in CATALOGUE if "download.pytorch.org" in weights.url]
BACKBONES = {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152"}
BACKBONES |= {"vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"}


def _by_name(name: str) -> Weights:
    (found,) = (weights for weights in CATALOGUE if weights.name == name)
    return found


def test_the_papers_backbones_are_there() -> None:
    """All ten, and each name once."""
    assert {weights.name for weights in TORCHVISION} == BACKBONES
    assert len({weights.name for weights in CATALOGUE}) == len(CATALOGUE)
    assert len({weights.file for weights in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("weights", TORCHVISION, ids=lambda weights: weights.name)
def test_torchvision_publishes_the_same(weights: Weights) -> None:
    """Address, size and the hash's first eight digits are those of the installed torchvision."""
    entries = torchvision.models.get_model_weights(weights.name)
    (entry,) = (entry for entry in entries if entry.url == weights.url)
    assert entry.meta["_file_size"] == pytest.approx(weights.mib, rel=1e-3)
    assert weights.url.endswith(f"-{weights.sha256[:8]}.pth")
    assert min(entry.meta["min_size"]) <= 224


def test_the_largest_backbone_has_no_free_weights() -> None:
    """torchvision's vit_h_14 has SWAG weights only: CC-BY-NC, and the catalogue says no."""
    entries = torchvision.models.get_model_weights("vit_h_14")
    assert all("SWAG" in entry.meta["license"] for entry in entries)
    assert _by_name("vit_h_14").terms.commercial == "no"
    assert [w.name for w in CATALOGUE if w.terms.commercial == "no"] == ["vit_h_14"]


def test_open_clip_publishes_the_same() -> None:
    """CLIP's hash stands in its address."""
    weights = _by_name("clip-vit-b-16")
    assert open_clip.pretrained.get_pretrained_url("ViT-B-16", "openai") == weights.url
    assert weights.url.split("/")[-2] == weights.sha256


@pytest.mark.parametrize("name", ["dinov2-small", "dinov2-base"])
def test_timm_publishes_the_same(name: str) -> None:
    """The address and licence of the model that the catalogue says takes the file."""
    weights = _by_name(name)
    config = timm.get_pretrained_cfg(weights.used_by.removeprefix("encoder "))
    assert (config.url, config.license) == (weights.url, weights.licence.lower())


@pytest.mark.parametrize("weights", CATALOGUE, ids=lambda weights: weights.name)
def test_an_entry_is_complete(weights: Weights) -> None:
    """https, a file name that is a name, a hash of 8 or 64 digits, and a word on commercial use."""
    assert weights.url.startswith("https://") and weights.url.endswith(f"/{weights.file}")
    assert re.fullmatch(r"[0-9a-f]{8}([0-9a-f]{56})?", weights.sha256)
    assert weights.mib > 1 and weights.licence and weights.terms.condition.endswith(".")


def test_imagenet_weights_are_never_called_free() -> None:
    """Their training images were given out for research only, and that stands beside them."""
    for name in BACKBONES - {"vit_h_14"} | {"adm256"}:
        terms = _by_name(name).terms
        assert terms.commercial != "yes" and "non-commercial" in terms.condition


def test_the_list_shows_each_with_licence_and_hash(capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, no wider than a terminal of 110 columns; short hashes are marked."""
    assert cli.main(["fetch", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 110
    for weights in CATALOGUE:
        (line,) = (line for line in lines if line.startswith(f"{weights.name} "))
        assert weights.licence in line and weights.terms.commercial in line and weights.sha256[:8] in line
        assert line.endswith("*") != weights.is_whole_hash


def test_the_list_of_some_has_their_notes_only() -> None:
    """No footnote without its line."""
    assert "[2]" not in table([_by_name("dinov2-base")])


def test_the_list_is_json_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    """With addresses and whole hashes."""
    assert cli.main(["fetch", "--list", "--format", "json", "resnet18"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["url"] == _by_name("resnet18").url and len(entry["sha256"]) == 64
