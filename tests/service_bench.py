"""The service as a process of its own, for tests: settings, folders, and waiting for what it does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from appliance.daemon.ledger import Ledger
from appliance.daemon.places import Places
from appliance.daemon.shelf import Shelf
from tests.small_runs import ALL_EMBEDDED, PYTHON, Said, finish, goodparts, start

PATIENCE_S = 60.0
# Network-free candidates and two generators: a calibration takes a few seconds, most of them for its start.
TINY: dict[str, Any] = {
    "folds": {"count": 2},
    "decision": {"resamples": 100, "ensemble": 1},
    "intake": {"minimum": 10, "settle_s": 0.1, "poll_s": 0.2},
    # So that a first calibration has no certificate, and a second one has.
    "threshold": {"max_false_reject_rate": 0.3, "confidence": 0.9},
    "generators": {
        "diffstyle_global": {"enabled": False},
        "diffstyle_local": {"enabled": False},
        "poisson": {"enabled": False},
        "foreign": {"enabled": False},
        **{name: {"count": 8} for name in ("cutpaste", "perlin")},
    },
    "detectors": {"exclude": [*ALL_EMBEDDED, "raw*"]},
    "recalibration": {"minimum_interval_h": 0, "golden_photos": 5, "new_photos": None},
}


def wait_for(condition: Callable[[], Any], *, seconds: float = PATIENCE_S, what: str = "") -> Any:
    """What `condition` gives as soon as that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:.0f} s: {what or condition}")


class ServiceBench:
    """One station, `plate`, unless `stations` says otherwise. `folder` holds all."""

    def __init__(self, folder: Path, *, stations: tuple[str, ...] = ("plate",), **changes: Any) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "goodparts.yaml"
        self.port = _free_port()
        self.process: subprocess.Popen[str] | None = None
        self.settings = {
            **TINY,
            **changes,
            "state_dir": str(self.state),
            "http": {"port": self.port},
            "stations": [self.station(name) for name in stations],
        }
        self.write(self.settings)

    def station(self, name: str) -> dict[str, Any]:
        for lane in ("good", "new"):
            self.images(name, lane).mkdir(parents=True, exist_ok=True)
        return {
            "name": name,
            "images": str(self.images(name)),
            "scoring": {"images": str(self.images(name, "new"))},
        }

    def images(self, name: str = "plate", lane: str = "good") -> Path:
        return self.folder / "cameras" / name / lane

    def places(self, name: str = "plate") -> Places:
        return Places.of(self.state, name)

    def write(self, settings: Mapping[str, Any]) -> None:
        """As a careful person would: the service never sees half of it."""
        draft = self.config.with_suffix(".new")
        draft.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
        draft.replace(self.config)

    def start(self, *, before: Sequence[str] = (), **env: str) -> None:
        """before: a command that starts it, such as setpriv with its options."""
        log = (self.folder / "log").open("a")
        command = (*before, *PYTHON)
        self.process = start("run", "--config", self.config, command=command, env=env, stderr=log.fileno())
        log.close()

    def ready(self) -> None:
        wait_for(lambda: self.health() is not None or self.has_ended(), what=f"ready: {self.log()}")
        assert not self.has_ended(), self.log()

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self, number: int = signal.SIGTERM) -> Said:
        assert self.process is not None
        self.process.send_signal(number)
        said = finish(self.process)
        self.process = None
        return said

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def get(self, path: str) -> tuple[int, Any]:
        """(status, JSON) of the web interface."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def health(self) -> dict[str, Any] | None:
        try:
            return self.get("/health")[1]
        except (OSError, ValueError):
            return None

    def status(self, name: str = "plate") -> dict[str, Any]:
        """The station's part of `goodparts status --json`."""
        said = goodparts("status", "--config", self.config, "--json")
        assert said.code == 0, said.err
        return next(station for station in json.loads(said.out)["stations"] if station["name"] == name)

    def champion(self, name: str = "plate") -> str | None:
        return Shelf(self.places(name).folder).champion()

    def ask(self, question: str, name: str = "plate") -> list[Any]:
        """Rows of the station's ledger."""
        ledger = Ledger(self.places(name).ledger, read_only=True)
        try:
            return [tuple(row) for row in ledger.ask(question)]
        finally:
            ledger.close()

    def verdicts(self, name: str = "plate") -> list[dict[str, Any]]:
        """Every line of the JSON files."""
        files = sorted(self.places(name).verdicts.glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class SystemdSocket:
    """What the service tells systemd, as it comes."""

    def __init__(self, folder: Path) -> None:
        self.address = os.fspath(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(PATIENCE_S)

    def next(self) -> str:
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        self._socket.close()
