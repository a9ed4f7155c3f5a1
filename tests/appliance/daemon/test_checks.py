"""appliance/daemon/checks/: each fault that the doctor knows, made and found."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.daemon.checks import box, engines, folders, gpu, state
from appliance.daemon.checks.finding import Case, Finding, Machine
from appliance.daemon.ledger import Ledger
from appliance.daemon.places import CHAMPION, LEDGER, Places
from appliance.settings import Settings
from engines.packs import EMBEDDED
from tests.fakes import make_run
from tests.pictures import write_parts

Check = Callable[[Case], Iterator[Finding]]
NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may look into, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="goodparts-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def closed(path: Path) -> Iterator[None]:
    """Whoever asks meanwhile has no right to `path`; root, who may everything, is nobody for as long."""
    is_root, mode = os.geteuid() == 0, path.stat().st_mode
    path.chmod(0o700 if is_root else 0)
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        path.chmod(mode)


def case_of(folder: Path, *stations: dict[str, Any], **settings: Any) -> Case:
    """A box whose state_dir and photos are below `folder`, and which has no other machine's traits."""
    named = [{"name": "gear", "images": str(folder / "good"), **station} for station in stations]
    raw = {"state_dir": str(folder / "state"), "stations": named, **settings}
    return Case(
        settings=Settings.model_validate(raw, context={"folder": folder}),
        config=None,
        machine=Machine(root=folder / "root", user=1000, fs_type=lambda _: "ext4"),
    )


def on(case: Case, **machine: Any) -> Case:
    return dataclasses.replace(case, machine=dataclasses.replace(case.machine, **machine))


def found(check: Check, case: Case, level: str = "fail") -> str:
    """The texts of this level, in one string."""
    return "\n".join(finding.text for finding in check(case) if finding.level == level)


def levels(check: Check, case: Case) -> list[str]:
    return sorted({finding.level for finding in check(case)})


def put(folder: Path, path: str, text: str = "") -> Path:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)
    return folder / path


# Rights


def test_folders_in_order_are_ok(place: Path) -> None:
    """Photos are read, state_dir is written, and nothing is left in either."""
    write_parts(place / "good", 2)
    (place / "new").mkdir()
    (place / "state").mkdir()
    case = case_of(place, {"scoring": {"images": str(place / "new")}})
    assert levels(folders.rights, case) == ["ok"]
    assert list((place / "state").iterdir()) == []


def test_photos_that_are_away_are_a_fault(place: Path) -> None:
    """A share that is not mounted, say."""
    assert f"{place / 'good'} cannot be read (No such file or directory)" in found(
        folders.rights, case_of(place, {})
    )


def test_foreign_pictures_that_are_away_are_a_fault(place: Path) -> None:
    """They are read before every calibration."""
    (place / "good").mkdir()
    foreign = {"generators": {"foreign": {"pictures": str(place / "others")}}}
    assert f"{place / 'others'} cannot be read" in found(folders.rights, case_of(place, foreign))


def test_a_folder_that_may_not_be_listed_is_a_fault(place: Path) -> None:
    """By the user who asks."""
    write_parts(place / "good", 1)
    with closed(place / "good"):
        assert "cannot be read (Permission denied)" in found(folders.rights, case_of(place, {}))


def test_a_photo_that_may_not_be_read_is_a_fault(place: Path) -> None:
    """Some cameras' programs write them for their own user alone."""
    write_parts(place / "good", 1)
    (photo,) = (place / "good").iterdir()
    with closed(photo):
        said = found(folders.rights, case_of(place, {}))
    assert f"{photo} cannot be read (Permission denied)" in said


def test_a_subfolder_that_may_not_be_listed_is_a_warning(place: Path) -> None:
    """The rest of the photos can still be taken."""
    write_parts(place / "good", 1)
    (place / "good" / "night").mkdir()
    with closed(place / "good" / "night"):
        said = found(folders.rights, case_of(place, {}), "warn")
    assert f"1 folder in {place / 'good'} cannot be listed, night/ for one" in said


def test_a_state_dir_that_may_not_be_written_is_a_fault(place: Path) -> None:
    """Nor made in a folder that may not be."""
    for folder, name in ((place / "state", "state"), (place, "")):
        folder.mkdir(exist_ok=True)
        with closed(folder):
            assert "state_dir: " in found(folders.rights, case_of(place)), name
        shutil.rmtree(place / "state", ignore_errors=True)


def test_a_fifo_among_the_photos_does_not_hold_it_up(place: Path) -> None:
    """Only files are opened."""
    (place / "good").mkdir()
    os.mkfifo(place / "good" / "a.jpg")
    assert levels(folders.rights, case_of(place, {})) == ["ok"]


def test_root_is_told_that_rights_were_not_tested(place: Path) -> None:
    """Root may everything, the service may not."""
    assert "asked as root" in found(folders.rights, on(case_of(place), user=0), "warn")


# Space, file systems, inotify


def statvfs(free: int, *, files: int = 10**6, free_files: int = 10**5) -> os.statvfs_result:
    return os.statvfs_result(
        (4096, 4096, 10**9, free // 4096, free // 4096, files, free_files, free_files, 0, 255)
    )


@pytest.mark.parametrize(("free", "level"), [(100 << 20, "fail"), (1 << 30, "warn"), (50 << 30, "ok")])
def test_little_space_is_found(place: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    """A warning where the runs that are kept would not fit, a fault where hardly anything does."""
    monkeypatch.setattr(folders.os, "statvfs", lambda path: statvfs(free))
    assert "GiB free" in found(folders.space, case_of(place, {}), level)


def test_a_disk_without_inodes_is_found(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no file though there is space; file systems without a fixed number have none to run out of."""
    monkeypatch.setattr(folders.os, "statvfs", lambda path: statvfs(50 << 30, free_files=10))
    assert "10 more files possible" in found(folders.space, case_of(place, {}), "warn")
    monkeypatch.setattr(folders.os, "statvfs", lambda path: statvfs(50 << 30, files=0, free_files=0))
    assert levels(folders.space, case_of(place, {})) == ["ok"]


@pytest.mark.parametrize(
    ("kind", "level"),
    [("nfs4", "fail"), ("cifs", "fail"), ("fuse.sshfs", "fail"), ("overlay", "warn"), ("tmpfs", "warn")],
)
def test_a_state_dir_on_the_wrong_file_system_is_found(place: Path, kind: str, level: str) -> None:
    """Where the database would be damaged, a fault; where it would be gone one day, a warning."""
    case = on(case_of(place), fs_type=lambda _: kind)
    assert f"is on {kind}" in found(folders.file_systems, case, level)


def test_photos_on_a_share_are_polled_and_no_fault(place: Path) -> None:
    """It is said, since it is slower."""
    case = on(case_of(place, {}), fs_type=lambda path: "cifs" if path.name == "good" else "ext4")
    assert levels(folders.file_systems, case) == ["ok"]
    assert "is on cifs: no changes are told, it is polled" in found(folders.file_systems, case, "ok")


def inotify(place: Path, watches: int, instances: int = 128) -> None:
    put(place, "root/proc/sys/fs/inotify/max_user_watches", f"{watches}\n")
    put(place, "root/proc/sys/fs/inotify/max_user_instances", f"{instances}\n")


def test_too_few_watches_are_found(place: Path) -> None:
    """One for each folder below the photos; the remedy has a number that is enough."""
    for number in range(9):
        (place / "good" / str(number) / "shift").mkdir(parents=True)
    inotify(place, 20)
    case = case_of(place, {})
    (finding,) = (each for each in folders.inotify(case) if each.level == "warn")
    assert "max_user_watches is 20, 19 are needed" in finding.text
    assert "fs.inotify.max_user_watches = 42" in finding.remedy
    inotify(place, 42)
    assert levels(folders.inotify, case) == ["ok"]
    inotify(place, 42, 10)
    assert "max_user_instances is 10, 1 are needed" in found(folders.inotify, case, "warn")


def test_folders_that_are_polled_need_no_watches(place: Path) -> None:
    """Nor do those that are not there."""
    (place / "good").mkdir()
    inotify(place, 0, 16)
    case = on(case_of(place, {}), fs_type=lambda _: "nfs")
    assert levels(folders.inotify, case) == ["ok"]
    assert folders.count_folders(place / "gone") == 0


def test_limits_that_are_hidden_are_a_warning(place: Path) -> None:
    """As by a unit's ProcSubset=pid."""
    assert "cannot be read" in found(folders.inotify, case_of(place), "warn")


# The machine


def test_two_distributions_of_one_module_are_a_fault(place: Path) -> None:
    """They overwrite each other's files; one that is listed twice is one."""
    installed: dict[str, Sequence[str]] = {
        "onnxruntime": ["onnxruntime", "onnxruntime-gpu"],
        "cv2": ["opencv-python-headless", "opencv_python_headless"],
        "google": ["protobuf", "googleapis"],
    }
    case = on(case_of(place), distributions=lambda: installed)
    assert found(box.distributions, case) == (
        "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's module onnxruntime"
    )
    assert "cv2 comes from opencv-python-headless alone" in found(box.distributions, case, "ok")


@pytest.mark.parametrize(("state", "level"), [(5, "warn"), (0, "ok")])
def test_a_clock_that_nothing_keeps_is_a_warning(
    place: Path, monkeypatch: pytest.MonkeyPatch, state: int, level: str
) -> None:
    """As the kernel says."""
    monkeypatch.setattr(box, "clock_state", lambda: state)
    assert "synchronised" in found(box.clock, on(case_of(place), now=lambda: 1.8e9), level)


def test_a_clock_of_which_nothing_is_known_is_no_warning(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sandbox that forbids the question."""
    monkeypatch.setattr(box, "clock_state", lambda: None)
    assert "synchronised" not in str(list(box.clock(case_of(place))))


def test_a_clock_before_this_program_was_made_is_a_fault(place: Path) -> None:
    """As after a battery that is empty."""
    assert "1970-01-02 00:00 UTC" in found(box.clock, on(case_of(place), now=lambda: 86400.0))


def test_a_clock_before_the_newest_run_is_a_fault(place: Path) -> None:
    """Small corrections are none."""
    result = put(place, "state/stations/gear/runs/r1/result.json")
    case = case_of(place, {})
    os.utime(result, (1.8e9, 1.8e9))
    assert f"before {result.parent} was made" in found(box.clock, on(case, now=lambda: 1.8e9 - 600))
    assert found(box.clock, on(case, now=lambda: 1.8e9 - 200)) == ""


@pytest.mark.parametrize(
    ("recalibration", "has_zone", "is_warned"),
    [
        ({"schedule": "30 5 * * 1"}, False, True),
        ({"quiet_hours": ["06:00-22:00"]}, False, True),
        ({"schedule": "30 5 * * 1", "time_zone": "Europe/Berlin"}, False, False),
        ({"schedule": "30 5 * * 1"}, True, False),
        ({}, False, False),
    ],
)
def test_times_of_day_want_a_zone(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    recalibration: dict[str, Any],
    has_zone: bool,
    is_warned: bool,
) -> None:
    """The box's, or the settings' own."""
    monkeypatch.delenv("TZ", raising=False)
    if has_zone:
        put(place, "root/etc/localtime")
    said = found(box.clock, case_of(place, {"recalibration": recalibration}), "warn")
    assert ("the box has no time zone, and gear has" in said) is is_warned


GOOD_UNIT = "[Service]\nOOMPolicy = continue\n# LimitAS=1\nProcSubset=all\nLimitAS=infinity\n"


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("LimitAS=8G", "has LimitAS=8G"),
        ("ProcSubset=pid", "has ProcSubset=pid"),
        ("IPAddressAllow=localhost", "has IPAddressAllow=localhost"),
        ("PrivateDevices=yes", "has PrivateDevices=yes"),
        ("PrivateDevices=no\nPrivateDevices=true", "has PrivateDevices=true"),
        ("PrivateDevices=yes\nPrivateDevices=", ""),
        ("IPAddressAllow=any", ""),
        ("", ""),
    ],
)
def test_a_unit_that_hinders_the_service_is_found(place: Path, added: str, said: str) -> None:
    """Also what was added to it by `systemctl edit`."""
    put(place, "root/usr/lib/systemd/system/goodparts.service", GOOD_UNIT)
    put(place, "root/etc/systemd/system/goodparts.service.d/override.conf", f"[Service]\n{added}\n")
    assert said in found(box.unit, case_of(place), "warn")
    assert levels(box.unit, case_of(place)) == (["warn"] if said else ["ok"])


def test_a_unit_for_the_cpu_may_hide_devices(place: Path) -> None:
    """Nobody looks for a GPU there."""
    put(place, "root/etc/systemd/system/goodparts.service", GOOD_UNIT + "PrivateDevices=yes\n")
    assert levels(box.unit, case_of(place, engines={"device": "cpu"})) == ["ok"]


def test_a_unit_that_dies_with_its_child_is_found(place: Path) -> None:
    """OOMPolicy's default stops the whole service; without a unit there is nothing to say."""
    assert levels(box.unit, case_of(place)) == ["ok"]
    put(place, "root/etc/systemd/system/goodparts.service", "[Service]\n")
    assert "OOMPolicy" in found(box.unit, case_of(place), "warn")


# The GPU


def nvidia(place: Path, *, device: bool = True, uvm: bool = True) -> None:
    put(place, "root/proc/driver/nvidia/version", "NVRM version: 580")
    put(place, "root/proc/modules", "nvidia_uvm 1 0\nnvidia 1 0\n" if uvm else "nvidia 1 0\n")
    for name in [*(["nvidia0"] if device else []), *(["nvidia-uvm"] if uvm else [])]:
        put(place, f"root/dev/{name}")


@pytest.mark.parametrize(("device", "level"), [("auto", "warn"), ("cuda", "fail")])
def test_a_gpu_with_the_runtime_of_the_cpu_is_found(
    place: Path, monkeypatch: pytest.MonkeyPatch, device: str, level: str
) -> None:
    """With the command; a fault where the settings ask for the GPU."""
    nvidia(place)
    monkeypatch.setattr(gpu, "has_cuda", lambda: False)
    case = case_of(place, engines={"device": device})
    assert "ONNX Runtime is the one for the CPU" in found(gpu.gpu, case, level)
    assert [finding.remedy for finding in gpu.gpu(case)] == [gpu.GPU_EXTRA]


@pytest.mark.parametrize(
    ("parts", "said"),
    [({"device": False}, "no /dev/nvidia0"), ({"uvm": False}, "nvidia-uvm"), ({}, "")],
)
def test_what_hides_the_gpu_is_found(
    place: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, bool], said: str
) -> None:
    """Devices that are missing, and the module that is not loaded at boot."""
    nvidia(place, **parts)
    monkeypatch.setattr(gpu, "has_cuda", lambda: True)
    assert said in found(gpu.gpu, case_of(place), "warn")
    assert levels(gpu.gpu, case_of(place)) == (["warn"] if said else ["ok"])


def test_a_gpu_without_its_driver_is_found(place: Path) -> None:
    """By the bus; another maker's is none of ours."""
    put(place, "root/sys/bus/pci/devices/0000:01:00.0/vendor", "0x1002\n")
    put(place, "root/sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n")
    assert levels(gpu.gpu, case_of(place)) == ["ok"]
    put(place, "root/sys/bus/pci/devices/0000:02:00.0/vendor", "0x10de\n")
    put(place, "root/sys/bus/pci/devices/0000:02:00.0/class", "0x030200\n")
    assert "0000:02:00.0" in found(gpu.gpu, case_of(place), "warn")
    assert "0000:02:00.0" in found(gpu.gpu, case_of(place, engines={"device": "cuda"}))


def test_no_gpu_is_a_fault_only_if_one_is_asked_for(place: Path) -> None:
    """And none is looked for where the CPU is."""
    assert levels(gpu.gpu, case_of(place)) == ["ok"]
    assert levels(gpu.gpu, case_of(place, engines={"device": "cuda"})) == ["fail"]
    nvidia(place, device=False)
    assert levels(gpu.gpu, case_of(place, engines={"device": "cpu"})) == ["ok"]


# Engines


@pytest.fixture
def pack(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the smallest embedded encoder, and no embedded pack beside it."""
    encoders = [path.parent for path in EMBEDDED.glob("*/manifest.json")]
    smallest = min(
        (e for e in encoders if json.loads((e / "manifest.json").read_text())["kind"] == "encoder"),
        key=lambda folder: sum(path.stat().st_size for path in folder.iterdir()),
    )
    shutil.copytree(smallest, place / "pack" / smallest.name)
    (place / "none").mkdir()
    monkeypatch.setattr(engines, "EMBEDDED", place / "none")
    return place / "pack"


def checked(place: Path, pack: Path, *stations: dict[str, Any]) -> list[Finding]:
    settings = {"device": "cpu", "folders": [str(pack)], "threads": 1}
    return list(engines.engines(case_of(place, *stations, engines=settings)))


def test_an_engine_in_order_is_told(place: Path, pack: Path) -> None:
    """Whole, and its golden outputs are reproduced."""
    assert [(f.check, f.level, f.text) for f in checked(place, pack)] == [
        ("engines", "ok", "1 engine whose files have the hashes of their manifests"),
        ("golden", "ok", "golden outputs are reproduced: 1 on cpu"),
    ]


def test_an_engine_whose_file_was_changed_is_a_fault(place: Path, pack: Path) -> None:
    """It is not run any more."""
    graph = next(pack.rglob("*.onnx"))
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    first, *rest = checked(place, pack)
    assert (first.check, first.level) == ("engines", "fail")
    assert f"{graph}: sha256" in first.text
    assert [f.check for f in rest] == ["engines"]


def test_an_engine_that_computes_something_else_is_a_fault(place: Path, pack: Path) -> None:
    """Its files are whole, and this box does not reproduce the golden outputs."""
    path = next(pack.rglob("manifest.json"))
    manifest = json.loads(path.read_text())
    manifest["golden"].update(atol=-1.0, rtol=0.0, atols={})
    path.write_text(json.dumps(manifest))
    told = checked(place, pack)
    assert [(f.check, f.level) for f in told] == [("engines", "ok"), ("golden", "fail")]
    assert "differs from the original network's" in told[1].text


def test_a_folder_of_engines_that_is_away_is_a_fault(place: Path) -> None:
    """The embedded ones are looked at all the same."""
    told = checked(place, place / "away")
    assert f"{place / 'away'}: not a folder" in told[0].text
    assert [(f.check, f.level) for f in told] == [("engines", "fail"), ("engines", "ok"), ("golden", "ok")]


def test_engines_that_may_not_be_read_are_a_fault(place: Path, pack: Path) -> None:
    """Others are looked at all the same."""
    with closed(pack):
        told = checked(place, pack)
    assert [(f.check, f.level) for f in told][:1] == [("engines", "fail")]
    assert "Permission denied" in told[0].text


def test_an_own_encoder_that_cannot_run_is_a_fault(place: Path, pack: Path) -> None:
    """The file is no model; the others are told first."""
    put(place, "own.onnx", "no model")
    own = {"detectors": {"encoders": [{"name": "mine", "path": str(place / "own.onnx")}]}}
    *_, last = checked(place, pack, own)
    assert (last.check, last.level) == ("golden", "fail") and "own.onnx" in last.text


# Settings, ledger, champion


def test_a_file_without_stations_is_a_warning(place: Path) -> None:
    """The service has nothing to do; without a file there are none."""
    case = dataclasses.replace(case_of(place), config=put(place, "box.yaml", "seed: 1\n"))
    assert "has no station" in found(state.configuration, case, "warn")
    assert levels(state.configuration, case_of(place)) == ["ok"]


def test_a_station_without_photos_is_a_fault(place: Path) -> None:
    """`images` may be left out for `goodparts calibrate` alone."""
    case = case_of(place, {"images": None})
    case = dataclasses.replace(case, config=put(place, "box.yaml", "stations: [{name: gear}]\n"))
    assert "no folder with photos for gear" in found(state.configuration, case)


def test_a_file_that_no_longer_holds_is_a_fault(place: Path) -> None:
    """It may have been changed since it was read."""
    case = dataclasses.replace(case_of(place), config=put(place, "box.yaml", "sed: 1\n"))
    assert "box.yaml:1:" in found(state.configuration, case)


def ledger_of(place: Path) -> Path:
    path = Places.of(place / "state", "gear").folder / LEDGER
    path.parent.mkdir(parents=True)
    ledger = Ledger(path)
    for number in range(200):
        ledger.event("note", "x" * 500, at=float(number))
    ledger.close()
    return path


def test_a_ledger_in_order_is_told_and_left_alone(place: Path) -> None:
    """Also one that is not there, which is not made."""
    assert "no ledger yet" in found(state.ledger, case_of(place, {}), "ok")
    assert not (place / "state").exists()
    path = ledger_of(place)
    before = path.read_bytes()
    assert f"{path}: whole" in found(state.ledger, case_of(place, {}), "ok")
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_a_ledger_in_use_can_be_examined(place: Path) -> None:
    """The service writes meanwhile."""
    path = ledger_of(place)
    ledger = Ledger(path)
    with ledger.together():
        ledger.event("note", "not yet committed", at=0.0)
        assert levels(state.ledger, case_of(place, {})) == ["ok"]
    ledger.close()


@pytest.mark.parametrize("damage", ["page", "header", "cut"])
def test_a_damaged_ledger_is_a_fault(place: Path, damage: str) -> None:
    """A page, the beginning, or the end of the file."""
    path = ledger_of(place)
    data = bytearray(path.read_bytes())
    if damage == "page":
        data[8192:40960] = b"\xff" * 32768
    elif damage == "header":
        data[:100] = b"x" * 100
    else:
        del data[len(data) // 2 :]
    path.write_bytes(data)
    assert f"{path}: damaged" in found(state.ledger, case_of(place, {}))


def test_what_may_not_be_looked_at_is_not_taken_for_missing(place: Path) -> None:
    """The state of the service is closed to others; one who asks there is told to ask as the right one."""
    ledger_of(place)
    champion_of(place)
    with closed(place / "state"):
        assert "cannot be looked at (Permission denied)" in found(state.ledger, case_of(place, {}))
        assert "cannot be looked at (Permission denied)" in found(state.champion, case_of(place, {}))


def test_a_ledger_of_another_release_is_a_fault(place: Path) -> None:
    """It would not be opened."""
    path = ledger_of(place)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "version 99" in found(state.ledger, case_of(place, {}))


def champion_of(place: Path) -> Path:
    folder = Places.of(place / "state", "gear").folder
    make_run(folder / "runs" / "r1")
    (folder / CHAMPION).symlink_to("runs/r1")
    return folder / "runs" / "r1"


def test_a_champion_that_loads_is_told(place: Path) -> None:
    """With its detector and run; before the first calibration there is none."""
    assert "no detector yet" in found(state.champion, case_of(place, {}), "ok")
    champion_of(place)
    assert "station gear: gabor/pooled of r1 loads" in found(state.champion, case_of(place, {}), "ok")


@pytest.mark.parametrize("damage", ["run", "result", "bank"])
def test_a_champion_that_does_not_load_is_a_fault(place: Path, damage: str) -> None:
    """The run is gone, its result is not readable, or a bank is cut off."""
    run = champion_of(place)
    if damage == "run":
        shutil.rmtree(run)
    elif damage == "result":
        (run / "result.json").write_text("{")
    else:
        for bank in (run / "banks").rglob("*.npy"):
            bank.write_bytes(bank.read_bytes()[:-10])
    (finding,) = state.champion(case_of(place, {}))
    assert finding.level == "fail" and "station gear: the detector cannot be loaded" in finding.text
    assert "goodparts rollback --station gear" in finding.remedy
