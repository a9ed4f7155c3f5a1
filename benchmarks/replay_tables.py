"""A replay's figures as Markdown, and the blocks of a document that they stand in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from appliance.errors import UsageError

Result = Mapping[str, Any]

VARIANTS = {"one_vs_rest": "one-vs-rest", "average": "one-vs-one, average", "closest": "one-vs-one, closest"}
STRATEGIES = {
    "chosen": "**chosen from good photos alone**",
    "labels_on_half": "chosen with labels on half of the test photos",
    "best_fixed": "best fixed candidate in hindsight",
    "random": "at random",
    "first": "the first candidate (default choice)",
    "outliers": "highest AUROC on Tiny-ImageNet",
}
ROWS = {
    **STRATEGIES,
    "random": "random (its AUROC: the paper's row average)",
    "default": "default (the first)",
    "worst": "worst in hindsight",
    "best": "best in hindsight",
    "global_best": "global best",
}
END = "<!-- end -->"


def blocks(name: str, result: Result) -> dict[str, str]:
    """Markdown by the name of the block: the study's and the table's, such as `natural regret`."""
    makers: dict[str, Callable[[Result], str]] = {
        "about": about,
        "regret": regret,
        "tasks": tasks,
        "words": words,
        "ranks": ranks,
        "choices": choices,
        "thresholds": thresholds,
        "coverage": coverage,
    }
    return {f"{name} {table}": make(result) for table, make in makers.items()}


def with_blocks(text: str, found: Mapping[str, str]) -> str:
    """`text` with the content of each of its blocks replaced by what was found for it.

    UsageError if a block begins and does not end.
    """

    def replaced(match: re.Match[str]) -> str:
        block = match["name"]
        return f"{match['begin']}\n{found[block]}\n{END}" if block in found else match[0]

    begins = len(re.findall(r"<!-- replay: ", text))
    pattern = re.compile(r"(?P<begin><!-- replay: (?P<name>[^>]+?) -->)\n.*?" + re.escape(END), re.DOTALL)
    if len(pattern.findall(text)) != begins:
        raise UsageError(f"a block of the document begins and does not end with {END}. Add it.")
    return pattern.sub(replaced, text)


def about(result: Result) -> str:
    dataset, software = result["dataset"], result["software"]
    sets = [task["support"] for task in dataset["tasks"]]
    seconds = [unit["seconds"] for unit in result["units"]]
    few, many = min(sets), max(sets)
    photos = f"{many}" if few == many else f"{few} to {many}"
    return (
        f"{len(dataset['tasks'])} tasks, seeds: {software['seeds']}, {len(result['candidates'])} candidates, "
        f"{photos} good photos to choose from; {sum(seconds) / 60:.0f} minutes of one core, "
        f"{sum(seconds) / len(seconds):.0f} s a task and seed, at most "
        f"{max(unit['peak_mib'] for unit in result['units']):.0f} MiB a process."
    )


def regret(result: Result) -> str:
    """Strategies by variant; variants that say the same (one out-class each) stand once."""
    report = result["regret"]["all"]
    head = ["choice", "variant", "AUROC", "regret", "90 % interval", "worst task", "regret in sample"]
    rows = []
    for variant in _distinct(report["variants"]):
        for name, found in report["variants"][variant]["strategies"].items():
            mean, worst = found["mean"], found["worst_task"]
            rows.append(
                [
                    STRATEGIES.get(name, f"highest AUROC on {name}"),
                    VARIANTS[variant],
                    _auroc(mean["auroc"]["value"]),
                    _auroc(mean["regret"]["value"]),
                    f"{_auroc(mean['regret']['low'])} to {_auroc(mean['regret']['high'])}",
                    f"{worst} {_auroc(found['by_task'][worst]['regret']['value'])}",
                    _auroc(mean["regret_in_sample"]["value"]),
                ]
            )
    return table(head, rows)


def tasks(result: Result) -> str:
    """One-vs-rest AUROC of what each seed chose, beside the task's best; outcomes counted."""
    head = ["task", "chosen", "AUROC", "best candidate", "AUROC", "worst", "outcomes"]
    rows = []
    for task in result["dataset"]["tasks"]:
        units = [unit for unit in result["units"] if unit["task"] == task["name"]]
        true = [unit["true"]["one_vs_rest"] for unit in units]
        mean = {name: sum(one[name] for one in true) / len(true) for name in true[0]}
        picked = [unit["chosen"] for unit in units]
        reached = [one[name] for one, name in zip(true, picked, strict=True)]
        best = max(mean, key=lambda name: mean[name])
        rows.append(
            [
                task["name"],
                _counted(picked),
                _over_seeds(reached),
                best,
                _auroc(mean[best]),
                _auroc(min(mean.values())),
                _counted([unit["outcome"] for unit in units]),
            ]
        )
    return table(head, rows)


def _over_seeds(aurocs: Sequence[float]) -> str:
    mean = _auroc(sum(aurocs) / len(aurocs))
    return f"{mean} ({_auroc(min(aurocs))} to {_auroc(max(aurocs))})" if len(aurocs) > 1 else mean


def words(result: Result) -> str:
    """Regret within each of chosen, tied, abstained."""
    rows = [
        [
            outcome,
            str(one["units"]),
            _auroc(one["regret"]["value"]),
            f"{_auroc(one['regret']['low'])} to {_auroc(one['regret']['high'])}",
        ]
        for outcome, one in result["regret"]["all"]["variants"]["one_vs_rest"]["by_outcome"].items()
    ]
    return table(["outcome", "choices", "regret", "90 % interval"], rows)


def ranks(result: Result) -> str:
    """Rank correlation of synthetic and true AUROC over candidates, by source of anomalies."""
    rows = []
    for source, variants in result["rank_agreement"].items():
        one = variants["one_vs_rest"]
        curve = result["curves"]["all"]["spearman"].get(source, {}).get("all", {})
        rows.append(
            [
                "the decision (mean rank)" if source == "decision" else source,
                _signed(one["spearman"]),
                _signed(curve.get("one_vs_rest")) if curve else "–",
                f"{100 * one['best_in_top']:.0f} %",
            ]
        )
    head = ["source", "rank correlation, mean of tasks", "of means over tasks", "best among its first three"]
    return table(head, rows)


def choices(result: Result) -> str:
    """The paper's Tables 1 and 2: hits and mean AUROC of the picks, in sample, by menu."""
    return "\n\n".join(
        f"Choice among {len(one['menu'])} ({menu}), {group} tasks:\n\n{_choice_table(variants)}"
        for menu, one in result["choice_tables"].items()
        for group, variants in one["groups"].items()
    )


def thresholds(result: Result) -> str:
    if not result["thresholds"]:
        return "The paper's protocol sets no threshold."
    rows = [
        [
            str(row["seed"]),
            "certified" if row["method"] == "held_out" else "estimated",
            str(row["tasks"]),
            f"{row['false_rejects']['rejected']} of {row['false_rejects']['photos']}",
            f"{100 * row['false_rejects']['rate']:.1f} %",
            f"{100 * row['false_rejects']['promised_rate']:.3g} %",
            f"{row['false_rejects']['p_value']:.2g}",
            f"{100 * row['detection_rate']:.0f} %",
        ]
        for row in result["thresholds"]
    ]
    return table(["seed", "threshold", "tasks", "false rejects", "rate", "asked", "p", "found"], rows)


def coverage(result: Result) -> str:
    if not result["coverage"]:
        return "The paper's protocol gives no intervals."
    rows = [
        [
            str(row["parts"]),
            _auroc(row["true_auroc"]),
            f"{100 * row['covered']:.0f} %",
            f"{100 * row['covered_low']:.0f} to {100 * row['covered_high']:.0f} %",
            _auroc(row["mean_width"]),
        ]
        for row in result["coverage"]["figures"]
    ]
    return table(["parts", "true AUROC", "intervals that hold it", "between", "mean width"], rows)


def _choice_table(variants: Mapping[str, Any]) -> str:
    shown = _distinct(variants)
    head = ["choice", *(f"{VARIANTS[variant]}: hits · AUROC" for variant in shown)]
    names = variants[shown[0]]["rows"]
    rows = [
        [
            ROWS.get(name, f"highest AUROC on {name}"),
            *(_hits(variants[variant]["rows"][name]) for variant in shown),
        ]
        for name in names
    ]
    return table(head, rows)


def _hits(row: Mapping[str, float]) -> str:
    return f"{100 * row['hits']:.1f} % · {_auroc(row['auroc'])}"


def _distinct(variants: Mapping[str, Any]) -> list[str]:
    """Variants but for those whose figures equal an earlier one's."""
    found: list[str] = []
    for variant in VARIANTS:
        if all(variants[variant] != variants[earlier] for earlier in found):
            found.append(variant)
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _counted(values: Sequence[str]) -> str:
    counts = {value: values.count(value) for value in dict.fromkeys(values)}
    return ", ".join(value if len(counts) == 1 else f"{value} ({n})" for value, n in counts.items())


def _auroc(value: float) -> str:
    """.973; minus as a real one."""
    return f"{value:.3f}".replace("-", "−").replace("0.", ".", 1)


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")
