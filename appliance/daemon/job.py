"""One calibration that the service has done by a child process, as a file: all that it depends on.

A calibration is a function of this file, the photos and the installed engines: it can be run again by hand,
`python -m appliance.daemon.worker JOB`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from appliance.daemon.durable import write_durably
from appliance.photo_files import PhotoFile

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPhoto:
    """A photo file as it was taken in."""

    path: str
    name: str
    sha256: str
    name_b64: str | None = None
    anchored: bool = False  # in every bank, until a person says otherwise

    @property
    def file(self) -> PhotoFile:
        return PhotoFile(path=Path(self.path), name=self.name, name_b64=self.name_b64, is_link=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    station: Mapping[str, Any]  # settings as values
    engines: Mapping[str, Any]
    images: str  # the folder, for messages and the report
    out: str  # the run folder
    photos: tuple[JobPhoto, ...]
    trigger: str  # first, person, drift …
    reason: str  # in a sentence
    words: Mapping[str, Literal["good", "bad"]]  # a person's, by sha256
    suspected: Mapping[str, str]  # by sha256 what an earlier screen said
    champion: str | None = None  # its run folder
    golden: tuple[JobPhoto, ...] = ()
    recent: tuple[JobPhoto, ...] = ()
    cannot_serve: str | None = None  # why the champion must be replaced
    niceness: int = 0

    def save(self, path: Path) -> None:
        # Names that are not UTF-8 come back from JSON's escapes.
        text = json.dumps({"format_version": FORMAT_VERSION, **dataclasses.asdict(self)})
        write_durably(path, text.encode("ascii"))  # after a power cut it says what becomes of a finished run

    @classmethod
    def load(cls, path: Path) -> Job:
        values = json.loads(path.read_text("ascii"))
        assert values.pop("format_version") == FORMAT_VERSION, f"{path}: of another release"
        for key in _PHOTOS:
            values[key] = tuple(JobPhoto(**photo) for photo in values[key])
        return cls(**values)


_PHOTOS = ("photos", "golden", "recent")
