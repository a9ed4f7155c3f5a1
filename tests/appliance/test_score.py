"""appliance/score.py and score_output.py: a run folder scores photos, for people and for other software."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance import score as score_module
from appliance.decode import decode
from appliance.detectors.candidates import network_free
from appliance.errors import DetectorError, ImagesError, UsageError
from appliance.pictures import Pictures
from appliance.run_folder import BANKS, RESULT
from appliance.score import Scored, load_scorer, targets
from appliance.score_output import COLUMNS, row_of, score_to
from engines.encoder import EncoderSpec, load_encoder
from engines.errors import EngineError
from engines.manifest import load_manifest
from engines.packs import EMBEDDED
from tests.fakes import make_run, photos_of, pictures_of
from tests.pictures import draw_part, encoded, write_parts

NAMES = [detector.name for detector in network_free()]
CHOSEN = "gabor/pooled"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score") / "run"
    make_run(folder, chosen=CHOSEN)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return write_parts(tmp_path / "photos", 3, size_px=64)


def _score(
    run: Path, *images: Path, style: Any = "csv", every: bool = False, heatmaps: Path | None = None
) -> tuple[int, str]:
    stream = io.StringIO()
    code = score_to(stream, run, [str(path) for path in images], every=every, style=style, heatmaps=heatmaps)
    return code, stream.getvalue()


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def _edit(run: Path, copy: Path, **changes: Any) -> Path:
    """A copy of the run with other values in its result."""
    shutil.copytree(run, copy)
    result = json.loads((copy / RESULT).read_text())
    (copy / RESULT).write_text(json.dumps({**result, **changes}))
    return copy


def test_csv_has_a_row_for_each_photo(run: Path, photos: list[Path]) -> None:
    """The columns are those promised; the scores are the chosen detector's, to nine digits."""
    code, text = _score(run, *photos)
    rows = _rows(text)
    assert code == 0
    assert text.splitlines()[0] == "path,detector,score,threshold,verdict,error" == ",".join(COLUMNS)
    assert [row["path"] for row in rows] == [str(path) for path in photos]
    scorer = load_scorer(run)
    for row, path in zip(rows, photos, strict=True):
        (scored,) = scorer.score(str(path), scorer.read(str(path)))
        assert float(row["score"]) == pytest.approx(scored.score, rel=1e-8)
        assert (row["detector"], row["threshold"], row["error"]) == (CHOSEN, "40", "")
        assert row["verdict"] == ("anomalous" if scored.score > 40 else "good")


def test_a_reloaded_detector_scores_as_the_fitted_one(run: Path, photos: list[Path]) -> None:
    """What `score` says is what the calibration would have said: nothing is lost in the run folder."""
    scorer = load_scorer(run, every_candidate=True)
    assert list(scorer.fitted) == [CHOSEN, *(name for name in NAMES if name != CHOSEN)]
    picture = scorer.read(str(photos[0]))
    for detector in network_free():
        fitted = detector.fit(pictures_of(photos_of(6)), seed=0)
        np.testing.assert_array_equal(scorer.fitted[detector.name].score(picture), fitted.score(picture))


def test_json_is_one_array_of_the_same_rows(run: Path, photos: list[Path]) -> None:
    """Numbers are numbers and missing values null."""
    rows = json.loads(_score(run, *photos, style="json")[1])
    assert [set(row) for row in rows] == [set(COLUMNS)] * 3
    for row, other in zip(rows, _rows(_score(run, *photos)[1]), strict=True):
        assert row["score"] == pytest.approx(float(other["score"]))
        assert row["threshold"] == 40.0 and row["error"] is None
        assert row["verdict"] == other["verdict"]


def test_every_candidate_scores_without_a_verdict(run: Path, photos: list[Path]) -> None:
    """Only the chosen one has a threshold; the others say `none`."""
    code, text = _score(run, photos[0], every=True)
    assert code == 0
    rows = {row["detector"]: row for row in _rows(text)}
    assert set(rows) == set(NAMES)
    for name, row in rows.items():
        assert (row["verdict"] == "none") == (row["threshold"] == "") == (name != CHOSEN)


def test_the_table_counts_what_it_found(run: Path, photos: list[Path], tmp_path: Path) -> None:
    """A line for each photo, the verdict first, and a sum at the end."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    code, text = _score(run, *photos, broken, style="table")
    lines = text.splitlines()
    assert code == 3 and len(lines) == 5
    assert lines[3].startswith(f"ERROR      {broken}: ")
    verdicts = [line.split()[0] for line in lines[:3]]
    assert set(verdicts) <= {"good", "ANOMALOUS"}
    assert all("(threshold 40)" in line for line in lines[:3])
    counts = verdicts.count("good"), verdicts.count("ANOMALOUS")
    assert lines[4] == f"{counts[0]} good, {counts[1]} anomalous, 1 could not be read"


@pytest.mark.parametrize("style", ["csv", "json"])
def test_an_unreadable_photo_is_a_row(run: Path, photos: list[Path], tmp_path: Path, style: str) -> None:
    """The others are scored, and the exit code says so after all rows."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(photos[0].read_bytes()[:200])
    code, text = _score(run, broken, photos[1], style=style)
    rows = _rows(text) if style == "csv" else json.loads(text)
    assert code == ImagesError.exit_code == 3
    assert rows[0]["path"] == str(broken) and rows[0]["error"] and rows[0]["verdict"] == "none"
    assert not rows[0]["score"] and rows[0]["detector"] == CHOSEN
    assert rows[1]["score"] and not rows[1]["error"]


def test_a_folder_gives_its_photos(run: Path, photos: list[Path], tmp_path: Path) -> None:
    """Below it at any depth, in order of names, as paths below the folder as given; no other files."""
    folder = photos[0].parent
    (folder / "notes.txt").write_text("no photo")
    (folder / "sub").mkdir()
    photos[2].rename(folder / "sub" / "last.png")
    assert [row["path"] for row in _rows(_score(run, folder)[1])] == [
        str(folder / name) for name in ("part_000.png", "part_001.png", "sub/last.png")
    ]


def test_a_folder_through_a_link_keeps_the_name_given(run: Path, photos: list[Path], tmp_path: Path) -> None:
    """Paths are those the caller knows."""
    link = tmp_path / "today"
    link.symlink_to(photos[0].parent)
    assert [row["path"] for row in _rows(_score(run, link)[1])] == [str(link / path.name) for path in photos]


def test_what_a_folder_holds_and_cannot_serve_is_a_row(run: Path, photos: list[Path]) -> None:
    """A link that leaves the folder is named with the reason, and the exit code is 3."""
    folder = photos[0].parent / "inner"
    folder.mkdir()
    (folder / "link.png").symlink_to(photos[0])
    code, text = _score(run, folder)
    (row,) = _rows(text)
    assert code == 3
    assert row["path"] == str(folder / "link.png") and "leaves the folder" in row["error"]
    assert row["detector"] == "" and row["verdict"] == "none"


def test_a_path_that_is_not_there_is_bad_usage(run: Path, photos: list[Path], tmp_path: Path) -> None:
    """Exit code 2 before anything is scored."""
    with pytest.raises(UsageError, match=r"gone\.png: there is no such file") as error:
        _score(run, photos[0], tmp_path / "gone.png")
    assert error.value.exit_code == 2


def test_a_folder_without_photos_cannot_serve(run: Path, tmp_path: Path) -> None:
    """Exit code 3 with the folder's name."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImagesError, match=r"empty: there are no photos"):
        _score(run, tmp_path / "empty")


def test_a_name_that_is_not_utf8_is_escaped(run: Path, tmp_path: Path) -> None:
    """In every format; the photo is scored all the same."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n.png"))
    path.write_bytes(encoded(draw_part(np.random.default_rng(0), size_px=64)))
    shown = f"{tmp_path}/caf\\xe9\\n.png"
    assert _rows(_score(run, path)[1])[0]["path"] == shown
    assert json.loads(_score(run, path, style="json")[1])[0]["path"] == shown
    assert shown in _score(run, path, style="table")[1]
    assert _score(run, path.parent, heatmaps=tmp_path / "heat")[0] == 0


def test_heat_maps_have_names_of_their_own(tmp_path: Path, photos: list[Path]) -> None:
    """Photos of one name in two folders, and one in JPEG beside it, get three files of the photos' size."""
    run = tmp_path / "run"
    make_run(run, chosen="raw/patches")
    other = tmp_path / "other" / photos[0].name
    other.parent.mkdir()
    other.write_bytes(photos[1].read_bytes())
    twin = photos[0].with_suffix(".jpg")
    twin.write_bytes(encoded(decode(photos[0].read_bytes()), "JPEG"))
    heat = tmp_path / "deep" / "heat"
    code, _ = _score(run, photos[0], other, twin, heatmaps=heat)
    files = sorted(heat.iterdir())
    assert code == 0 and len(files) == 3
    assert all(file.name.startswith("part_000-") and file.suffix == ".jpg" for file in files)
    assert {decode(file.read_bytes()).shape for file in files} == {(64, 64, 3)}


def test_a_detector_without_heat_maps_writes_none(
    run: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder is made and stays empty, a warning says why; scoring is not disturbed."""
    assert _score(run, *photos, heatmaps=tmp_path / "heat")[0] == 0
    assert list((tmp_path / "heat").iterdir()) == []
    assert f"no heat maps: {CHOSEN}" in capsys.readouterr().err


def test_heat_maps_need_a_folder(run: Path, photos: list[Path]) -> None:
    """A file in its place is bad usage, before any work."""
    with pytest.raises(UsageError, match=r"--heatmaps .*part_000\.png: is a file"):
        _score(run, photos[1], heatmaps=photos[0])


def test_a_verdict_is_strict() -> None:
    """A score at the threshold is good, above it anomalous; without either there is none."""
    at = {"path": "a", "detector": "d", "threshold": 1.0}
    assert Scored(**at, score=1.0).verdict == "good"
    assert Scored(**at, score=np.nextafter(1.0, 2.0)).verdict == "anomalous"
    assert Scored(**at).verdict == Scored(path="a", detector="d", score=2.0).verdict == "none"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_an_error(run: Path, photos: list[Path], value: float) -> None:
    """It is greater than no threshold, and must not pass for good."""
    scorer = load_scorer(run)

    class Broken:
        def score(self, pictures: Pictures) -> np.ndarray:
            return np.full(len(pictures), value)

    broken = dataclasses.replace(scorer, fitted={CHOSEN: Broken()})
    (scored,) = broken.score("a.png", broken.read(str(photos[0])))
    assert scored.score is None and scored.verdict == "none"
    assert scored.error == f"the score is {value}"
    json.dumps(row_of(scored), allow_nan=False)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_bank_is_refused(run: Path, photos: list[Path], tmp_path: Path, damage: str) -> None:
    """Nothing is scored with half a bank; the message names the file."""
    copy = _edit(run, tmp_path / "copy")
    bank = sorted((copy / BANKS / "gabor%2fpooled").glob("*.npy"))[0]
    data = bytearray(bank.read_bytes())
    if damage == "remove":
        bank.unlink()
    elif damage == "cut":
        bank.write_bytes(data[:-4])
    else:
        data[-1] ^= 1
        bank.write_bytes(data)
    with pytest.raises(DetectorError, match=bank.name):
        _score(copy, *photos)


def test_a_folder_that_is_no_run_is_bad_usage(photos: list[Path], tmp_path: Path) -> None:
    """The message says what to give."""
    with pytest.raises(UsageError, match="not a finished run"):
        _score(tmp_path, *photos)


def test_a_chosen_candidate_without_a_bank_is_told(run: Path, photos: list[Path], tmp_path: Path) -> None:
    """A result that contradicts itself is refused with the file's name."""
    copy = _edit(run, tmp_path / "copy", chosen="nobody")
    with pytest.raises(UsageError, match=r"result\.json: no bank of the chosen nobody"):
        _score(copy, *photos)


def test_a_candidate_that_is_not_installed_any_more_is_told(
    run: Path, photos: list[Path], tmp_path: Path
) -> None:
    """A package that brought the chosen detector may be gone."""
    result = json.loads((run / RESULT).read_text())
    candidates = [
        {**row, "name": "acme/best"} if row["name"] == CHOSEN else row for row in result["candidates"]
    ]
    copy = _edit(run, tmp_path / "copy", chosen="acme/best", candidates=candidates)
    with pytest.raises(DetectorError, match=r"\['acme/best'\].*not installed any more"):
        _score(copy, *photos)


def _with_engine(run: Path, copy: Path, **row: Any) -> Path:
    """A copy of the run whose chosen candidate needs an encoder."""
    result = json.loads((run / RESULT).read_text())
    engine = {
        "name": "enc",
        "kind": "encoder",
        "sha256": "0" * 64,
        "device": "cpu",
        "pack": "embedded",
        **row,
    }
    candidates = [{**c, "name": "enc/pooled"} if c["name"] == CHOSEN else c for c in result["candidates"]]
    software = {**result["software"], "engines": [engine]}
    return _edit(run, copy, chosen="enc/pooled", candidates=candidates, software=software)


def test_another_encoder_is_refused(run: Path, photos: list[Path], tmp_path: Path) -> None:
    """Scores of another network mean nothing against this bank: the hash decides."""
    copy = _with_engine(run, tmp_path / "copy")
    with pytest.raises(EngineError, match=r"encoder enc: .*sha256 000000000000….*calibrate again"):
        _score(copy, *photos)


def test_a_bank_is_bound_to_its_features(run: Path, photos: list[Path], tmp_path: Path) -> None:
    """A bank in the wrong candidate's place is refused, even where the encoder is the right one."""
    manifest, folder = min(
        ((load_manifest(path.parent), path.parent) for path in EMBEDDED.glob("*/manifest.json")),
        key=lambda pair: (pair[0].kind != "encoder", pair[0].gflop),
    )
    spec: EncoderSpec = load_encoder(folder, device="cpu", threads=1).spec
    result = json.loads((run / RESULT).read_text())
    candidates = [
        {**row, "name": f"{manifest.name}/pooled"} if row["name"] == CHOSEN else row
        for row in result["candidates"]
    ]
    engines = [
        {"name": manifest.name, "kind": "encoder", "sha256": spec.sha256, "device": "cpu", "pack": "embedded"}
    ]
    copy = _edit(
        run,
        tmp_path / "copy",
        chosen=f"{manifest.name}/pooled",
        candidates=candidates,
        software={**result["software"], "engines": engines},
    )
    with pytest.raises(DetectorError, match="made with detector 'gabor/pooled'"):
        _score(copy, *photos)


def test_only_the_encoders_that_are_needed_are_loaded(
    run: Path, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network-free choice scores although the run's encoders are gone; that is also the faster way."""
    result = json.loads((run / RESULT).read_text())
    engine = {"name": "enc", "kind": "encoder", "sha256": "0" * 64, "device": "cpu", "pack": "full"}
    copy = _edit(run, tmp_path / "copy", software={**result["software"], "engines": [engine]})
    monkeypatch.setattr(score_module, "load_encoder", lambda *a, **k: pytest.fail("an encoder was loaded"))
    assert _score(copy, *photos)[0] == 0


def test_photos_are_read_as_the_run_did(run: Path, tmp_path: Path) -> None:
    """Region and working size are those of the calibration."""
    result = json.loads((run / RESULT).read_text())
    settings = {**result["software"]["settings"], "region": [8, 0, 32, 48]}
    copy = _edit(run, tmp_path / "copy", software={**result["software"], "settings": settings})
    pixels = draw_part(np.random.default_rng(0), size_px=64)
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(pixels))
    (read,) = load_scorer(copy).read(str(path)).pixels
    np.testing.assert_array_equal(read, pixels[0:48, 8:40])


def test_files_are_taken_as_given(photos: list[Path], tmp_path: Path) -> None:
    """In their order, a dead link too: reading it will say what is wrong."""
    dead = tmp_path / "dead.png"
    dead.symlink_to(tmp_path / "gone")
    given = [str(photos[1]), str(dead), str(photos[0])]
    assert list(targets(given)) == given


@pytest.mark.parametrize(
    ("given", "shown"), [("./photos", "./photos"), ("photos/", "photos"), (".", "./photos")]
)
def test_photos_of_a_folder_begin_with_the_folder_as_given(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, shown: str
) -> None:
    """Other software joins rows to what it asked for."""
    monkeypatch.chdir(tmp_path)
    assert list(targets([given])) == [f"{shown}/{path.name}" for path in photos]
