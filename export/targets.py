"""What `goodparts-export all` makes, target by target, each as command lines of the single commands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engines.manifest import FILE_NAME, load_manifest
from export.catalogue import CATALOGUE
from export.errors import UsageError
from export.recipes_file import ClipRecipe, EncoderRecipe, PlanRecipe, Recipes, UnetRecipe
from export.up_to_date import Made

NetworkRecipe = UnetRecipe | EncoderRecipe | ClipRecipe
Arguments = tuple[str | Path, ...]  # of goodparts-export; what is read is a Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A thing to make: an engine, plans beside its graphs, or the verdict in its manifest."""

    name: str
    kind: Literal["export", "plan", "verify"]
    arguments: Arguments  # without --out and --force; of a plan: without --onnx
    made: Made  # of a verification: what it judges
    needs: str | None = None  # name of the target that must have been made before


def targets_of(recipes: Recipes, config: Path, out: Path | None) -> list[Target]:
    """In the order in which they are made.

    UsageError if the recipes do not hold together or files are missing. Paths in the recipes are relative to
    their file, `config`. `out` replaces the folder that they name.
    """
    folder = config.absolute().parent
    made = out if out is not None else folder / recipes.out
    exports = [_export(recipe, recipes, folder, made) for recipe in _networks(recipes)]
    names = [target.name for target in exports]
    _check_names(names, recipes.plans)
    _check_plans(names, recipes.plans)
    _check_files([file for target in exports for file in read_by(target)], folder / recipes.weights)
    return [target for export in exports for target in (export, *_built_on(export, recipes))]


def read_by(target: Target) -> list[Path]:
    return [argument for argument in target.arguments if isinstance(argument, Path)]


def engine_folders(target: Target) -> list[Path]:
    """The folders with a manifest that an export made: CLIP makes two."""
    root = target.made.folder
    found = sorted(path.parent for path in root.rglob(FILE_NAME))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]


def commands(target: Target) -> list[list[str]]:
    """The command lines that make a target. Of a plan and a verification the engine must be there."""
    words = [str(argument) for argument in target.arguments]
    if target.kind == "export":
        return [[*words, "--out", str(target.made.folder)]]
    if target.kind == "verify":
        return [[words[0], str(folder), *words[1:]] for folder in engine_folders(target)]
    return [
        [*words, "--onnx", str(folder / file)]
        for folder in engine_folders(target)
        for file in load_manifest(folder).graphs.values()
    ]


def _networks(recipes: Recipes) -> list[NetworkRecipe]:
    return [*([recipes.unet] if recipes.unet is not None else []), *recipes.encoders, *recipes.clip]


def _export(recipe: NetworkRecipe, recipes: Recipes, folder: Path, made: Path) -> Target:
    command, name = _command(recipe)
    arguments: list[str | Path] = [*command, "--precision", recipe.precision or recipes.precision]
    arguments += _weights(recipe, " ".join(command), folder / recipes.weights)
    arguments += ["--licence", recipe.licence] if recipe.licence else []
    if isinstance(recipe, UnetRecipe):
        arguments += _unet_options(recipe, folder)
    elif isinstance(recipe, EncoderRecipe):
        arguments += _encoder_options(recipe)
    else:
        arguments += _clip_options(recipe, folder)
    out = made / (recipe.name or name)
    return Target(name=out.name, kind="export", arguments=tuple(arguments), made=Made(folder=out))


def _unet_options(recipe: UnetRecipe, folder: Path) -> Iterator[str | Path]:
    yield from ("--interpolation", recipe.interpolation)
    if recipe.architecture is not None:
        yield from ("--architecture", folder / recipe.architecture)


def _encoder_options(recipe: EncoderRecipe) -> Iterator[str]:
    given = {
        "--name": recipe.name,
        "--family": recipe.family,
        "--image-size": recipe.image_size,
        "--layers": ",".join(map(str, recipe.layers)),
        "--strides": ",".join(map(str, recipe.strides)),
    }
    for option, value in given.items():
        if value:
            yield from (option, str(value))


def _clip_options(recipe: ClipRecipe, folder: Path) -> Iterator[str | Path]:
    if recipe.pretrained is not None:
        yield from ("--pretrained", recipe.pretrained)
    if recipe.config is not None:
        yield from ("--model-config", folder / recipe.config)
    if recipe.layers:
        yield from ("--layers", ",".join(map(str, recipe.layers)))


def _command(recipe: NetworkRecipe) -> tuple[list[str], str]:
    """The command with its positional argument, and the engine's name if the recipe gives none."""
    if isinstance(recipe, UnetRecipe):
        return ["unet"], "unet"
    if isinstance(recipe, EncoderRecipe):
        return ["encoder", recipe.network], _as_name(recipe.network)
    return ["clip", recipe.model], f"clip-{_as_name(recipe.model)}".lower()


def _as_name(network: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", network)


def _weights(recipe: NetworkRecipe, used_by: str, weights: Path) -> list[str | Path]:
    if recipe.random_weights:
        if recipe.checkpoint is not None:
            raise UsageError(
                f"{used_by}: checkpoint and random_weights contradict each other. Leave out one."
            )
        return ["--random-weights", "--seed", str(recipe.seed)]
    published = next((entry.file for entry in CATALOGUE if entry.used_by == used_by), None)
    file = recipe.checkpoint or published
    if file is None:
        raise UsageError(
            f"{used_by}: the catalogue has no weights for it. Name their file with checkpoint, or set "
            "random_weights for a trial."
        )
    return ["--checkpoint", weights / file]


def _built_on(export: Target, recipes: Recipes) -> Iterator[Target]:
    for plan in recipes.plans:
        if not plan.engines or export.name in plan.engines:
            yield _plan(plan, export)
    if recipes.verify:
        yield _verification(export)


def _plan(plan: PlanRecipe, export: Target) -> Target:
    return Target(
        name=f"{export.name} {plan.backend}",
        kind="plan",
        arguments=(
            *("engine", "--backend", plan.backend),
            *(word for capability in plan.sm for word in ("--sm", str(capability))),
        ),
        made=Made(folder=export.made.folder, label=plan.backend, files=f"*.{plan.backend}.*"),
        needs=export.name,
    )


def _verification(export: Target) -> Target:
    checkpoint = [
        file
        for flag, file in zip(export.arguments, export.arguments[1:], strict=False)
        if flag == "--checkpoint"
    ]
    return Target(
        name=f"{export.name} verified",
        kind="verify",
        arguments=("verify", *(("--checkpoint", *checkpoint) if checkpoint else ())),
        made=export.made,
        needs=export.name,
    )


def _check_names(names: Sequence[str], plans: Sequence[PlanRecipe]) -> None:
    if not names:
        raise UsageError("Nothing to export: name a network under unet, encoders or clip.")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError(
            f"{', '.join(repeated)}: the name of two engines. Give one of them another with `name`."
        )
    unknown = sorted({name for plan in plans for name in plan.engines} - set(names))
    if unknown:
        raise UsageError(
            f"plans.engines: {', '.join(unknown)} is not exported here; there are {', '.join(names)}."
        )


def _check_plans(names: Sequence[str], plans: Sequence[PlanRecipe]) -> None:
    """Two of one backend would each be taken for the other, changed."""
    for name in names:
        backends = [plan.backend for plan in plans if not plan.engines or name in plan.engines]
        repeated = sorted({backend for backend in backends if backends.count(backend) > 1})
        if repeated:
            raise UsageError(
                f"plans: {name} would get several of {', '.join(repeated)}. Name each backend once for an "
                "engine, with all its compute capabilities under sm."
            )


def _check_files(files: Sequence[Path], weights: Path) -> None:
    """Before any work, all at once."""
    missing = [file for file in files if not file.exists()]
    if not missing:
        return
    lines = [f"{file}: not there." for file in missing]
    names = [entry.name for entry in CATALOGUE if weights / entry.file in missing]
    if names:
        lines.append(f"To get what is published: goodparts-export fetch {' '.join(names)} --out {weights}")
    raise UsageError("\n".join(lines))
