"""Run folders that are small and whole, with a bank, for the tests of what keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from appliance.detectors.bank import SavedBank, save_bank
from tests.sample_run import sample_result

BANK = "chosen%20one"


def put_run(
    station: Path, run_id: str, *, created: str | None = None, rows: int = 8, members: int = 0
) -> Path:
    """A run in the station's `runs/` whose chosen detector has a bank of `rows` rows, and banks of members.

    created: by default what the id says, as `20261124T051207Z`.
    """
    run = station / "runs" / run_id
    bank = run / "banks" / BANK
    bank.mkdir(parents=True)
    rng = np.random.default_rng(sum(run_id.encode()))
    for folder in (bank, *(bank / str(number) for number in range(members))):
        folder.mkdir(exist_ok=True)
        arrays = {"features": rng.normal(size=(rows, 16)).astype(np.float32)}
        save_bank(SavedBank(detector="chosen", source="a source", aspect=1.0, arrays=arrays), folder)
    result = sample_result()
    result["candidates"][0]["bank"] = BANK
    result["created"] = created or f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T{run_id[9:11]}:00:00+00:00"
    result["run_id"] = run_id
    (run / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return run
