"""What the replay's page says: names of strategies and variants, sentences about what a choice was worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.replay.levels import BEST_FIXED, CHOSEN, LABELS_ON_HALF, RANDOM
from appliance.replay.outliers import NAME as OUTLIERS
from appliance.replay.rules import DETECTORS, EVERYTHING, FIRST
from appliance.report.words import DASH, auroc, listed, number, percent, plural

Result = Mapping[str, Any]
Interval = Mapping[str, Any]

WIDE = 0.05  # of an interval of a regret: good detectors of one part lie as far apart
DOMINANT = 0.5  # a task's share of all regret that is worth a word
FEWEST_TASKS = 3  # among fewer one always dominates
FALSE_ALARM = 0.05  # a p-value below it is worth a word

VARIANTS = {
    "one_vs_rest": ("One-vs-rest", "The good photos against all others together."),
    "average": ("One-vs-one, average", "The good photos against one out-class at a time; the mean."),
    "closest": (
        "One-vs-one, closest",
        "The good photos against one out-class at a time; the lowest, of each candidate its own.",
    ),
}

_STRATEGIES = {
    CHOSEN: "Chosen from good photos alone",
    LABELS_ON_HALF: "Chosen with labels on half",
    BEST_FIXED: "Best fixed in hindsight",
    RANDOM: "At random",
    FIRST: "First of the list (default)",
    OUTLIERS: "By outlier photos alone",
}

_ROWS = {  # of the paper's tables
    "random": "Random",
    "default": "Default (first of the list)",
    OUTLIERS: "Tiny-ImageNet (outlier photos)",
    "average": "Average",
    "worst": "Worst, in hindsight",
    "best": "Best, in hindsight",
    "global_best": "Global best, in hindsight",
    CHOSEN: "Ours (chosen)",
}

VERDICTS = {  # the body's class, which is its colour, and the headline
    "better": ("chosen", "The choice beats a random one"),
    "unclear": ("tied", "Not told apart from a random choice"),
    "worse": ("abstained", "The choice is worse than a random one"),
}
FIXED = {"better": " and the best fixed one", "unclear": "", "worse": ", not the best fixed one"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What stands at the top of the page."""

    tone: str
    headline: str
    sentences: Sequence[str]
    caveats: Sequence[str]


def signed(value: object, digits: int = 3) -> str:
    """A difference of AUROCs: `.031`, `−.004`."""
    x = number(value)
    if x is None:
        return DASH
    text = f"{abs(x):.{digits}f}"
    sign = "−" if x < 0 and float(text) else ""
    return sign + (text.removeprefix("0") if abs(x) < 1 else text)


def signed_tick(value: float) -> str:
    """For the figures of a scale: `−.1`, `0`, `.05`."""
    text = signed(value, 3).rstrip("0").rstrip(".")
    return text or "0"


def within(one: Interval) -> str:
    """`.031 (.012 to .060)`."""
    return f"{signed(one['value'])} ({signed(one['low'])} to {signed(one['high'])})"


def p_value(value: object) -> str:
    x = number(value)
    if x is None:
        return DASH
    if x >= 0.995:
        return "1"
    return "under .001" if x < 0.001 else f"{x:.{3 if x < 0.01 else 2}f}".removeprefix("0")


def same_variants(shown: Sequence[str]) -> str | None:
    """Why fewer than three variants are shown."""
    left_out = [title.lower() for name, (title, _) in VARIANTS.items() if name not in shown]
    if not left_out:
        return None
    if len(shown) == 1:
        return "Every task has a single out-class, so one-vs-rest and one-vs-one are the same."
    return f"Left out, since its figures are the same as others: {listed(left_out)}."


def strategy(name: str) -> str:
    return _STRATEGIES.get(name) or f"By {name} alone"


def table_row(name: str) -> str:
    """K = 3 and so on is said in the name of such a rule."""
    return _ROWS.get(name) or (f"By {name}" if " = " in name else f"By {name} alone")


def menu(name: str) -> str:
    return {EVERYTHING: "All candidates", DETECTORS: "Detectors"}.get(name, name[:1].upper() + name[1:])


def verdict(result: Result) -> Verdict:
    """Of all tasks together, one-vs-rest."""
    report = result["regret"][EVERYTHING]
    figures = report["variants"]["one_vs_rest"]
    tone, headline = VERDICTS[_beside(figures["chosen_minus"][RANDOM])]
    if tone == "chosen" and len(report["tasks"]) > 1:  # of one task, best fixed is choosing with labels
        headline += FIXED[_beside(figures["chosen_minus"][BEST_FIXED])]
    return Verdict(
        tone=tone,
        headline=headline,
        sentences=[_worth(report, figures), _others(figures), _extent(result, report)],
        caveats=caveats(report, figures),
    )


def difference(one: Interval) -> str:
    """Chosen minus another, in a word. Of two that always agree nothing can be told."""
    if one["low"] == one["value"] == one["high"] == 0:
        return "the same"
    words = {"better": "the choice is better", "unclear": "not told apart", "worse": "the choice is worse"}
    return words[_beside(one)]


def caveats(report: Mapping[str, Any], figures: Mapping[str, Any]) -> list[str]:
    """Why not to lean on the figures too heavily; those that apply."""
    found = [_few_tasks(report), _few_seeds(report), _wide(figures), _dominant(figures), _incomplete(report)]
    return [sentence for sentence in found if sentence]


def coverage(report: Mapping[str, Any]) -> str:
    """Whether simulated intervals hold the truth as often as they promise, in a sentence or two."""
    rows, confidence = report["figures"], report["confidence"]
    short = [row for row in rows if row["covered_high"] < confidence]
    above = sum(row["covered_low"] > confidence for row in rows)
    said = []
    if above:
        said.append(f"In {above} of {len(rows)} rows surely more often than promised: wider than need be.")
    if short:
        where = [f"{row['parts']} parts at {auroc(row['true_auroc'])}" for row in short]
        said.append(f"Surely less often than promised with {listed(where)}.")
    return " ".join(said) or "In no row surely more or less often than promised."


def promise(row: Mapping[str, Any]) -> str:
    """What a summary of thresholds says of the promised rate, in words."""
    rejects = row["false_rejects"]
    if rejects["p_value"] >= FALSE_ALARM:
        kept = "The test photos do not speak against it."
    else:
        kept = (
            f"So many, or more, would be rejected in {_rarely(rejects['p_value'])} of cases if it were true."
        )
    if row["method"] == "held_out":
        return f"Promised: at most {percent(rejects['promised_rate'])}. {kept}"
    return f"Aimed at {percent(rejects['promised_rate'])}, without a promise. {kept}"


def worst_threshold(units: Sequence[Mapping[str, Any]]) -> str | None:
    """The task of one seed whose good photos speak loudest against the rate, if not by chance alone.

    The smallest of many p-values is small by chance: it has to be so times their number (Bonferroni).
    """
    worst = min(units, key=lambda unit: unit["false_rejects"]["p_value"])
    rejects = worst["false_rejects"]
    if rejects["p_value"] * len(units) >= FALSE_ALARM:
        return None
    return (
        f"Worst in {worst['task']}: {rejects['rejected']} of {rejects['photos']} rejected, "
        f"{percent(rejects['rate'])} instead of {percent(rejects['promised_rate'])}."
    )


def _beside(one: Interval) -> str:
    """The difference chosen minus another: is it surely on one side of 0?"""
    if one["high"] < 0:
        return "better"
    return "worse" if one["low"] > 0 else "unclear"


def _worth(report: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    mine = figures["strategies"][CHOSEN]["mean"]
    reached = mine["auroc"]
    return (
        "Seeing good photos only, the choice took detectors with a true AUROC of "
        f"{auroc(reached['value'])} on average ({auroc(reached['low'])} to {auroc(reached['high'])}; "
        f"{percent(report['confidence'])} intervals). "
        f"The regret, how much more the best single detector of each task has, is {within(mine['regret'])}. "
        f"In sample, which flatters the best one, it is {within(mine['regret_in_sample'])}; "
        "the truth is expected between the two."
    )


def _others(figures: Mapping[str, Any]) -> str:
    of = {name: figures["strategies"][name]["mean"] for name in (RANDOM, BEST_FIXED, LABELS_ON_HALF)}
    beside = {name: difference(figures["chosen_minus"][name]) for name in of}
    return (
        f"A detector taken at random has a regret of {signed(of[RANDOM]['regret']['value'])}: "
        f"{beside[RANDOM]}. The one fixed detector that is best in hindsight has "
        f"{signed(of[BEST_FIXED]['regret']['value'])}: {beside[BEST_FIXED]}. Choosing with labels on half of "
        f"the test photos has {signed(of[LABELS_ON_HALF]['regret_in_sample']['value'])} in sample, beside "
        f"{signed(figures['strategies'][CHOSEN]['mean']['regret_in_sample']['value'])} of the choice: "
        f"{beside[LABELS_ON_HALF]}."
    )


def _extent(result: Result, report: Mapping[str, Any]) -> str:
    counts = [
        plural(len(report["tasks"]), "task"),
        plural(len(report["seeds"]), "seed"),
        plural(len(report["singles"]), "single candidate"),
    ]
    ensembles = len(result["candidates"]) - len(report["singles"])
    more = f", and {plural(ensembles, 'ensemble')} that may be chosen and never counts as the best"
    return f"Over {listed(counts)}{more if ensembles else ''}."


def _few_tasks(report: Mapping[str, Any]) -> str | None:
    count = len(report["tasks"])
    if count == 1:
        return "One task alone: what holds for this part may not hold for another."
    return (
        "The intervals say what other test photos and other seeds would have moved. They know nothing of "
        f"other parts than these {count}."
    )


def _few_seeds(report: Mapping[str, Any]) -> str | None:
    if len(report["seeds"]) > 1:
        return None
    return "One seed: how much another split or other synthetic anomalies would have moved is not known."


def _wide(figures: Mapping[str, Any]) -> str | None:
    regret = figures["strategies"][CHOSEN]["mean"]["regret"]
    width = regret["high"] - regret["low"]
    if width <= WIDE:
        return None
    return (
        f"The interval of the regret is {signed(width)} wide, as far apart as good and middling detectors "
        "often lie. More labelled test photos would narrow it."
    )


def _dominant(figures: Mapping[str, Any]) -> str | None:
    """Where one task makes most of the regret, what it is without."""
    by_task = {name: one["regret"]["value"] for name, one in figures["strategies"][CHOSEN]["by_task"].items()}
    total = sum(max(0.0, regret) for regret in by_task.values())
    worst = max(by_task, key=lambda name: by_task[name])
    if len(by_task) < FEWEST_TASKS or by_task[worst] <= DOMINANT * total or sum(by_task.values()) <= 0:
        return None
    without = (sum(by_task.values()) - by_task[worst]) / (len(by_task) - 1)
    return (
        f"One task dominates: {worst} has a regret of {signed(by_task[worst])}; "
        f"without it the mean is {signed(without)}."
    )


def _incomplete(report: Mapping[str, Any]) -> str | None:
    names = report["incomplete"]
    return f"Left out, since not all seeds are there: {listed(list(names))}." if names else None


def _rarely(p: float) -> str:
    return "under 0.1\u202f%" if p < 0.001 else percent(p)
