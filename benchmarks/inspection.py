"""Calibrates on real inspection photos and says, with the labels, what that was worth.

    GOODPARTS_DATA=/path/to/data python -m benchmarks.inspection [--seeds N] [--categories NAME ...]

The data folder holds `inspection/CATEGORY/train/good` and `inspection/CATEGORY/test/{good,DEFECT}`. Regret is
the best candidate's AUROC on the test photos minus the chosen one's. With some forty good test photos each
AUROC is itself uncertain by .02 to .05, and the largest of many is biased upwards.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from appliance.calibrate import calibrate
from appliance.intake import IntakeOptions, read_photo
from appliance.label_check import LabelCheck, check_with_labels
from appliance.photo_files import list_photos
from appliance.pictures import Pixels
from appliance.progress import Silent
from appliance.settings import Settings, default_settings, load
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
    data = os.environ.get("GOODPARTS_DATA")
    if not data or not Path(data, "inspection").is_dir():
        print(
            "skipped: set GOODPARTS_DATA to a folder that holds inspection/CATEGORY/train/good",
            file=sys.stderr,
        )
        return 0
    settings = default_settings() if options.config is None else load(options.config)
    folders = sorted(path for path in Path(data, "inspection").iterdir() if path.is_dir())
    print(f"{' '.join(sys.argv)}\n{machine()}\n\n{COLUMNS}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for folder in folders:
            if not options.categories or folder.name in options.categories:
                for seed in range(options.seeds):
                    print(_row(folder, seed, settings, options.keep or Path(scratch)), flush=True)
    return 0


def _row(category: Path, seed: int, settings: Settings, keep: Path) -> str:
    out = keep / f"{category.name}-{seed}"
    station = settings.station().model_copy(update={"seed": seed})
    start = time.monotonic()
    result = calibrate(category / "train" / "good", out, station, settings.engines, Silent())
    seconds = time.monotonic() - start
    defects = [path for path in sorted((category / "test").iterdir()) if path.name != "good"]
    check = check_with_labels(
        out, _photos(category / "test" / "good"), [photo for folder in defects for photo in _photos(folder)]
    )
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


def _photos(folder: Path) -> list[Pixels]:
    return [np.asarray(read_photo(file.path, IntakeOptions())) for file in list_photos(folder).files]


if __name__ == "__main__":
    sys.exit(main())
