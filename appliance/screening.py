"""The screen of a calibration: photos in, those that are kept out until a person confirms them.

Four looks at each photo, of different kinds: texture place by place without a network, a network's features
place by place, and what two networks say of the photo as a whole. Each is compared with the nearest and with
the third nearest other part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from appliance import intake_words
from appliance.detectors.gabor import GaborPatches
from appliance.detectors.patches import EncoderPatches, PatchFeatures
from appliance.detectors.pooled import EncoderEmbedding, PooledFeatures
from appliance.errors import ImagesError
from appliance.intake import FEWEST_PARTS, Intake
from appliance.photo import Photo
from appliance.photo_files import Refusal
from appliance.pictures import Pictures, median_aspect
from appliance.screen import FEWEST, NOTHING, Screened, Suspect, screen
from appliance.unlikeness import unlikeness
from engines.encoder import Encoder

Floats = npt.NDArray[np.float32]
Word = Literal["good", "bad"]  # of a person
Look = Callable[[Pictures], Floats]  # [N, P, D] features of N pictures in P places

RANKS = (1, 3)
PATCHES = (("specula", 16),)  # embedded encoder and stride
POOLED = ("specula", "tessera")
CODE = "unlike_others"
EARLIER = "suspected_earlier"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SuspectPhoto:
    """A photo that is kept out."""

    photo: Photo
    strength: float
    reason: str  # a sentence for a person
    code: str = CODE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Screening:
    """What the screen of one calibration found."""

    suspects: tuple[SuspectPhoto, ...]  # the least like the others first
    unsuspected: tuple[Photo, ...]  # in the order of their sha256
    warnings: tuple[str, ...]
    pictures: Pictures  # of all photos that were screened, with what encoders said of them
    places: Mapping[str, int]  # sha256 -> place in `pictures`

    @property
    def removed_count(self) -> int:
        """Distinct parts that were taken out."""
        return len({suspect.photo.part for suspect in self.suspects})


def screen_photos(
    photos: Sequence[Photo],
    encoders: Sequence[Encoder],
    confirmed: Mapping[str, Word],
    pool: ThreadPoolExecutor,
    *,
    suspected: Mapping[str, str] | None = None,
) -> Screening:
    """Suspects among the photos. confirmed: sha256 of a photo -> a person's word.

    suspected: sha256 -> the reason of an earlier screen, which stands until a person says something.
    """
    pictures = Pictures([photo.pixels for photo in photos], aspect=median_aspect([p.pixels for p in photos]))
    parts = np.array([photo.part for photo in photos], dtype=np.int64)
    good = {photo.part for photo in photos if confirmed.get(photo.sha256) == "good"}
    names, found = list[str](), NOTHING
    if len(np.unique(parts)) >= FEWEST:
        names, scores = scores_of(pictures, parts, encoders, pool)
        found = screen(scores, parts, confirmed=good)
    suspects = [
        SuspectPhoto(photo=photo, strength=suspect.strength, reason=_reason(suspect, names[suspect.detector]))
        for suspect in found.suspects
        for photo in photos
        if photo.part == suspect.part
    ]
    out = {suspect.photo.sha256 for suspect in suspects}
    earlier = {sha256: said for sha256, said in (suspected or {}).items() if sha256 not in out}
    suspects += [
        SuspectPhoto(photo=photo, strength=0.0, reason=earlier[photo.sha256], code=EARLIER)
        for photo in photos
        if photo.sha256 in earlier and photo.part not in good
    ]
    out = {suspect.photo.sha256 for suspect in suspects}
    return Screening(
        suspects=tuple(suspects),
        unsuspected=tuple(photo for photo in photos if photo.sha256 not in out),
        warnings=_warnings(found),
        pictures=pictures,
        places={photo.sha256: place for place, photo in enumerate(photos)},
    )


def scores_of(
    pictures: Pictures, parts: npt.NDArray[np.int64], encoders: Sequence[Encoder], pool: ThreadPoolExecutor
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Names of the looks, one for each row, and [D, N] how unlike other parts each photo is to them."""
    looks = looks_of(encoders)
    batch = pictures.take(range(len(pictures)))  # what is computed from outputs goes with it, outputs stay

    def score(look: Look) -> npt.NDArray[np.float64]:
        return unlikeness(look(batch), parts, ranks=RANKS)

    rows = list(pool.map(score, looks.values()))
    return [name for name in looks for _ in RANKS], np.concatenate(rows)


def looks_of(encoders: Sequence[Encoder]) -> dict[str, Look]:
    """By the name of the candidate that has the same features. Of the embedded encoders, which every box has:
    what is suspicious does not change with what else is installed."""
    embedded = {encoder.name: encoder for encoder in encoders if encoder.spec.pack == "embedded"}
    looks = {"gabor/patches": _by_place(GaborPatches())}
    for name, stride in PATCHES:
        if name in embedded:
            looks[f"{name}/patches_s{stride}"] = _by_place(EncoderPatches(embedded[name], (stride,)))
    for name in POOLED:
        if name in embedded:
            looks[f"{name}/pooled"] = _as_a_whole(EncoderEmbedding(embedded[name]))
    return looks


def without_bad(intake: Intake, confirmed: Mapping[str, Word], folder: Path) -> Intake:
    """The intake without the photos that a person confirmed bad, and without others of the same part.

    They are refused: what a person knows to be bad counts in no promise about good parts.
    ImagesError if fewer than `FEWEST_PARTS` are left; its message names `folder`.
    """
    bad = {photo.part: photo for photo in intake.photos if confirmed.get(photo.sha256) == "bad"}
    if not bad:
        return intake
    gone = [p for p in intake.photos if p.part in bad and confirmed.get(p.sha256) != "good"]
    refused = [*intake.refused, *(_refusal(photo, bad[photo.part], confirmed) for photo in gone)]
    refused.sort(key=lambda refusal: refusal.name)
    left = tuple(photo for photo in intake.photos if photo not in gone)
    if len({photo.part for photo in left}) < FEWEST_PARTS:
        raise ImagesError(intake_words.too_few(folder, left, refused, (), needed=FEWEST_PARTS))
    return replace(intake, photos=left, refused=tuple(refused))


def next_step(suspects: Sequence[SuspectPhoto]) -> tuple[str, ...]:
    """What a person should do about them, if there are any."""
    if not suspects:
        return ()
    one = len(suspects) == 1
    what = "the suspicious photo" if one else f"the {len(suspects)} suspicious photos"
    return (
        f"Look at {what} in the report. Take a bad part out of the folder; confirm a good one with "
        "`goodparts calibrate --confirm-good FILE`, or where the service runs with `goodparts photos --good "
        "FILE`. Until then it counts as a good part that is rejected.",
    )


def _by_place(features: PatchFeatures) -> Look:
    def look(pictures: Pictures) -> Floats:
        found = np.stack([features.of_picture(pictures, row) for row in range(len(pictures))])
        flat = found.reshape(-1, found.shape[3])  # [N, h, w, D] -> [N * P, D]
        mapped: Floats = features.adapt(flat)(flat).reshape(len(found), -1, flat.shape[1])
        return mapped

    return look


def _as_a_whole(features: PooledFeatures) -> Look:
    def look(pictures: Pictures) -> Floats:
        found = features.of_pictures(pictures)  # [N, D]
        mapped: Floats = features.adapt(found)(found)[:, None, :]
        return mapped

    return look


def _reason(suspect: Suspect, look: str) -> str:
    what = "As a whole it" if look.endswith("/pooled") else "Its least familiar place"
    times = f"{suspect.factor:.1f} times as unlike the other photos as is usual among them"
    return f"{what} is {times} ({look})."


def _warnings(found: Screened) -> tuple[str, ...]:
    """Where more look suspicious than may be taken out."""
    taken = len(found.suspects)
    if found.suspicious == taken:
        return ()
    return (
        f"The folder looks mixed: {found.suspicious} parts are unlike the others, of which only the {taken} "
        "most unlike are kept out. Does it hold several kinds of part? Give each a station of its own. "
        "Bad parts? Take them out.",
    )


def _refusal(photo: Photo, bad: Photo, confirmed: Mapping[str, Word]) -> Refusal:
    said = confirmed.get(photo.sha256) == "bad"
    reason = "a person said that it shows no good part" if said else f"it shows the same part as {bad.name}"
    return Refusal(name=photo.name, reason=reason, code="confirmed_bad", name_b64=photo.name_b64)
