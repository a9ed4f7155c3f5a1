"""appliance/daemon/contest.py: two finished runs before the same judge photos."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance import calibrate as calibrate_module
from appliance import seeds
from appliance.daemon import contest
from appliance.daemon.contest import Contest, JudgePhoto, hold, judging
from appliance.daemon.contest_figures import CHALLENGER, CHAMPION
from appliance.daemon.contest_file import read_contest, write_contest
from appliance.daemon.succession import decide
from appliance.decision import DecisionOptions
from appliance.errors import DetectorError, UsageError
from appliance.generators import select
from appliance.plan import Order, Plan, decision_options
from appliance.progress import Silent
from appliance.run_folder import RESULT, read_result
from appliance.score import load_scorer
from appliance.settings import load
from appliance.trials import BATCH, Workload
from tests.fakes import FakeFitted, FakeGenerator, make_run
from tests.pictures import write_parts
from tests.small_runs import LIGHT, Run, write_settings

CHAMPION_DETECTOR, CHALLENGER_DETECTOR = "gabor/pooled", "gabor/patches"
LOCAL = [
    Workload(generator=select(name, {}), count=8) for name in ("cutpaste", "perlin", "poisson", "foreign")
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of two detectors on the same photos."""
    folder = tmp_path_factory.mktemp("runs")
    make_run(folder / "champion", chosen=CHAMPION_DETECTOR)
    make_run(folder / "challenger", chosen=CHALLENGER_DETECTOR)
    return folder / "champion", folder / "challenger"


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> list[JudgePhoto]:
    """Twelve drawn parts."""
    paths = write_parts(tmp_path_factory.mktemp("judges") / "photos", 12, size_px=64, seed=99)
    return [
        JudgePhoto(path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), part=part)
        for part, path in enumerate(paths)
    ]


def held(runs: tuple[Path, Path], judges: list[JudgePhoto], **changes: Any) -> Contest:
    """The first six are golden, the others recent."""
    given: dict[str, Any] = {
        "golden": judges[:6],
        "recent": judges[6:],
        "workloads": LOCAL[:2],
        "seed": 0,
    }
    return hold(*runs, **{**given, **changes})


def edited(run: Path, copy: Path, **changes: Any) -> Path:
    """A copy of the run with other values in its result."""
    shutil.copytree(run, copy)
    result = json.loads((copy / RESULT).read_text())
    (copy / RESULT).write_text(json.dumps({**result, **changes}))
    return copy


def test_both_score_the_same_pictures(runs: tuple[Path, Path], judges: list[JudgePhoto]) -> None:
    """Anomalies, round trips and good photos of every generator; each detector by its own bank."""
    found = held(runs, judges, workloads=LOCAL)
    assert (found.champion.detector, found.challenger.detector) == (CHAMPION_DETECTOR, CHALLENGER_DETECTOR)
    assert found.cannot_serve is None and found.dropped == ()
    evidence = found.heard.evidence
    assert evidence is not None
    assert sorted(evidence.candidates) == sorted([CHAMPION, CHALLENGER])
    assert evidence.generators == ["cutpaste", "perlin", "poisson", "foreign"]
    for trial in evidence.trials:
        assert trial.anomaly_scores.shape == (2, 8)
        assert trial.normal_scores.shape == (2, 12)
        assert set(trial.anomaly_parents.ravel()) <= {-1, *range(12)}
        assert not np.array_equal(trial.anomaly_scores[0], trial.anomaly_scores[1])
    golden, recent = found.heard.golden, found.heard.recent
    assert sorted(golden.parts) == list(range(6)) and sorted(recent.parts) == list(range(6, 12))
    normals = evidence.trials[0].normal_scores[list(evidence.candidates).index(CHALLENGER)]
    assert sorted(normals) == sorted([*golden.challenger, *recent.challenger])


def test_good_photos_score_as_on_the_line(runs: tuple[Path, Path], judges: list[JudgePhoto]) -> None:
    """What the service's scoring says of a photo, to the last bit, from both run folders."""
    golden = held(runs, judges).heard.golden
    for run, scores in zip(runs, (golden.champion, golden.challenger), strict=True):
        assert scores is not None
        scorer = load_scorer(run)
        for part, score in zip(golden.parts.tolist(), scores, strict=True):
            path = str(judges[part].path)
            (row,) = scorer.score(path, scorer.read(path))
            assert row.score == score


def arrays_of(found: Contest) -> list[np.ndarray]:
    evidence = found.heard.evidence
    assert evidence is not None
    return [
        found.heard.golden.parts,
        found.heard.golden.challenger,
        *(trial.anomaly_scores for trial in evidence.trials),
    ]


def test_the_order_of_photos_changes_nothing(runs: tuple[Path, Path], judges: list[JudgePhoto]) -> None:
    """Nor does naming one twice; another seed makes other anomalies."""
    one = held(runs, judges)
    other = held(runs, judges, golden=[*judges[5::-1], judges[2]], recent=judges[:5:-1])
    for mine, theirs in zip(arrays_of(one), arrays_of(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(arrays_of(one)[-1], arrays_of(held(runs, judges, seed=1))[-1])


def test_a_golden_photo_may_be_a_recent_one(runs: tuple[Path, Path], judges: list[JudgePhoto]) -> None:
    """It counts in both sets, and makes anomalies once."""
    found = held(runs, judges, golden=judges[:8], recent=judges[4:])
    assert (found.heard.golden.parts.size, found.heard.recent.parts.size) == (8, 8)
    assert found.heard.evidence is not None
    assert found.heard.evidence.trials[0].normal_scores.shape == (2, 12)


@pytest.mark.parametrize(("who", "role"), [(0, "selection"), (1, "held_out")])
def test_a_photo_that_a_calibration_has_used_is_dropped(
    runs: tuple[Path, Path], judges: list[JudgePhoto], tmp_path: Path, who: int, role: str
) -> None:
    """In the bank or behind the threshold of either: it would favour one of them. The others judge."""
    used = {"file": "x.png", "sha256": judges[3].sha256, "role": role, "part": 0}
    support = [*read_result(runs[who])["support"], used]
    changed = list(runs)
    changed[who] = edited(runs[who], tmp_path / "run", support=support)
    found = held((changed[0], changed[1]), judges)
    (dropped,) = found.dropped
    assert (dropped.sha256, dropped.file) == (judges[3].sha256, str(judges[3].path))
    assert dropped.reason == f"the {(CHAMPION, CHALLENGER)[who]}'s calibration has used it ({role})"
    assert sorted(found.heard.golden.parts) == [0, 1, 2, 4, 5]


def test_a_photo_that_cannot_be_read_is_dropped(
    runs: tuple[Path, Path], judges: list[JudgePhoto], tmp_path: Path
) -> None:
    """One that is gone, one that is no photo, and one that is another than it was; each with the reason."""
    gone = dataclasses.replace(judges[0], path=tmp_path / "gone.png")
    other = dataclasses.replace(judges[1], path=judges[2].path)
    text = tmp_path / "text.png"
    text.write_bytes(b"no picture")
    none = JudgePhoto(path=text, sha256=hashlib.sha256(b"no picture").hexdigest(), part=40)
    found = held(runs, judges, golden=[gone, other, none, *judges[2:6]])
    reasons = {dropped.file: dropped.reason for dropped in found.dropped}
    assert reasons.keys() == {str(gone.path), str(other.path), str(text)}
    assert reasons[str(other.path)] == "the file is another one now"
    assert sorted(found.heard.golden.parts) == [2, 3, 4, 5]


def test_a_damaged_champion_cannot_serve(
    runs: tuple[Path, Path], judges: list[JudgePhoto], tmp_path: Path
) -> None:
    """The reason is said, and the challenger's rejects are counted; a reason from outside comes first."""
    broken = edited(runs[0], tmp_path / "run")
    for path in (broken / "banks").rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:-1])
    found = held((broken, runs[1]), judges)
    assert found.cannot_serve is not None and found.cannot_serve.startswith("it cannot be loaded (")
    assert found.heard.evidence is None
    assert found.heard.golden.champion is None and found.heard.golden.challenger.size == 6
    assert found.champion.detector == CHAMPION_DETECTOR
    said = held((broken, runs[1]), judges, cannot_serve="its engine was withdrawn")
    assert said.cannot_serve == "its engine was withdrawn"


def test_a_champion_of_another_region_cannot_serve(
    runs: tuple[Path, Path], judges: list[JudgePhoto], tmp_path: Path
) -> None:
    """It would be asked about pictures that it never sees."""
    software = read_result(runs[0])["software"]
    settings = {**software["settings"], "region": [0, 0, 32, 32]}
    other = edited(runs[0], tmp_path / "run", software={**software, "settings": settings})
    found = held((other, runs[1]), judges)
    assert found.cannot_serve == (
        "it was fitted to photos that were read otherwise (region (0, 0, 32, 32), now None)"
    )
    assert found.heard.evidence is None


def test_a_damaged_challenger_is_an_error(
    runs: tuple[Path, Path], judges: list[JudgePhoto], tmp_path: Path
) -> None:
    """There is nothing to promote."""
    broken = edited(runs[1], tmp_path / "run")
    for path in (broken / "banks").rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DetectorError):
        held((runs[0], broken), judges)
    with pytest.raises(UsageError, match="not a finished run"):
        held((runs[0], tmp_path), judges)


def test_a_champion_that_lost_its_result_cannot_serve(
    runs: tuple[Path, Path], judges: list[JudgePhoto], tmp_path: Path
) -> None:
    """It is replaced; which detector it was is not known any more."""
    lost = tmp_path / "20261124T051207Z-3fa1"
    shutil.copytree(runs[0], lost)
    (lost / RESULT).write_text("{")
    found = held((lost, runs[1]), judges)
    assert found.cannot_serve is not None and "result.json: cannot be read" in found.cannot_serve
    assert (found.champion.run_id, found.champion.detector) == (lost.name, "an unreadable run")
    rng = np.random.default_rng(0)
    outcome = decide(
        found.heard,
        found.champion,
        found.challenger,
        DecisionOptions(),
        rng=rng,
        cannot_serve=found.cannot_serve,
    )
    assert outcome.outcome == "new_detector"
    assert outcome.reason.startswith("gabor/patches takes the place of an unreadable run: the present one")


@pytest.mark.parametrize("name", ["champion", "challenger"])
def test_scores_that_are_no_numbers(
    runs: tuple[Path, Path], judges: list[JudgePhoto], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A champion that gives none cannot serve; a challenger that gives none has failed."""
    real = contest.load_scorer

    def spoilt(run: Path, **options: Any) -> Any:
        scorer = real(run, **options)
        if run.name != name:
            return scorer
        fitted = FakeFitted("nan", 0.0, lambda photos: np.full(len(photos), np.nan))
        return dataclasses.replace(scorer, fitted={scorer.chosen: fitted})

    monkeypatch.setattr(contest, "load_scorer", spoilt)
    if name == "challenger":
        with pytest.raises(DetectorError, match="just fitted, could not score"):
            held(runs, judges)
        return
    found = held(runs, judges)
    assert found.cannot_serve is not None and found.cannot_serve.startswith("it could not score")
    assert found.heard.evidence is None and found.heard.recent.champion is None


def test_one_part_makes_no_anomalies(runs: tuple[Path, Path], judges: list[JudgePhoto]) -> None:
    """A donor is another part; the rejects are still counted. No photo at all is bearable too."""
    found = held(runs, judges, golden=judges[:1], recent=[])
    assert found.heard.evidence is None and found.heard.golden.parts.size == 1
    assert found.heard.golden.champion is not None and found.heard.golden.champion.size == 1
    none = held(runs, judges, golden=[], recent=[])
    assert none.heard.evidence is None and none.heard.golden.challenger.size == 0


def test_memory_is_bounded(
    runs: tuple[Path, Path], judges: list[JudgePhoto], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few photos stay to make anomalies of, and no batch has more than 16; all are scored."""
    sizes: list[int] = []
    real = contest._Loaded.score

    def score(self: Any, photos: Any) -> Any:
        sizes.append(len(photos))
        return real(self, photos)

    monkeypatch.setattr(contest._Loaded, "score", score)
    monkeypatch.setattr(contest, "MOST_SOURCES", 5)
    load = Workload(generator=FakeGenerator(), count=40)
    found = held(runs, judges, workloads=[load])
    assert max(sizes) <= BATCH
    assert found.heard.evidence is not None
    assert found.heard.evidence.trials[0].normal_scores.shape == (2, 5)
    assert found.heard.golden.parts.size + found.heard.recent.parts.size == 12


def test_who_judges() -> None:
    """Generators that vote, without the one that redraws whole pictures; where none is left, all."""
    voter, silent = FakeGenerator("perlin"), FakeGenerator("cutpaste")
    whole = Workload(generator=FakeGenerator("diffstyle_global", whole=True), count=8, votes=True)
    loads = [whole, Workload(generator=voter, count=8), Workload(generator=silent, count=8, votes=False)]
    assert [load.name for load in judging(loads)] == ["perlin"]
    alone = judging([dataclasses.replace(whole, votes=False)])
    assert [(load.name, load.votes) for load in alone] == [("diffstyle_global", True)]


def test_a_calibration_is_judged_before_it_is_complete(light_run: Run, tmp_path: Path) -> None:
    """A second calibration on other photos: contest.json was in its folder before result.json, and says who
    met; its anomalies are made by the generators of the plan."""
    write_parts(tmp_path / "photos", 16, seed=5)
    paths = write_parts(tmp_path / "judges", 12, seed=6)
    judges = [
        JudgePhoto(path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), part=part)
        for part, path in enumerate(paths)
    ]
    settings = load(write_settings(tmp_path / "light.yaml", LIGHT))
    station = settings.station()

    def judge(folder: Path, plan: Plan, result: Any) -> None:
        assert not (folder / RESULT).exists()
        found = hold(
            light_run.folder,
            folder,
            golden=judges[:6],
            recent=judges[6:],
            workloads=plan.workloads,
            seed=station.seed,
            result=result,
        )
        rng = seeds.stream(station.seed, "succession")
        outcome = decide(found.heard, found.champion, found.challenger, decision_options(station), rng=rng)
        write_contest(folder, found, outcome, trigger="16 new photos")

    before = light_run.result["chosen"]
    result = calibrate_module.calibrate(
        tmp_path / "photos",
        tmp_path / "run",
        station,
        settings.engines,
        Silent(),
        order=Order(incumbent=before),
        judge=judge,
    )
    row = read_contest(tmp_path / "run")
    assert row is not None and read_result(tmp_path / "run") == json.loads(json.dumps(result))
    assert (row["champion"], row["challenger"]) == (light_run.result["run_id"], result["run_id"])
    assert row["figures"]["judge_parts"] == 12 and row["seconds"] > 0
    assert row["figures"]["difference"] is not None
    assert result["incumbent"]["name"] == before
    assert read_contest(light_run.folder) is None
