"""Which candidates there are: of every encoder, of texts, network-free ones, and those of other packages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from appliance.detectors.ensemble import KIND as ENSEMBLE_KIND
from appliance.detectors.ensemble import NAME as ENSEMBLE
from appliance.detectors.gabor import GaborPatches, GaborStatistics
from appliance.detectors.patches import EncoderPatches, PatchDetector
from appliance.detectors.pooled import EncoderEmbedding, PooledDetector
from appliance.detectors.prompts import is_excluded, prompt_candidates
from appliance.detectors.protocol import Detector
from appliance.detectors.raw_patches import RawPatches
from appliance.errors import DetectorError
from appliance.prompt_texts import PromptTexts
from engines.encoder import Encoder
from engines.text import TextEncoder

ENTRY_POINTS = "goodparts.detectors"
COARSE = 14  # stride from which cells are tried one by one too; of transformers the usual one
WANTED_STRIDES = (8, 16)  # finer maps hold edges, coarser ones objects; defects of parts lie between


class Installed(NamedTuple):
    """Candidates, and why others are missing; a calibration can go on without those."""

    detectors: list[Detector]
    problems: list[DetectorError]


def installed(
    encoders: Sequence[Encoder],
    *,
    texts: Sequence[TextEncoder] = (),
    prompts: Sequence[PromptTexts] = (),
    exclude: Sequence[str] = (),
) -> Installed:
    """All candidates but those whose name fits a pattern of `exclude` (`*`, `?` as in file names).

    texts, prompts: each prompt is a candidate of each encoder that shares a space with a text engine.
    A package or a text engine that fails is a problem of the result. DetectorError where two candidates have
    one name.
    """
    zero_shot = prompt_candidates(encoders, texts, prompts, exclude=exclude)
    detectors = [candidate for encoder in encoders for candidate in from_encoder(encoder)]
    detectors += zero_shot.detectors + network_free()
    problems = zero_shot.problems
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            detectors += _from_package(entry, encoders)
        except DetectorError as error:
            problems.append(error)
    check_unique(detectors)
    kept = [detector for detector in detectors if not is_excluded(detector.name, exclude)]
    return Installed(kept, problems)


def from_encoder(encoder: Encoder) -> list[Detector]:
    """Pooled, patches of each wanted stride and of two of them together, and single cells of a coarse one."""
    detectors: list[Detector] = [PooledDetector(f"{encoder.name}/pooled", EncoderEmbedding(encoder))]
    strides = wanted_strides(encoder.strides)
    groups = [(stride,) for stride in strides] + ([strides] if len(strides) > 1 else [])
    for group in groups:
        name = f"{encoder.name}/patches_" + "+".join(f"s{stride}" for stride in group)
        detectors.append(PatchDetector(name, "patches", EncoderPatches(encoder, group)))
    if strides and strides[-1] >= COARSE and encoder.spec.neighbourhood > 1:
        # Averaged over its neighbours a coarse cell sees much of the part; by itself it sees a small fault.
        cells = EncoderPatches(encoder, strides[-1:], neighbourhood=1)
        detectors.append(PatchDetector(f"{encoder.name}/cells_s{strides[-1]}", "patches", cells))
    return detectors


def network_free() -> list[Detector]:
    """Candidates that need no network, and win on some parts."""
    return [
        PatchDetector("gabor/patches", "patches", GaborPatches()),
        PooledDetector("gabor/pooled", GaborStatistics()),
        PatchDetector("raw/patches", "patches", RawPatches()),
    ]


def wanted_strides(strides: Iterable[int]) -> tuple[int, ...]:
    """Of an encoder's strides those nearest to 8 and to 16, ascending, by ratio; of equals the coarser."""
    found = sorted(strides)
    nearest = {
        min(found, key=lambda stride: (max(stride / wanted, wanted / stride), -stride))
        for wanted in WANTED_STRIDES
        if found
    }
    return tuple(sorted(nearest))


def check_unique(detectors: Sequence[Detector]) -> None:
    """DetectorError if two candidates have one name, or one passes for the ensemble made of them."""
    posing = [detector.name for detector in detectors if detector.kind == ENSEMBLE_KIND]
    if posing:
        raise DetectorError(
            f"candidates {posing} are of the kind {ENSEMBLE_KIND!r}, which is Goodparts' own. Remove the "
            "package that brings them, or have it call them otherwise."
        )
    names = [ENSEMBLE, *(detector.name for detector in detectors)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DetectorError(
            f"candidates {repeated} exist twice. Give the encoders in the settings different names, or "
            "remove one of the packages that bring them."
        )


def _from_package(entry: EntryPoint, encoders: Sequence[Encoder]) -> list[Detector]:
    package = entry.dist.name if entry.dist is not None else entry.value
    try:
        return list(entry.load()(encoders))
    except Exception as error:  # another package's code may raise anything
        raise DetectorError(
            f"package {package}: entry point {entry.name!r} gives no detectors "
            f"({type(error).__name__}: {error}). Upgrade or remove the package."
        ) from error
