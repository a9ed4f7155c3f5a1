"""Reads published weights and puts them into a network, tensor by tensor or not at all.

Nothing in a file is run: `.safetensors`, or `.pt` and `.pth` with `weights_only`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from export.errors import ExportError
from export.tensor_files import read_tensors

State = dict[str, Tensor]
LISTED = 20
HINT = "Name the network that the weights belong to."
WRAPPERS = ("state_dict", "model", "model_ema", "teacher")  # keys under which trainings keep the weights
COUNTERS = "num_batches_tracked"  # of batch norms: training alone needs them


def read_state(path: Path) -> State:
    """The tensors of a file by name, in fp32. UsageError if there is none, ExportError if it is not one."""
    found = read_tensors(path)
    for key in WRAPPERS:
        found = found[key] if isinstance(found, dict) and isinstance(found.get(key), dict) else found
    if not isinstance(found, dict) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise ExportError(f"{path}: holds {_described(found)}, needs tensors by name. Save a state dict.")
    return {
        str(name).removeprefix("module."): value.float() if value.is_floating_point() else value
        for name, value in found.items()
    }


def load_weights(
    model: nn.Module,
    state: State,
    *,
    where: str,
    heads: Sequence[str] = (),
    convert: Callable[[State], State] | None = None,
    hint: str = "",
) -> bool:
    """Puts the weights into `model`. ExportError, which lists all that does not fit.

    `heads`: prefixes of weights that may be there and are not used. `convert` is tried if the weights do not
    fit as they are; returns whether it was.
    """
    wanted = {name: value for name, value in model.state_dict().items() if not name.endswith(COUNTERS)}
    given, converted = _without(state, wanted, heads), False
    faults = misfits(given, wanted)
    if faults and convert is not None:
        other = _without(_attempt(convert, state), wanted, heads)
        other_faults = misfits(other, wanted)
        if len(other_faults) < len(faults):
            given, faults, converted = other, other_faults, True
    if faults:
        raise ExportError(_told(where, faults, hint))
    model.load_state_dict(given, strict=False)  # but for counters nothing is missing
    return converted


def misfits(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """One line for each tensor that is missing, unknown, of another shape or no floating point."""
    shared = [name for name in wanted if name in given]
    return [
        *(f"missing: {name} {list(value.shape)}" for name, value in wanted.items() if name not in given),
        *(f"unknown: {name} {list(value.shape)}" for name, value in given.items() if name not in wanted),
        *(
            f"shape: {name} is {list(given[name].shape)}, needs {list(wanted[name].shape)}"
            for name in shared
            if given[name].shape != wanted[name].shape
        ),
        *(
            f"type: {name} is {given[name].dtype}, needs {wanted[name].dtype}"
            for name in shared
            if given[name].is_floating_point() != wanted[name].is_floating_point()
        ),
    ]


def _without(state: State, wanted: Mapping[str, Tensor], heads: Sequence[str]) -> State:
    """What is left without counters and heads; what the network wants stays."""
    return {
        name: value
        for name, value in state.items()
        if name in wanted or not (name.endswith(COUNTERS) or name.startswith(tuple(heads)))
    }


def _attempt(convert: Callable[[State], State], state: State) -> State:
    """The converted weights; those of another network can make a conversion fail anyhow: then as they are."""
    try:
        converted = convert(state)
    except Exception:  # a library's code on unknown names: any fault means that they are not its weights
        return state
    return converted if all(isinstance(value, Tensor) for value in converted.values()) else state


def _told(where: str, faults: Sequence[str], hint: str) -> str:
    """Of every kind of fault the count, and the first ones: LISTED lines in all."""
    kinds: dict[str, list[str]] = {}
    for fault in faults:
        kinds.setdefault(fault.partition(":")[0], []).append(fault)
    counts = ", ".join(f"{kind} {len(found)}" for kind, found in kinds.items())
    lines = [f"{where}: {len(faults)} tensors do not fit ({counts}). {hint or HINT}"]
    shown = LISTED // len(kinds)
    for kind, found in kinds.items():
        lines += found[:shown]
        lines += [f"{kind}: and {len(found) - shown} more"] if len(found) > shown else []
    return "\n  ".join(lines)


def _described(found: Any) -> str:
    if not isinstance(found, dict):
        return f"a {type(found).__name__}"
    others = [f"{name} ({type(v).__name__})" for name, v in found.items() if not isinstance(v, Tensor)]
    return ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "") or "nothing"
