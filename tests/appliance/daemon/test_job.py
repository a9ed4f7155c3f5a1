"""A calibration as a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.daemon.job import Job, JobPhoto
from appliance.settings import StationSettings


def job_of(**changes: object) -> Job:
    values = {
        "station": {},
        "engines": {},
        "images": "/srv/images",
        "out": "/state/runs/a",
        "photos": (),
        "trigger": "first",
        "reason": "12 photos",
        "words": {},
        "suspected": {},
    }
    return Job(**(values | changes))  # type: ignore[arg-type]


def test_a_job_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """With the bytes of names that are no UTF-8."""
    path = os.fsdecode(b"/srv/t\xfcr.png")
    photo = JobPhoto(path=path, name="t\\xfcr.png", sha256="a", name_b64="dPxy", anchored=True)
    job = job_of(photos=(photo,), golden=(photo,), words={"a": "good"}, cannot_serve="its bank is damaged")
    job.save(tmp_path / "job.json")
    loaded = Job.load(tmp_path / "job.json")
    assert loaded == job
    assert os.fsencode(loaded.photos[0].file.path) == b"/srv/t\xfcr.png"


def test_settings_with_any_path_come_back(tmp_path: Path) -> None:
    """A folder's name may hold any bytes, too."""
    images = Path(os.fsdecode(b"/srv/\xff"))
    settings = StationSettings.model_validate({"name": "gear", "images": images})
    job_of(station=settings.model_dump(mode="json")).save(tmp_path / "job.json")
    assert StationSettings.model_validate(Job.load(tmp_path / "job.json").station) == settings


def test_a_disk_that_is_full_leaves_the_job_before(tmp_path: Path, monkeypatch) -> None:
    """Half of one would be of no use to a run that is already there."""
    job_of(reason="the first").save(tmp_path / "job.json")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        job_of(reason="the second").save(tmp_path / "job.json")
    assert Job.load(tmp_path / "job.json").reason == "the first"
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]
