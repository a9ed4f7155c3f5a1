"""Where the service keeps what: the one place that knows the folders below state_dir."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.service_settings import ScoringSettings

LOCK = "service.lock"  # held by the one service of a state_dir, with its process id
LEDGER = "ledger.sqlite"
RUNS = "runs"
CHAMPION = "champion"  # the link to the run that serves
VERDICTS = "verdicts"  # unless the settings name another folder


@dataclass(frozen=True, slots=True)
class Places:
    """Of one station."""

    folder: Path

    @classmethod
    def of(cls, state_dir: Path, station: str) -> Places:
        """station: a name that the settings allowed, so no path out of the folder."""
        return cls(state_dir / "stations" / station)

    @property
    def ledger(self) -> Path:
        return self.folder / LEDGER

    @property
    def runs(self) -> Path:
        return self.folder / RUNS

    @property
    def champion(self) -> Path:
        return self.folder / CHAMPION

    @property
    def kept(self) -> Path:
        """Copies of photos that must outlive the camera's folder."""
        return self.folder / "kept"

    @property
    def verdicts(self) -> Path:
        return self.folder / VERDICTS

    def verdicts_of(self, scoring: ScoringSettings) -> Path:
        """Where the settings want them."""
        return scoring.verdicts or self.verdicts

    @property
    def job(self) -> Path:
        return self.folder / "job.json"

    @property
    def words(self) -> Path:
        """What people said of photos, a JSON object a line: it cannot be made again from anything else."""
        return self.folder / "words.jsonl"

    def make(self) -> None:
        """OSError if they cannot be made."""
        for folder in (self.runs, self.kept, self.verdicts):
            folder.mkdir(parents=True, exist_ok=True)
