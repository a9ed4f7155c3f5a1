"""Makes targets in order: what is up to date is skipped, a failure stops only what builds on it."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engines.errors import EngineError
from engines.manifest import engine_hash, load_manifest
from engines.verified import ACCEPTED
from export.errors import ExportError
from export.steps import say
from export.targets import Target, commands, engine_folders
from export.up_to_date import BUILDERS, EXPORTERS, export_key, is_made, is_ours, mark_begun, mark_made

State = Literal["made", "up to date", "failed", "skipped"]
RunCommand = Callable[[list[str]], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    target: Target
    state: State
    seconds: float
    reason: str = ""

    @property
    def holds(self) -> bool:
        return self.state in ("made", "up to date")


def make_all(targets: Sequence[Target], run_command: RunCommand, *, force: bool) -> Iterator[Outcome]:
    """Gives each outcome when it is known. `force`: also what is up to date is made again."""
    held: dict[str, bool] = {}
    for number, target in enumerate(targets, 1):
        say(f"[{number}/{len(targets)}] {target.name}")
        start = time.monotonic()
        state, reason = _made(target, run_command, held, force=force)
        outcome = Outcome(target=target, state=state, seconds=time.monotonic() - start, reason=reason)
        say(f"[{number}/{len(targets)}] {target.name}: {state}{f': {reason}' if reason else ''}")
        held[target.name] = outcome.holds
        if state in ("made", "failed"):
            gc.collect()  # the next network needs the memory of this one
        yield outcome


def _made(
    target: Target, run_command: RunCommand, held: dict[str, bool], *, force: bool
) -> tuple[State, str]:
    if target.needs is not None and not held[target.needs]:
        return "skipped", f"{target.needs} was not made"
    try:
        key = _key(target)
        if not force and _is_up_to_date(target, key):
            return "up to date", ""
        for command in _begun(target, force=force):
            code = run_command(command)
            if code != 0:
                return "failed", f"goodparts-export {command[0]} ended with {code}; see above"
        if target.kind != "verify":
            mark_made(target.made, key)
    except (ExportError, EngineError) as error:
        return "failed", str(error)
    except MemoryError:
        return "failed", "the memory does not suffice"
    except Exception as error:  # one network's trouble, whatever it is, must not cost the others
        return "failed", f"{_place_of(error)}: {type(error).__name__}: {error}"
    return "made", ""


def _begun(target: Target, *, force: bool) -> list[list[str]]:
    """The command lines. They replace what an earlier run made; what else is in the way only by `force`."""
    if target.kind == "verify":
        return commands(target)
    replace = force or is_ours(target.made)
    if replace:
        mark_begun(target.made)
    return [[*command, *(["--force"] if replace else [])] for command in commands(target)]


def _key(target: Target) -> str:
    if target.kind == "export":
        return export_key(target.arguments, EXPORTERS)
    engines = [engine_hash(load_manifest(folder)) for folder in engine_folders(target)]
    return export_key([*target.arguments, *engines], BUILDERS)


def _is_up_to_date(target: Target, key: str) -> bool:
    if target.kind == "verify":
        return all(_is_accepted(folder) for folder in engine_folders(target))
    return is_made(target.made, key)


def _is_accepted(folder: Path) -> bool:
    manifest = load_manifest(folder)
    verdict = manifest.verified
    return verdict.get("verdict") == ACCEPTED and verdict.get("engine") == engine_hash(manifest)


def _place_of(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}, line {last.lineno}"


def summary(outcomes: Sequence[Outcome]) -> str:
    """A line for each target, then why what failed did."""
    width = max(len(outcome.target.name) for outcome in outcomes)
    lines = [f"{'TARGET':<{width}}  {'STATE':<10}  {'SECONDS':>7}  {'MiB':>8}"]
    for outcome in outcomes:
        size = (
            ""
            if not outcome.holds or outcome.target.kind == "verify"
            else f"{_size_mib(outcome.target):8.1f}"
        )
        lines.append(
            f"{outcome.target.name:<{width}}  {outcome.state:<10}  {outcome.seconds:7.1f}  {size}".rstrip()
        )
    lines += [f"{outcome.target.name}: {outcome.reason}" for outcome in outcomes if outcome.state == "failed"]
    return "\n".join(lines)


def _size_mib(target: Target) -> float:
    return sum(path.stat().st_size for path in target.made.paths()) / 2**20
