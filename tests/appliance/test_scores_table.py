"""appliance/scores_table.py: scores.csv, from which anyone can check the decision."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from appliance.auroc import auroc
from appliance.photo import Photo
from appliance.scores_table import COLUMNS, DELIVERED, Label, ScoreBlock, write_scores


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _photo(name: str = "a.png") -> Photo:
    return Photo(name=name, sha256="ab" * 32, pixels=np.zeros((8, 8, 3), np.uint8), part=3)


def test_each_score_has_a_line(tmp_path: Path) -> None:
    """Candidates by pictures, with the fold and all that is known of the picture."""
    labels = [
        Label.of_good_photo(_photo()),
        Label(
            picture="anomalies/perlin/000.jpg",
            kind="anomaly",
            generator="perlin",
            strength=0.25,
            parents=("cd" * 32, "ef" * 32),
            parts=(1, 2),
            size_px=14.25,
        ),
    ]
    block = ScoreBlock(fold="0", labels=labels, scores=np.array([[1.5, 2.5], [3.5, 4.5]]))
    write_scores(tmp_path / "scores.csv", [block], ["one", "two"])
    rows = _read(tmp_path / "scores.csv")
    assert tuple(rows[0]) == COLUMNS
    assert [tuple(row.values()) for row in rows] == [
        ("one", "0", "a.png", "good", "", "", "ab" * 6, "1.5", ""),
        (
            "one",
            "0",
            "anomalies/perlin/000.jpg",
            "anomaly",
            "perlin",
            "0.2500",
            f"{'cd' * 6}|{'ef' * 6}",
            "2.5",
            "14.2",
        ),
        ("two", "0", "a.png", "good", "", "", "ab" * 6, "3.5", ""),
        (
            "two",
            "0",
            "anomalies/perlin/000.jpg",
            "anomaly",
            "perlin",
            "0.2500",
            f"{'cd' * 6}|{'ef' * 6}",
            "4.5",
            "14.2",
        ),
    ]


def test_a_good_photo_is_its_own_parent() -> None:
    """Its label carries its hash and its part."""
    label = Label.of_good_photo(_photo())
    assert (label.kind, label.parents, label.parts) == ("good", ("ab" * 32,), (3,))


def test_scores_of_failed_candidates_are_left_out(tmp_path: Path) -> None:
    """What is not a number is not written; the others' lines are."""
    labels = [Label.of_good_photo(_photo(name)) for name in ("a", "b")]
    scores = np.array([[np.nan, np.nan], [1.0, np.inf], [2.0, 3.0]])
    write_scores(tmp_path / "s.csv", [ScoreBlock(fold="1", labels=labels, scores=scores)], ["x", "y", "z"])
    found = [(row["detector"], row["picture"]) for row in _read(tmp_path / "s.csv")]
    assert found == [("y", "a"), ("z", "a"), ("z", "b")]


def test_a_block_may_name_its_own_detectors(tmp_path: Path) -> None:
    """On the delivered scale there is only the chosen one."""
    block = ScoreBlock(
        fold=DELIVERED, labels=[Label.of_good_photo(_photo())], scores=np.array([[7.0]]), detectors=["two"]
    )
    write_scores(tmp_path / "s.csv", [block], ["one", "two", "three"])
    (row,) = _read(tmp_path / "s.csv")
    assert (row["detector"], row["fold"], row["score"]) == ("two", "delivered", "7")


def test_a_block_of_another_shape_is_a_fault(tmp_path: Path) -> None:
    """Scores without a candidate or a label must not vanish."""
    labels = [Label.of_good_photo(_photo())]
    for scores in (np.zeros((1, 1)), np.zeros((2, 2))):
        with pytest.raises(ValueError, match="zip"):
            write_scores(
                tmp_path / "s.csv", [ScoreBlock(fold="0", labels=labels, scores=scores)], ["one", "two"]
            )


def test_the_table_is_enough_to_check_an_auroc(tmp_path: Path) -> None:
    """Nine digits keep the order of scores: the AUROC of the table is that of the arrays."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(1, 200)).astype(np.float32).astype(np.float64)
    labels = [
        Label(picture="", kind="anomaly" if i % 2 else "round_trip", generator="g", strength=0.5)
        for i in range(200)
    ]
    write_scores(tmp_path / "s.csv", [ScoreBlock(fold="0", labels=labels, scores=scores)], ["one"])
    rows = _read(tmp_path / "s.csv")
    read = {
        kind: [float(row["score"]) for row in rows if row["kind"] == kind]
        for kind in ("anomaly", "round_trip")
    }
    assert auroc(np.array(read["anomaly"]), np.array(read["round_trip"])) == auroc(
        scores[0, 1::2], scores[0, ::2]
    )


def test_names_with_commas_quotes_and_breaks_are_kept(tmp_path: Path) -> None:
    """A csv reader finds the name that was written."""
    name = 'a, "b"\nc – 歯.png'
    block = ScoreBlock(fold="0", labels=[Label.of_good_photo(_photo(name))], scores=np.array([[1.0]]))
    write_scores(tmp_path / "s.csv", [block], ["gabor, fine"])
    (row,) = _read(tmp_path / "s.csv")
    assert (row["picture"], row["detector"]) == (name, "gabor, fine")
