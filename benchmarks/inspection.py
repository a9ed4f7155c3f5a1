"""Calibrates on real inspection photos and says, with the labels, what that was worth.

    GOODPARTS_DATA=/path/to/data python -m benchmarks.inspection [--seeds N] [--categories NAME ...]

The data folder holds `inspection/CATEGORY/train/good` and `inspection/CATEGORY/test/{good,DEFECT}`. Regret is
the best candidate's AUROC on the test photos minus the chosen one's. With some forty good test photos each
AUROC is itself uncertain by .02 to .05, and the largest of many is biased upwards.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance.calibrate import calibrate
from appliance.errors import GoodpartsError
from appliance.label_check import LabelCheck, check_with_labels
from appliance.progress import Silent
from appliance.settings import Settings, default_settings, load
from benchmarks.labelled import data_folder, read_defects, read_photos, subfolders
from benchmarks.machine import machine

COLUMNS = (
    f"{'category':<15} {'seed':>4} {'decision':<9} {'chosen':<24} {'AUROC':>6} {'best candidate':<24}"
    f" {'AUROC':>6} {'worst':>6} {'regret':>6} {'rejects':>8} {'found':>8} {'s':>5} {'MiB':>5}"
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1, help="calibrations of each category (%(default)s)")
    parser.add_argument("--categories", nargs="*", help="default all")
    parser.add_argument("--config", type=Path, help="settings in place of the defaults")
    parser.add_argument("--keep", type=Path, help="keep the run folders here")
    options = parser.parse_args()
    data = data_folder()
    if data is None:
        return 0
    try:
        _calibrate_all(subfolders(data / "inspection", options.categories or ()), options)
    except GoodpartsError as error:
        print(f"benchmarks.inspection: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _calibrate_all(categories: Sequence[Path], options: argparse.Namespace) -> None:
    settings = default_settings() if options.config is None else load(options.config)
    print(f"{' '.join(sys.argv)}\n{machine()}\n\n{COLUMNS}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for category in categories:
            for seed in range(options.seeds):
                print(_row(category, seed, settings, options.keep or Path(scratch)), flush=True)


def _row(category: Path, seed: int, settings: Settings, keep: Path) -> str:
    out = keep / f"{category.name}-{seed}"
    station = settings.station().model_copy(update={"seed": seed})
    start = time.monotonic()
    result = calibrate(category / "train" / "good", out, station, settings.engines, Silent())
    seconds = time.monotonic() - start
    defective = [photo for photos in read_defects(category).values() for photo in photos]
    check = check_with_labels(out, read_photos(category / "test" / "good"), defective)
    return _line(category.name, seed, result, check, seconds)


def _line(category: str, seed: int, result: dict[str, Any], check: LabelCheck, seconds: float) -> str:
    true = check.auroc
    chosen, best, worst = check.chosen, check.best, check.worst
    peak = max(stage["peak_mib"] for stage in result["stages"])
    return (
        f"{category:<15} {seed:>4} {result['decision']:<9} {chosen:<24} {true[chosen]:>6.3f} {best:<24}"
        f" {true[best]:>6.3f} {true[worst]:>6.3f} {true[best] - true[chosen]:>6.3f}"
        f" {check.false_rejects:>4}/{check.good:<3} {check.detections:>4}/{check.defective:<3}"
        f" {seconds:>5.0f} {peak:>5.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
