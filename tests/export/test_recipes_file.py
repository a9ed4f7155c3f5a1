"""export/recipes_file.py: the file of `all` is read strictly, and the example in config/ is true."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from export.catalogue import CATALOGUE
from export.errors import UsageError
from export.recipes_file import ClipRecipe, EncoderRecipe, PlanRecipe, Recipes, UnetRecipe, read_recipes

EXAMPLE = Path(__file__).parents[2] / "config" / "export.yaml"


def _read(tmp_path: Path, text: str) -> Recipes:
    path = tmp_path / "export.yaml"
    path.write_text(text, encoding="utf-8")
    return read_recipes(path)


def test_a_name_is_enough(tmp_path: Path) -> None:
    """A bare network and an empty section stand for their defaults."""
    recipes = _read(tmp_path, "encoders: [resnet18]\nclip: [ViT-B-16]\nplans:\n")
    assert recipes.encoders == [EncoderRecipe(network="resnet18")]
    assert recipes.clip == [ClipRecipe(model="ViT-B-16")]
    assert recipes.plans == [] and recipes.unet is None and recipes.precision == "fp32"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("encoder: [resnet18]", r"export\.yaml:1:1: encoder: unknown key"),
        (
            "encoders:\n  - network: a\n    precison: fp16",
            r"export\.yaml:3:5: encoders\.0\.precison: unknown",
        ),
        ("unet:\n  precision: fp8", r"export\.yaml:2:3: unet\.precision: Input should be 'fp32' or 'fp16'"),
        ("verify: 1", r"1:1: verify: Input should be a valid boolean"),
        ("seed: 1\nverify: true\nverify: false", r"export\.yaml:3:1: verify: stands here a second time"),
        ("unet: {seed: -1}", r"1:8: unet\.seed: Input should be greater than or equal to 0"),
        ("unet: {name: a/b}", r"unet\.name: letters, digits"),
        ("unet: {name: .hidden}", r"unet\.name: letters, digits"),
        ("encoders: [{checkpoint: a.pth}]", r"export\.yaml:1:12: encoders\.0\.network: Field required"),
        ("plans: [{backend: trt}]", r"plans\.0\.backend: Input should be 'tensorrt' or 'tensorrt-rtx'"),
        (
            "plans: [{backend: tensorrt, sm: [8.9]}]",
            r"1:34: plans\.0\.sm\.0: Input should be a valid integer",
        ),
        ("unet: [", r"export\.yaml:1:8: not valid YAML"),
        ("- resnet18", r"export\.yaml:1:1: the file must be a map"),
        ("a: \0", "not valid YAML"),
        ("[" * 3000, "not valid YAML"),
    ],
)
def test_what_cannot_be_meant_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """Line and column, the key, and what is wrong with it."""
    with pytest.raises(UsageError, match=said):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("encoders: [{network: a, layers: [0]}]", "layers.0.*greater than or equal to 1"),
        ("clip: [{model: a, layers: [-1]}]", "layers.0.*greater than or equal to 1"),
        ("weights: 2026-13-45", "not valid YAML: month"),
    ],
)
def test_numbers_that_no_command_takes_are_said_before_any_work(tmp_path: Path, text: str, said: str) -> None:
    """A layer below 1; a day that there is not, which PyYAML reads as one."""
    with pytest.raises(UsageError, match=said):
        _read(tmp_path, text)


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    """One line each."""
    with pytest.raises(UsageError) as fault:
        _read(tmp_path, "verify: 1\nx: 2\nx: 3\nunet: {seed: a}\n")
    assert len(str(fault.value).splitlines()) == 4


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_file_that_cannot_be_read_is_a_message(tmp_path: Path, name: str) -> None:
    """With a file to copy."""
    with pytest.raises(UsageError, match=r"config/export\.yaml is one to copy"):
        read_recipes(tmp_path / name)


def test_a_file_of_another_encoding_is_a_message(tmp_path: Path) -> None:
    """As an old editor may write it."""
    (tmp_path / "export.yaml").write_bytes(b"weights: Gewichte f\xfcr uns\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_recipes(tmp_path / "export.yaml")


def test_the_example_is_read() -> None:
    """It exports all that the catalogue has but what must not be used commercially, and one of each kind."""
    recipes = read_recipes(EXAMPLE)
    files = {entry.file for entry in CATALOGUE if f"encoder {'vit_h_14'}" != entry.used_by}
    named = {encoder.network for encoder in recipes.encoders}
    catalogued = {entry.used_by.removeprefix("encoder ") for entry in CATALOGUE if "encoder" in entry.used_by}
    assert catalogued - named == {"vit_h_14", "vit_base_patch14_dinov2"}
    given = [recipes.unet, *recipes.encoders, *recipes.clip]
    assert {recipe.checkpoint for recipe in given if recipe and recipe.checkpoint} <= files


@pytest.mark.parametrize(
    ("model", "keys"),
    [
        (Recipes, ()),
        (UnetRecipe, ("unet",)),
        (EncoderRecipe, ("encoders", -1)),
        (ClipRecipe, ("clip", -1)),
        (PlanRecipe, ("plans", 0)),
    ],
)
def test_the_example_explains_every_key(model: type[BaseModel], keys: tuple[str | int, ...]) -> None:
    """Each stands there, below a comment of its own or first in its list's entry."""
    section = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    for key in keys:
        section = section[key]
    assert set(section) == set(model.model_fields)


def test_no_key_of_the_example_is_without_a_comment() -> None:
    """Above it, or above the entry that it begins."""
    lines = EXAMPLE.read_text("utf-8").splitlines()
    bare = [
        line
        for before, line in itertools.pairwise(lines)
        if re.match(r"\s*(- )?[a-z_]+:", line) and not before.lstrip().startswith(("#", "clip:"))
    ]
    assert bare == []
