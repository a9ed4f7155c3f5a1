"""`goodparts score`: rows for people, for spreadsheets, for other software."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TextIO

from appliance.decode import UnreadablePhoto
from appliance.detectors.protocol import DrawsHeatmaps
from appliance.errors import ImagesError, UsageError
from appliance.gallery import jpeg
from appliance.heatmaps import draw_heatmap, heatmap_name
from appliance.photo_files import shown_name
from appliance.pictures import Pictures
from appliance.score import Scored, Scorer, load_scorer, targets

Format = Literal["table", "csv", "json"]
Row = dict[str, str | float | None]

COLUMNS = ("path", "detector", "score", "threshold", "verdict", "error")
_MARKS = {"good": "good", "anomalous": "ANOMALOUS", "none": "-"}


def score_to(
    stream: TextIO, run: Path, images: Sequence[str], *, every: bool, style: Format, heatmaps: Path | None
) -> int:
    """Score `images` and write each row to `stream` as it comes; returns the exit code.

    3 if any photo could not be read, after all rows are written. UsageError for a path that is not there,
    ImagesError for folders without photos.
    """
    scorer = load_scorer(run, every_candidate=every)
    options = scorer.options
    found = list(targets(images, follow_links=options.follow_links, ignore=options.ignore))
    if not found:
        raise ImagesError(f"--images {' '.join(images)}: there are no photos. Name photos or their folder.")
    if heatmaps is not None:
        _make_folder(heatmaps)
        if not isinstance(scorer.fitted[scorer.chosen], DrawsHeatmaps):
            why = f"{scorer.chosen} judges a photo as a whole; only patch detectors say where"
            print(f"warning: no heat maps: {why}.", file=sys.stderr)
    failed = 0
    write = {"table": _write_table, "csv": _write_csv, "json": _write_json}[style]
    for scored in write(stream, _rows(scorer, found, heatmaps)):
        failed += scored.error is not None
    return ImagesError.exit_code if failed else 0


def row_of(scored: Scored) -> Row:
    """One row of csv and json. Paths as given; bytes that are not UTF-8 are escaped."""
    return {
        "path": shown_name(os.fsencode(scored.path))[0],
        "detector": scored.detector,
        "score": scored.score,
        "threshold": scored.threshold,
        "verdict": scored.verdict,
        "error": scored.error,
    }


def csv_number(value: float | None) -> str:
    """As it stands in csv: nine digits tell two float32 apart."""
    return "" if value is None else f"{value:.9g}"


def _rows(scorer: Scorer, found: Iterable[str | Scored], heatmaps: Path | None) -> Iterator[Scored]:
    for target in found:
        if isinstance(target, Scored):
            yield target
            continue
        try:
            picture = scorer.read(target)
        except UnreadablePhoto as error:
            yield Scored(path=target, detector=scorer.chosen, error=str(error))
            continue
        yield from scorer.score(target, picture)
        if heatmaps is not None:
            _save_heatmap(scorer, target, picture, heatmaps)


def _save_heatmap(scorer: Scorer, path: str, picture: Pictures, folder: Path) -> None:
    drawn = draw_heatmap(scorer.fitted[scorer.chosen], picture, threshold=scorer.threshold)
    if drawn is not None:
        (folder / heatmap_name(Path(path))).write_bytes(jpeg(drawn))


def _write_csv(stream: TextIO, rows: Iterator[Scored]) -> Iterator[Scored]:
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for scored in rows:
        row = row_of(scored)
        writer.writerow({**row, "score": csv_number(scored.score), "threshold": csv_number(scored.threshold)})
        stream.flush()
        yield scored


def _write_json(stream: TextIO, rows: Iterator[Scored]) -> Iterator[Scored]:
    """One array, a row a line, so that it can be read as it grows."""
    separator = "[\n"
    for scored in rows:
        stream.write(separator + json.dumps(row_of(scored), ensure_ascii=False))
        stream.flush()
        separator = ",\n"
        yield scored
    stream.write("\n]\n")


def _write_table(stream: TextIO, rows: Iterator[Scored]) -> Iterator[Scored]:
    counts = {"good": 0, "anomalous": 0, "none": 0}
    errors = 0
    for scored in rows:
        print(_table_line(scored), file=stream, flush=True)
        counts[scored.verdict] += scored.error is None
        errors += scored.error is not None
        yield scored
    unread = f", {errors} could not be read" if errors else ""
    print(f"{counts['good']} good, {counts['anomalous']} anomalous{unread}", file=stream)


def _table_line(scored: Scored) -> str:
    name = row_of(scored)["path"]
    if scored.error is not None:
        return f"ERROR      {name}: {scored.error}"
    limit = f" (threshold {scored.threshold:.4g})" if scored.threshold is not None else ""
    return f"{_MARKS[scored.verdict]:<10} {scored.score:<9.4g} {name}  {scored.detector}{limit}"


def _make_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--heatmaps {folder}: is a file. Give the name of a folder.")
    folder.mkdir(parents=True, exist_ok=True)
