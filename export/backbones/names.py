"""Which families of networks there are, and to which a name belongs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from export.errors import UsageError

TORCHVISION, TIMM, OPEN_CLIP = "torchvision", "timm", "open_clip"
FAMILIES = (TORCHVISION, TIMM, OPEN_CLIP)
# Fung et al., "Model Selection of Anomaly Detectors in the Absence of Labeled Validation Data", 2023,
# arXiv 2310.10461; their names mean torchvision's networks, whose weights the paper used.
PAPER = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14",
)  # fmt: skip
OTHER_TORCHVISION = (
    "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
    "squeezenet1_0", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
    *(f"efficientnet_b{i}" for i in range(8)),
    "efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l",
)  # fmt: skip
NEAR = 5  # names that are suggested for one that nobody knows


def names_of(family: str) -> tuple[str, ...]:
    """Every network of the family that can be asked for."""
    if family == TORCHVISION:
        return (*PAPER, *OTHER_TORCHVISION)
    if family == TIMM:
        import timm

        return tuple(timm.list_models())
    import open_clip

    return tuple(open_clip.list_models())


def family_of(name: str, family: str | None) -> str:
    """The family that `name` belongs to, which may be given. UsageError if none has it, or several."""
    wanted = FAMILIES if family is None else (family,)
    found = [one for one in wanted if _has(one, name)]
    if not found:
        raise UsageError(f"{name}: {_said(wanted)} no such network. {_near(name, wanted)}")
    if len(found) > 1 and name not in PAPER:
        raise UsageError(
            f"{name}: {', '.join(found[:-1])} and {found[-1]} each have one, with other weights. Say which "
            f"with --family {found[0]} or --family {found[1]}."
        )
    return found[0]


def _has(family: str, name: str) -> bool:
    # timm's names may be followed by the tag of published weights, which says their size and normalisation.
    plain = name.partition(".")[0] if family == TIMM else name
    return plain in names_of(family)


def _said(families: Sequence[str]) -> str:
    return (
        f"{families[0]} has"
        if len(families) == 1
        else "torchvision (as far as it serves), timm and open_clip have"
    )


def _near(name: str, families: Sequence[str]) -> str:
    """A sentence with names like it."""
    known = {_plain(one): one for family in reversed(families) for one in names_of(family)}
    near = [known[found] for found in difflib.get_close_matches(_plain(name), known, n=NEAR, cutoff=0.7)]
    if not near:
        return "goodparts-export encoder --list shows all that there are."
    return f"Did you mean {', '.join(near)}? goodparts-export encoder --list shows all."


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace("/", "")
