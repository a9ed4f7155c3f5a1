"""Finished replays under other settings: the defaults reproduce what was stored, and the rest by hand."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from appliance.auroc import auroc
from appliance.errors import GoodpartsError
from appliance.replay.coverage import wilson
from appliance.replay.rank_agreement import spearman
from appliance.replay.unit import Unit, save_unit
from benchmarks import ablation
from benchmarks.ablation_rules import Setting, grid_of
from benchmarks.ablation_study import OWN, Run, Study, best_on_the_others, find, judged, members_of
from benchmarks.ablation_tables import left_out, parts, words
from tests.replay_result import make_result
from tests.replay_units import sample_unit, with_ensemble

GENERATORS = ("diffstyle_global", "cutpaste", "perlin", "foreign", "outliers")
DEFAULTS = Setting(generators=frozenset({"cutpaste", "perlin", "foreign"}))
NAMES = ("b/pooled", "a/pooled", "a/patches", "c/pooled", "gabor/patches", "raw/patches")
TASKS = {"inspection": ("gear", "nut"), "natural": ("rose", "aster", "tulip")}


def drawn(task: str, seed: int = 0) -> Unit:
    """A unit as a replay leaves it: the first three are joined, and used."""
    unit = sample_unit(task=task, seed=seed, names=NAMES, chosen=NAMES[0], generators=GENERATORS, folds=2)
    return with_ensemble(unit, members_of(unit, [DEFAULTS])[0].rows)


def write_replay(folder: Path, units: Sequence[Unit]) -> None:
    """What `find` reads of a replay that has ended."""
    rows = []
    for unit in units:
        place = f"units/{unit.task}/seed-{unit.seed}-abc"
        (folder / place).mkdir(parents=True)
        save_unit(unit, folder / place)
        rows.append({"folder": place, "seed": unit.seed})
    (folder / "replay.json").write_text(json.dumps({"units": rows, "dataset": {"one_vs_rest": False}}))


@pytest.fixture(scope="module")
def replays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replays")
    for name, tasks in TASKS.items():
        write_replay(folder / name, [drawn(task, seed) for task in tasks for seed in range(2)])
    return folder


@pytest.fixture(scope="module")
def studies(replays: Path) -> dict[str, Study]:
    return {name: judged(find(replays, name)) for name in TASKS}


def cells(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_defaults_reproduce_what_was_stored(studies: dict[str, Study]) -> None:
    """Where the stored ensemble has the spreads of the trials, its figures are the rebuilt one's."""
    study = studies["inspection"]
    strategies = study.report.variants["one_vs_rest"].strategies
    assert study.base == DEFAULTS and study.report.tasks == ["gear", "nut"]
    assert strategies[OWN] == strategies["chosen"] == study.figures(DEFAULTS)
    assert [run.rebuilt for run in study.runs] == [0.0] * 4


def test_what_was_chosen_is_judged_as_the_replay_judged_it(tmp_path: Path) -> None:
    """To the last digit that replay.json has."""
    result = make_result(tmp_path / "drawn")
    (tmp_path / "drawn" / "replay.json").write_text(json.dumps(result))
    study = judged(find(tmp_path, "drawn"))
    own = study.report.variants["one_vs_rest"].strategies[OWN]
    stored = result["regret"]["all"]["variants"]["one_vs_rest"]["strategies"]["chosen"]
    for name in ("auroc", "regret", "regret_in_sample"):
        found = dataclasses.asdict(getattr(own.mean, name))
        assert found == pytest.approx(stored["mean"][name], abs=1e-6)
    assert own.worst_task == stored["worst_task"]
    assert {run.rebuilt for run in study.runs} == {None}


def test_settings_do_not_disturb_one_another() -> None:
    """All at once use what each would use alone."""
    unit = drawn("gear")
    settings = list(grid_of(sorted(DEFAULTS.generators), GENERATORS))
    found = members_of(unit, settings)
    assert found == [members_of(unit, [setting])[0] for setting in settings]
    assert len(set(found)) > 3


def test_a_setting_is_judged_by_what_it_uses(studies: dict[str, Study]) -> None:
    """The leader alone has the AUROC of the candidate that leads, mean over seeds."""
    study = studies["natural"]
    leader = dataclasses.replace(DEFAULTS, used="leader")
    reached = []
    for seed in range(2):
        unit = drawn("rose", seed)
        (row,) = members_of(unit, [leader])[0].rows
        reached.append([unit.good[row], np.concatenate([s[row] for s in unit.anomalous.values()])])
    found = study.figures(leader).by_task["rose"].auroc.value
    # Halves of an odd number of photos are not the mean of all: near, not equal.
    assert found == pytest.approx(np.mean([auroc(a, r) for r, a in reached]), abs=0.03)
    assert study.figures(leader) != study.figures(DEFAULTS)


def test_regret_of_runs_adds_up_to_that_of_the_report(studies: dict[str, Study]) -> None:
    study = studies["natural"]
    mean = study.report.variants["one_vs_rest"].strategies[OWN].mean.regret.value
    assert np.mean([run.regret for run in study.runs]) == pytest.approx(mean, abs=1e-9)


def test_named_candidates_lie_below_the_best_of_them(tmp_path: Path) -> None:
    """True AUROC on all test photos; the best itself is not counted."""
    unit = dataclasses.replace(drawn("gear"), tied=(NAMES[1], NAMES[4], NAMES[2]))
    write_replay(tmp_path / "inspection", [unit])
    (run,) = judged(find(tmp_path, "inspection")).runs
    together = np.concatenate(list(unit.anomalous.values()), axis=1)
    true = sorted((auroc(together[row], unit.good[row]) for row in (1, 4, 2)), reverse=True)
    assert run.behind == pytest.approx([true[0] - true[1], true[0] - true[2]])


def test_the_setting_is_chosen_without_the_task_that_it_is_judged_on() -> None:
    """Beside a loop over tasks and settings; of equal ones the first."""
    rng = np.random.default_rng(0)
    own, other = rng.random((5, 4)), rng.random((3, 4))
    for left, found in enumerate(best_on_the_others(own, other)):
        means = [
            np.mean([*(own[task, s] for task in range(5) if task != left), other[:, s].mean()])
            for s in range(4)
        ]
        assert found == int(np.argmin(means))
    assert best_on_the_others(np.ones((2, 3)), np.ones((1, 3))).tolist() == [0, 0]
    # One task alone wants the last setting: its own is chosen by the others.
    assert best_on_the_others(np.array([[9, 9, 0], [0, 5, 5]]), np.zeros((1, 3))).tolist() == [0, 2]


def test_missing_units_are_named(replays: Path, tmp_path: Path) -> None:
    with pytest.raises(GoodpartsError, match=r"has not ended\. Units are there of 0 tasks\."):
        find(tmp_path, "natural")
    write_replay(tmp_path / "inspection", [drawn("gear", seed) for seed in range(2)])
    (tmp_path / "inspection/units/gear/seed-1-abc/unit.npz").unlink()
    with pytest.raises(GoodpartsError, match="are missing: units/gear/seed-1-abc"):
        find(tmp_path, "inspection")
    (tmp_path / "inspection/replay.json").unlink()
    with pytest.raises(GoodpartsError, match="of 1 tasks, missing: gear seed 1, 2, 3, 4"):
        find(tmp_path, "inspection")


def test_a_damaged_replay_is_refused(tmp_path: Path) -> None:
    (tmp_path / "natural").mkdir()
    (tmp_path / "natural/replay.json").write_text("{}")
    with pytest.raises(GoodpartsError, match="cannot be read"):
        find(tmp_path, "natural")


def test_an_ensemble_of_others_is_refused(tmp_path: Path) -> None:
    """What is compared with it would not be the defaults."""
    unit = drawn("gear")
    rows = [row for row in range(6) if row not in members_of(unit, [DEFAULTS])[0].rows]
    sample = sample_unit(task="gear", names=NAMES, chosen=NAMES[0], generators=GENERATORS, folds=2)
    write_replay(tmp_path / "inspection", [with_ensemble(sample, rows)])
    with pytest.raises(GoodpartsError, match="it is of others"):
        judged(find(tmp_path, "inspection"))


def test_differences_are_of_regret(studies: dict[str, Study]) -> None:
    """Positive where the change is worse than the first three together."""
    study = studies["inspection"]
    rows = {row[1]: row for row in cells(parts(study))}
    base = study.figures(DEFAULTS).mean.regret.value
    leader = study.figures(dataclasses.replace(DEFAULTS, used="leader")).mean.regret.value
    said = rows["the leader alone"][-1].split(" ")[0].replace("−", "-")
    assert float(said) == pytest.approx(leader - base, abs=6e-4)
    assert rows["**the first three together, always**"][-1] == "–"
    low, high = rows["the leader alone"][-1].split("(")[1].strip(")").replace("−", "-").split(" to ")
    assert float(low) <= float(said) <= float(high)


def test_every_task_is_left_out_once(studies: dict[str, Study]) -> None:
    """With the regret of the setting that was best without it, and means that add up."""
    inspection, natural = studies["inspection"], studies["natural"]
    text = left_out(inspection, natural)
    rows = cells(text)[2:]
    tasks = [*TASKS["inspection"], "**mean, inspection**", *sorted(TASKS["natural"]), "**mean, natural**"]
    assert [row[0] for row in rows] == tasks
    own, other = inspection.grid_regret(), natural.grid_regret()
    picks = [*best_on_the_others(own, other), *best_on_the_others(other, own)]
    defaults = [row[1] == "the defaults" for row in rows if "mean" not in row[0]]
    assert defaults == [pick == 0 for pick in picks]
    assert f"picked for {sum(defaults)} of 5 tasks" in text
    found = [float(row[2].replace("−", "-")) for row in rows[:3]]
    assert found[2] == pytest.approx(np.mean(found[:2]), abs=1e-3)
    assert found[0] == pytest.approx(own[0, picks[0]], abs=5e-4)


def run(outcome: str, regret: float, said: float, behind: tuple[float, ...] = ()) -> Run:
    return Run(
        task="gear", seed=0, outcome=outcome, regret=regret, said_near_best=said, behind=behind, rebuilt=None
    )


def test_words_are_counted() -> None:
    """Shares with Wilson's interval, the margin itself within; means of runs, then over runs."""
    runs = [
        run("tied", 0.02, 0.5, (0.1, 0.3)),
        run("tied", 0.06, 0.3, (0.4,)),
        run("tied", -0.05, 0.4),
        run("abstained", 0.04, 0.1),
    ]
    tied, abstained = cells(words(runs))[2:]
    low, high = wilson(2, 3)
    assert tied[:3] == ["tied", "3", ".010"]
    assert tied[3] == tied[4] == f"2 ({100 * low:.0f} to {100 * high:.0f} %)"
    assert tied[5:] == ["40 %", ".300, at most .400 (2 runs)"]
    assert abstained[3].startswith("0 (0 to") and abstained[4].startswith("1 (") and abstained[6] == "–"
    told = spearman(np.array([0.5, 0.3, 0.4, 0.1]), np.array([0.02, 0.06, -0.05, 0.04]))
    assert f"{told:+.2f}".replace("-", "−") in words(runs)


def test_a_share_that_never_varies_tells_nothing() -> None:
    assert "is not defined" in words([run("tied", 0.1, 0.5), run("tied", 0.2, 0.5)])


def test_the_command_fills_a_document(replays: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """All blocks; twice gives the same."""
    names = [f"{study} {table}" for study in TASKS for table in ("about", "parts", "words")] + ["left out"]
    docs = tmp_path / "method.md"
    docs.write_text("".join(f"<!-- ablation: {name} -->\nold\n<!-- end -->\n" for name in names))
    assert ablation.main(["--replays", str(replays), "--docs", str(docs)]) == 0
    text = docs.read_text()
    assert "old" not in text and text.count("<!-- end -->") == len(names)
    said = capsys.readouterr().out
    assert all(f"\n## {name}\n" in said for name in names)
    assert ablation.main(["--replays", str(replays), "--docs", str(docs)]) == 0
    assert docs.read_text() == text


def test_a_replay_that_has_not_ended_is_left_out(
    replays: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The other one is judged; with none there is nothing to say."""
    (tmp_path / "inspection").symlink_to(replays / "inspection")
    docs = tmp_path / "method.md"
    docs.write_text("<!-- ablation: natural parts -->\nold\n<!-- end -->\n")
    assert ablation.main(["--replays", str(tmp_path), "--docs", str(docs)]) == 0
    told = capsys.readouterr()
    assert "natural is left out" in told.err and "## inspection parts" in told.out
    assert "## left out" not in told.out and "old" in docs.read_text()
    assert ablation.main(["--replays", str(tmp_path / "nothing")]) == 1
