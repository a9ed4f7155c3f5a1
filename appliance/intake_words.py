"""What the intake says to the person at the line: the refusal of a folder, and warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from appliance.photo import Photo
from appliance.photo_files import SUFFIXES, Refusal

MANY_REFUSED = 0.2
NAMED = 3  # how many files a message names; the result lists them all


def too_few(
    folder: Path, photos: Sequence[Photo], refused: Sequence[Refusal], others: Sequence[str], *, needed: int
) -> str:
    """Why the folder cannot serve. others: names of the files that are no photos by their suffix."""
    found = len({photo.part for photo in photos})
    lines = [f"{folder}: usable photos of different parts: found {found}, needed {needed}."]
    if not photos and not refused:
        lines.append(_what_was_seen(others))
    if found < len(photos):
        lines.append(f"{len(photos)} photos can be read, but some show the same part again and count once.")
    lines += _why_refused(refused)
    if any(refusal.code.startswith("region_") for refusal in refused):
        lines.append("Correct `region` in the settings: it is counted in pixels of the whole photo.")
    else:
        lines.append("Add photos of different good parts (JPEG, PNG, BMP, TIFF or WebP).")
    return "\n".join(lines)


def few_parts(photos: Sequence[Photo], minimum: int) -> str | None:
    parts = len({photo.part for photo in photos})
    if parts >= minimum:
        return None
    return f"Only {parts} distinct parts, {minimum} or more are advised: the choice will be less certain."


def repeats(photos: Sequence[Photo]) -> str | None:
    parts = Counter(photo.part for photo in photos)
    again = len(photos) - len(parts)
    if not again:
        return None
    twin = next(photo.part for photo in photos if parts[photo.part] > 1)
    names = _names([photo.name for photo in photos if photo.part == twin])
    return (
        f"{again} of {len(photos)} photos repeat another but for noise (such as {names}) and count once: "
        f"{len(parts)} distinct parts. Is the camera triggered twice?"
    )


def left_out(used: int, unused: int) -> str | None:
    if not unused:
        return None
    return (
        f"{used} photos are used and {unused} left out: intake.maximum is {used}. The contents decide which."
    )


def sizes(counts: Counter[tuple[int, int]]) -> str | None:
    if len(counts) < 2:
        return None
    common = ", ".join(f"{width} x {height} ({n})" for (width, height), n in counts.most_common(NAMED + 1))
    more = f" and {len(counts) - NAMED - 1} more sizes" if len(counts) > NAMED + 1 else ""
    return f"The photos have different sizes: {common}{more}. Photos of one camera position should be alike."


def bit_depth(peaks: Sequence[int], bits_set: int) -> str | None:
    """16-bit photos of a camera with fewer bits than set are nearly black, with more they are burnt out."""
    if not peaks:
        return None
    peak = max(peaks)
    bits = max(8, peak.bit_length() + peak.bit_length() % 2)  # cameras deliver 8, 10, 12, 14 or 16
    if bits != bits_set and (peak * 16 < 2**bits_set or peak >= 2**bits_set):
        return (
            f"The 16-bit photos reach {peak} of {2**bits_set - 1}. If the camera delivers {bits} bits, "
            f"set intake.bit_depth to {bits}."
        )
    return None


def many_refused(refused: Sequence[Refusal], usable: int) -> str | None:
    """Copies are no fault of the folder's."""
    faulty = [refusal for refusal in refused if refusal.code != "duplicate"]
    if len(faulty) <= MANY_REFUSED * (len(faulty) + usable):
        return None
    return f"{len(faulty)} files were refused, more than a fifth. {' '.join(_why_refused(faulty))}"


def _what_was_seen(others: Sequence[str]) -> str:
    if not others:
        return "It is empty, but for hidden or temporary files if there are any."
    suffixes = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in others)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(NAMED + 2))
    return f"No photo was found, only other files: {kinds}. Photos end in {', '.join(sorted(SUFFIXES))}."


def _why_refused(refused: Sequence[Refusal]) -> list[str]:
    """One line for each code, the most frequent first."""
    by_code: dict[str, list[Refusal]] = {}
    for refusal in refused:
        by_code.setdefault(refusal.code, []).append(refusal)
    return [
        f"Refused, {code} ({len(some)}): {_names([r.name for r in some])}; {some[0].reason}."
        for code, some in sorted(by_code.items(), key=lambda item: -len(item[1]))
    ]


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
