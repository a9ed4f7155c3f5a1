"""Proves that engines compute what the networks behind them compute, on every rung that this machine has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engines.errors import EngineError
from engines.manifest import FILE_NAME, Manifest, check_files, load_manifest
from engines.verified import ACCEPTED, REFUSED, needs_verdict, record_verdict
from export.checkpoints import Checkpoints
from export.errors import UsageError
from export.fresh_inputs import fresh_inputs
from export.observation import Missed, Observation, Task, Values, golden_cases, observe, ranker
from export.originals import rebuild
from export.rungs import ONNX, PYTORCH, Rung, cuda_rung, onnx_rung, plan_rungs, torch_rung
from export.seen import SIBLING, Seen, settled
from export.steps import step
from export.verdict import (
    NOT_PROVEN,
    Ranked,
    Row,
    Verdict,
    doubts,
    faults,
    fresh_rows,
    gives_golden,
    golden_rows,
)

NOT_THE_SAME = (
    "what its recipe builds here does not give its golden outputs. Another release of this program or of "
    "PyTorch draws or computes it differently; export it again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    folder: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    rungs: Collection[str]  # families
    quick: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Of one engine. `reference`: what its outputs were compared with, in words."""

    folder: Path
    manifest: Manifest | None
    verdict: Verdict
    reasons: tuple[str, ...]
    recorded: bool = False
    reference: str = ""
    rungs: tuple[tuple[str, str], ...] = ()  # name, what was run or why it was not
    rows: tuple[Row, ...] = ()
    ranked_by: str = ""  # or why there is no ranking
    rankings: tuple[Ranked, ...] = ()


def find_engines(roots: Sequence[Path]) -> list[Path]:
    """Every folder with a manifest at or below the roots. UsageError where there is none."""
    found: dict[Path, Path] = {}
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"{root}: not a folder. Give the folder of an engine, or one above it.")
        here = sorted(path.parent for path in root.rglob(FILE_NAME) if not _is_hidden(path, root))
        if not here:
            raise UsageError(f"{root}: no engine in it, as no {FILE_NAME} is. Give another folder.")
        found |= {folder.resolve(): folder for folder in here}
    return list(found.values())


def verify_all(folders: Sequence[Path], checkpoints: Checkpoints, options: Options) -> Iterator[Report]:
    """One report after the other, so that a reader sees the first while the second is made."""
    engines: list[Engine] = []
    broken: dict[Path, Report] = {}
    for folder in folders:
        try:
            manifest = load_manifest(folder)
            check_files(manifest, folder)
            engines.append(Engine(folder=folder, manifest=manifest))
        except EngineError as error:
            broken[folder] = Report(folder=folder, manifest=None, verdict=REFUSED, reasons=(str(error),))
    _check_checkpoints(checkpoints, engines)
    by_folder = {engine.folder: engine for engine in engines}
    for folder in folders:
        yield broken.get(folder) or verify(by_folder[folder], engines, checkpoints, options)


def verify(engine: Engine, others: Sequence[Engine], checkpoints: Checkpoints, options: Options) -> Report:
    """`others` may hold an fp32 engine of the same weights, which serves as the reference if the original
    cannot be had.
    """
    skipped = options.quick and engine.manifest.kind == "unet"
    rank, ranked_by = ranker(engine.manifest, engine.folder)
    golden, expected = golden_cases(engine.manifest, engine.folder)
    cases = fresh_inputs(engine.manifest, engine.folder)
    task = Task(cases=cases, golden=golden, expected=expected, rank=None if skipped else rank)
    seen = _look(engine, others, checkpoints, options, task)
    seen, remark = settled(engine.manifest, seen)
    ranked_by = ". ".join(filter(None, [ranked_by, remark]))
    report = _judged(engine.manifest, seen, expected, skipped=skipped, ranked_by=ranked_by)
    return _recorded(replace(report, folder=engine.folder), seen)


def _look(
    engine: Engine, others: Sequence[Engine], checkpoints: Checkpoints, options: Options, task: Task
) -> Seen:
    base, reference, first = _reference(engine, others, checkpoints, options, task)
    seen: dict[str, Observation | Missed] = {} if first is None or base is None else {base.name: first}
    said = [(PYTORCH, reference)] if PYTORCH in options.rungs else []
    rungs = _engine_rungs(engine, options)
    if first is None and sum(rung.open is not None for rung in rungs) < 2:
        task = replace(task, rank=None)  # one ranking alone shows nothing
    for rung in rungs:
        result = seen[rung.name] = _observed(rung, task, engine.manifest.name)
        said.append((rung.name, result.said if isinstance(result, Missed) else rung.said))
    found = {name: one for name, one in seen.items() if isinstance(one, Observation)}
    named = {rung.name: rung for rung in [*([base] if base else []), *rungs]}
    if base is None and engine.manifest.precision == "fp32" and ONNX in found:
        base = named[ONNX]  # further rungs are compared with it
    return Seen(
        base=base.name if base else None,
        reference=reference,
        found=found,
        rungs={name: named[name] for name in found},
        missed={name: one for name, one in seen.items() if isinstance(one, Missed)},
        said=tuple(said),
    )


def _reference(
    engine: Engine, others: Sequence[Engine], checkpoints: Checkpoints, options: Options, task: Task
) -> tuple[Rung | None, str, Observation | None]:
    """The rung, what it is in words, and what it gave: the original, else an fp32 engine of its weights."""
    original = _original(engine, checkpoints, options)
    if isinstance(original, Rung):
        result = _observed(original, task, engine.manifest.name)
        if isinstance(result, Observation) and gives_golden(engine.manifest, task.expected, result):
            return original, original.said, result
        original = NOT_THE_SAME if isinstance(result, Observation) else result.said.removeprefix("not run: ")
    lacking = f"the original cannot be had: {original}"
    sibling = _sibling(engine, others)
    if sibling is not None:
        rung = replace(onnx_rung(sibling.folder, sibling.manifest), name=SIBLING)
        result = _observed(rung, task, sibling.manifest.name)
        if isinstance(result, Observation) and gives_golden(engine.manifest, task.expected, result):
            return rung, f"{lacking} {sibling.folder}, in fp32 with the same weights, stands in.", result
    return None, f"{lacking} Its golden outputs, kept at the export, stand in.", None


def _original(engine: Engine, checkpoints: Checkpoints, options: Options) -> Rung | str:
    """The rung, or why there is none."""
    recipe, sha256 = engine.manifest.recipe, engine.manifest.source_sha256
    if PYTORCH not in options.rungs:
        return "--rungs leaves it out."
    if not recipe:
        return "the manifest has no recipe to build it by."
    path = None
    if recipe.get("weights") != "random":
        path = checkpoints.find(sha256)
        if path is None:
            return f"name its checkpoint (sha256 {sha256[:12]}…) with --checkpoint."
    said = "random weights, by its recipe" if path is None else path.name
    rung = torch_rung(lambda: rebuild(recipe, path))
    return replace(rung, said=f"{rung.said}; the original, {said}")


def _sibling(engine: Engine, others: Sequence[Engine]) -> Engine | None:
    """An engine in fp32 of the same network and weights, where this one has another precision."""
    own = engine.manifest
    for other in others:
        manifest = other.manifest
        same = all(
            getattr(own, key) == getattr(manifest, key)
            for key in ("kind", "source_sha256", "recipe", "outputs", "interpolation", "image_size")
        )
        if same and manifest.precision == "fp32" != own.precision:
            return other
    return None


def _engine_rungs(engine: Engine, options: Options) -> list[Rung]:
    rungs = [
        onnx_rung(engine.folder, engine.manifest),
        cuda_rung(engine.folder, engine.manifest),
        *plan_rungs(engine.folder, engine.manifest),
    ]
    return [rung for rung in rungs if rung.family in options.rungs]


def _observed(rung: Rung, task: Task, name: str) -> Observation | Missed:
    if rung.open is None:
        return observe(rung, task)
    with step(f"{name}: {rung.name}"):
        return observe(rung, task)


def _judged(
    manifest: Manifest, seen: Seen, expected: Mapping[str, Values], *, skipped: bool, ranked_by: str
) -> Report:
    originals = {name: one for name, one in seen.found.items() if name != SIBLING}
    rows = [*golden_rows(manifest, expected, originals), *fresh_rows(manifest, seen.base, seen.found)]
    rankings = tuple(_rankings(seen))
    wrong = [f"{name} {one.said}" for name, one in seen.missed.items() if one.is_fault]
    wrong += faults(rows, rankings)
    unranked = "" if rankings else _unranked(skipped, seen)
    doubtful = doubts(manifest, rankings, skipped=skipped, unranked=unranked)
    if not seen.own:
        doubtful = ["no rung of the engine itself was run; leave out --rungs, or name onnxruntime"]
    return Report(
        folder=Path(),
        manifest=manifest,
        verdict=REFUSED if wrong else NOT_PROVEN if doubtful else ACCEPTED,
        reasons=tuple(wrong or doubtful or _reservations(seen)),
        reference=seen.reference,
        rungs=seen.said,
        rows=tuple(rows),
        ranked_by=unranked or ranked_by,
        rankings=rankings,
    )


def _reservations(seen: Seen) -> list[str]:
    """What a reader should know of an acceptance."""
    if seen.base in (PYTORCH, SIBLING):
        return []
    return ["shown by the golden outputs alone, not by the original network"]


def _rankings(seen: Seen) -> Iterator[Ranked]:
    """The reference's, and each other's beside it; none where there is but one."""
    parities = seen.parities()
    values = {name: one.ranking or {} for name, one in seen.found.items()}
    if seen.base is not None and parities:
        yield Ranked(rung=seen.base, values=values[seen.base], parity=None)
    for name, parity in parities.items():
        yield Ranked(rung=name, values=values[name], parity=parity)


def _unranked(skipped: bool, seen: Seen) -> str:
    if skipped:
        return "not run (--quick)"
    if seen.base is None or seen.base == ONNX:
        return "not run: nothing to compare with, as the original is missing and no other rung was run"
    return "not run: no rung of the engine was run"


def _recorded(report: Report, seen: Seen) -> Report:
    """Writes the verdict where a box will ask for it."""
    manifest = report.manifest
    if manifest is None or not needs_verdict(manifest) or report.verdict == NOT_PROVEN:
        return report
    try:
        record_verdict(
            manifest,
            report.folder,
            accepted=report.verdict == ACCEPTED,
            reason="; ".join(report.reasons),
            rungs=tuple(seen.own),
        )
    except OSError as error:
        unwritten = f"the verdict ({report.verdict}) cannot be written to {report.folder}: {error.strerror}"
        return replace(report, verdict=NOT_PROVEN, reasons=(unwritten, *report.reasons))
    return replace(report, recorded=True)


def _check_checkpoints(checkpoints: Checkpoints, engines: Sequence[Engine]) -> None:
    """UsageError if a checkpoint is named and no engine was made from any."""
    wanted = {engine.manifest.source_sha256: engine for engine in engines}
    if checkpoints.paths and engines and not any(checkpoints.find(sha256) for sha256 in wanted):
        sha256, engine = next(iter(wanted.items()))
        named = ", ".join(f"{path.name} has {digest[:12]}…" for digest, path in checkpoints.hashes().items())
        raise UsageError(
            f"--checkpoint: {named}, but {engine.folder} was made from weights of sha256 {sha256[:12]}…. "
            "Name the file that it was exported from."
        )


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
