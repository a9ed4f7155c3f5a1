"""The process that does one calibration: `python -m appliance.daemon.worker JOB`.

Says on its standard output what it does, a JSON object a line; the run folder is its result. It ends when its
standard input does: without the service nobody would take what it makes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

# Before numpy is loaded, as on the command line.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from appliance.daemon.job import Job
from appliance.errors import ConfigurationError, ImagesError, in_words


def main(arguments: list[str]) -> int:
    job = Job.load(Path(arguments[0]))
    os.nice(job.niceness)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _calibrate(job)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        _say(failure={"kind": _kind(error), "text": _text(error)})
        return 1
    return 0


def _calibrate(job: Job) -> None:
    # What computes is loaded only when a fault of it can be told.
    from appliance.daemon.recalibrate import recalibrate

    recalibrate(job, Speaker())


class Speaker:
    """The calibration's progress, told to the service."""

    def total(self, units: float) -> None:
        _say(total=units)

    def step(self, message: str) -> None:
        _say(step=message)

    def advance(self, units: float) -> None:
        _say(advance=units)

    def say(self, message: str) -> None:
        _say(say=message)


def _say(**said: Any) -> None:
    print(json.dumps(said), flush=True)


def _kind(error: Exception) -> str:
    if isinstance(error, ImagesError):
        return "images"
    return "configuration" if isinstance(error, ConfigurationError) else "failed"


def _text(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "the memory does not suffice. Lower intake.working_px or intake.maximum, or add memory."
    return in_words(error)


def _end_with_parent() -> None:
    # Not by sys.stdin: Python cannot end while another thread holds it.
    while os.read(0, 1):
        pass
    os._exit(1)


def _interrupt(_signum: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
