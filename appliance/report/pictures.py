"""Synthetic anomalies beside the photos they were made from, as small JPEGs inside the page."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from appliance.report.scores import Scored
from appliance.run_folder import ANOMALIES, SCREENED

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much room pictures may take. The report goes down SCALES until it is small enough."""

    per_generator: int
    grid_side: int
    side_px: int
    quality: int


SCALES = (
    Scale(per_generator=8, grid_side=6, side_px=168, quality=80),
    Scale(per_generator=6, grid_side=5, side_px=128, quality=72),
    Scale(per_generator=4, grid_side=4, side_px=112, quality=64),
    Scale(per_generator=2, grid_side=3, side_px=96, quality=56),
    Scale(per_generator=0, grid_side=0, side_px=0, quality=0),
)
SUSPECTS = 12  # that are shown: more than a person looks at before the folder is cleared
CROP_MARGIN = 0.5  # of the box, on each side: enough surroundings to see where the crop lies
CROP_MINIMUM_PX = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One row of anomalies/index.json."""

    file: str
    generator: str
    strength: float
    size_px: float | None  # None: the whole picture, or a run of an earlier release
    parents: tuple[str, ...]
    box: Box | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A box over a picture, in per cent of its width and height."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A good photo and what became of it, whole and enlarged, as data URIs; None: the file is unreadable."""

    strength: float
    size_px: float | None
    before: str | None
    after: str | None
    crop_before: str | None
    crop_after: str | None
    donor: str | None
    outline: Outline | None
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectPicture:
    """A photo that was screened out, as a data URI; None: the file is unreadable, or there is no room."""

    name: str
    reason: str
    picture: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The paper's Figure 2: styles are rows, contents are columns."""

    contents: list[str | None]
    rows: list[tuple[str | None, list[str | None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Album:
    """What one generator made, of which `shown` of `saved` pictures are in the page."""

    generator: str
    grid: Grid | None
    pairs: list[Pair]
    shown: int
    saved: int
    is_graded: bool  # whether its pictures differ in strength


def saved_anomalies(run: Path) -> list[Saved]:
    """Rows of anomalies/index.json that are anomalies; empty if the run kept no pictures."""
    path = run / ANOMALIES / "index.json"
    if not path.exists():
        return []
    entries = json.loads(path.read_text(encoding="utf-8"))
    return [_saved(entry) for entry in entries if entry["kind"] == "anomaly"]


def albums(run: Path, scores: Sequence[Scored], scale: Scale) -> list[Album]:
    """One album for each generator with saved anomalies, in the order of the index."""
    saved = saved_anomalies(run)
    by_picture = {s.picture: s.score for s in scores}
    names = dict.fromkeys(s.generator for s in saved)
    return [_album(run, name, [s for s in saved if s.generator == name], by_picture, scale) for name in names]


def suspects(run: Path, screened: Sequence[Mapping[str, Any]], scale: Scale) -> list[SuspectPicture]:
    """The photos that were screened out, the first SUSPECTS with a picture as long as pictures have room."""
    return [
        SuspectPicture(
            name=row["name"],
            reason=row["reason"],
            picture=_suspect(run, row["sha256"], scale) if place < SUSPECTS else None,
        )
        for place, row in enumerate(screened)
    ]


def data_uri(image: Image.Image, *, quality: int) -> str:
    """A JPEG that needs no file and no network."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def crop_box(box: Box, size: tuple[int, int]) -> Box:
    """Left, top, right, bottom of a square around `box` (x, y, width, height), inside `size`."""
    x, y, w, h = box
    side = max(max(w, h) * (1 + 2 * CROP_MARGIN), CROP_MINIMUM_PX)
    side = int(min(side, *size))
    left = min(max(0, round(x + w / 2 - side / 2)), size[0] - side)
    top = min(max(0, round(y + h / 2 - side / 2)), size[1] - side)
    return left, top, left + side, top + side


def _saved(entry: Mapping[str, Any]) -> Saved:
    box = entry["box"]
    return Saved(
        file=entry["file"],
        generator=entry["generator"],
        strength=float(entry["strength"]),
        size_px=entry.get("size_px"),
        parents=tuple(entry["parents"]),
        box=None if box is None else (box[0], box[1], box[2], box[3]),
    )


def _album(run: Path, name: str, saved: Sequence[Saved], scores: Mapping[str, float], scale: Scale) -> Album:
    grid = _grid(run, saved, scale) if _is_grid(saved) else None
    picked = [] if grid else _spread(saved, scale.per_generator)
    pairs = [_pair(run, s, scores.get(s.file), scale) for s in picked]
    shown = sum(cell is not None for _, cells in grid.rows for cell in cells) if grid else len(pairs)
    is_graded = len({s.strength for s in saved}) > 1
    return Album(generator=name, grid=grid, pairs=pairs, shown=shown, saved=len(saved), is_graded=is_graded)


def _is_grid(saved: Sequence[Saved]) -> bool:
    """Anomalies that fill the picture, each of two parents, among which one style meets several contents."""
    if any(s.box is not None or len(s.parents) != 2 for s in saved):
        return False
    return len(saved) > len({s.parents[STYLE] for s in saved})


STYLE, CONTENT = 0, 1  # places among the parents: the style is the photo whose noise the picture starts from


def _grid(run: Path, saved: Sequence[Saved], scale: Scale) -> Grid:
    cells = {(s.parents[STYLE], s.parents[CONTENT]): s for s in saved}
    styles, contents = _densest(list(cells), scale.grid_side)
    return Grid(
        contents=[_parent(run, content, scale) for content in contents],
        rows=[
            (_parent(run, style, scale), [_cell(run, cells.get((style, c)), scale) for c in contents])
            for style in styles
        ],
    )


def _densest(pairs: Sequence[tuple[str, str]], side: int) -> tuple[list[str], list[str]]:
    """Styles and contents, `side` of each at most, with few gaps where folds share no pairs.

    One style's contents are the columns and the styles that meet most of them the rows; the fullest wins.
    """
    known = set(pairs)
    styles = list(dict.fromkeys(style for style, _ in pairs))

    def around(centre: str) -> tuple[list[str], list[str]]:
        columns = [content for style, content in pairs if style == centre][:side]
        met = sorted(styles, key=lambda s: -sum((s, c) in known for c in columns))[:side]
        return [s for s in met if any((s, c) in known for c in columns)], columns

    return max(
        (around(style) for style in styles),
        key=lambda grid: sum((s, c) in known for s in grid[0] for c in grid[1]),
        default=([], []),
    )


def _cell(run: Path, saved: Saved | None, scale: Scale) -> str | None:
    return None if saved is None else _thumbnail(_open(run / saved.file), scale)


def _spread(saved: Sequence[Saved], count: int) -> list[Saved]:
    """`count` of them, from the faintest to the plainest."""
    ordered = sorted(saved, key=lambda s: (s.strength, s.file))
    if len(ordered) <= count:
        return ordered
    steps = max(count - 1, 1)
    return [ordered[i * (len(ordered) - 1) // steps] for i in range(count)]


def _pair(run: Path, saved: Saved, score: float | None, scale: Scale) -> Pair:
    after = _open(run / saved.file)
    before = _open(_parent_path(run, saved.parents[0])) if saved.parents else None
    if before is not None and after is not None:
        before = before.resize(after.size, Image.Resampling.LANCZOS)  # thumbnails of parents may be smaller
    return Pair(
        strength=saved.strength,
        size_px=saved.size_px,
        before=_thumbnail(before, scale),
        after=_thumbnail(after, scale),
        crop_before=_crop(before, saved.box, scale),
        crop_after=_crop(after, saved.box, scale),
        donor=_parent(run, saved.parents[1], scale) if len(saved.parents) > 1 else None,
        outline=_outline(saved.box, after.size) if after is not None and saved.box is not None else None,
        score=score,
    )


def _outline(box: Box, size: tuple[int, int]) -> Outline:
    x, y, w, h = box
    return Outline(
        left=100 * x / size[0], top=100 * y / size[1], width=100 * w / size[0], height=100 * h / size[1]
    )


def _parent_path(run: Path, short_sha256: str) -> Path:
    return run / ANOMALIES / "parents" / f"{short_sha256}.jpg"


def _suspect(run: Path, sha256: str, scale: Scale) -> str | None:
    """Larger than a parent: a person decides by it."""
    if not scale.side_px:
        return None
    return _thumbnail(_open(run / SCREENED / f"{sha256[:12]}.jpg"), replace(scale, side_px=2 * scale.side_px))


def _parent(run: Path, short_sha256: str, scale: Scale) -> str | None:
    return _thumbnail(_open(_parent_path(run, short_sha256)), scale)


def _open(path: Path) -> Image.Image | None:
    """RGB; None if it is missing or damaged: a report with a gap is worth more than none."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError:
        return None


def _thumbnail(image: Image.Image | None, scale: Scale) -> str | None:
    if image is None:
        return None
    small = image.copy()
    small.thumbnail((scale.side_px, scale.side_px), Image.Resampling.LANCZOS)
    return data_uri(small, quality=scale.quality)


def _crop(image: Image.Image | None, box: Box | None, scale: Scale) -> str | None:
    if image is None or box is None:
        return None
    square = image.crop(crop_box(box, image.size))
    return data_uri(
        square.resize((scale.side_px, scale.side_px), Image.Resampling.BICUBIC), quality=scale.quality
    )
