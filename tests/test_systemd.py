"""systemd/: the units say what keeps the service alive, and what keeps it in its place.

Facts are read from the files; where systemd is on the machine its own tools judge them, and the kernel shows
that a calibration runs under the calls that the units allow.
"""

from __future__ import annotations

import ctypes.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import write_parts
from tests.small_runs import LIGHT, write_settings
from tests.unit_sandbox import allowed_calls, values

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "systemd"
UNITS = [FOLDER / "goodparts.service", FOLDER / "goodparts-nvidia.service"]
MOST_EXPOSED = 1.5
# Known to systemd 254 and later; an earlier one names them, ignores them, and keeps to RestartSec.
NEW_KEYS = {"RestartSteps", "RestartMaxDelaySec"}

every_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine: the units are judged where systemd is")
    return found


def _only(unit: Path, key: str) -> str:
    """The value of a key that stands in the file once."""
    (value,) = values(unit, key)
    return value


@every_unit
def test_it_lives_as_long_as_it_proves_progress(unit: Path) -> None:
    """Type=notify with a watchdog that only the main process feeds; its end leaves traces of all threads."""
    assert _only(unit, "Type") == "notify"
    assert _only(unit, "NotifyAccess") == "main"
    assert _only(unit, "WatchdogSec") == "2min"
    assert "PYTHONFAULTHANDLER=1" in values(unit, "Environment")


@every_unit
def test_it_comes_back_but_not_from_wrong_settings(unit: Path) -> None:
    """Restarted after every failure, for ever and with growing pauses; never after exit 2."""
    assert _only(unit, "Restart") == "on-failure"
    assert _only(unit, "RestartPreventExitStatus") == "2"
    assert _only(unit, "SuccessExitStatus") == "130"
    assert _only(unit, "StartLimitIntervalSec") == "0"
    assert _only(unit, "RestartSec") == "10s"


@every_unit
def test_a_child_that_is_killed_for_memory_does_not_stop_it(unit: Path) -> None:
    """A calibration that takes too much is killed alone; no limit on addresses, which would stop CUDA."""
    assert _only(unit, "OOMPolicy") == "continue"
    assert not {key for key in ("LimitAS", "LimitRSS", "MemoryMax") if values(unit, key)}


@every_unit
def test_it_can_be_stopped_in_order(unit: Path) -> None:
    """The service ends its calibration itself and has a minute for it."""
    assert _only(unit, "KillMode") == "mixed"
    assert _only(unit, "TimeoutStopSec") == "1min"


@every_unit
def test_the_broker_and_webhooks_stay_in_reach(unit: Path) -> None:
    """IPAddressAllow=localhost would cut them off; sockets of the internet's families are allowed."""
    assert not values(unit, "IPAddressAllow")
    assert not values(unit, "IPAddressDeny")
    assert not values(unit, "PrivateNetwork")
    assert {"AF_INET", "AF_INET6", "AF_UNIX"} == set(_only(unit, "RestrictAddressFamilies").split())


@every_unit
def test_niceness_inotify_and_the_driver_stay_in_reach(unit: Path) -> None:
    """~@resources would keep a calibration from standing back; ProcSubset=pid hides limits and the driver."""
    assert _only(unit, "ProcSubset") == "all"
    if shutil.which("systemd-analyze"):
        calls = allowed_calls(unit)
        assert {"setpriority", "ioprio_set", "sched_setaffinity", "inotify_add_watch", "socket"} <= calls
        assert not {"mount", "ptrace", "bpf", "init_module", "reboot", "chown"} & calls


@every_unit
def test_the_places_are_those_of_the_installation(unit: Path) -> None:
    """Program, settings, state and user, as `make install` lays them."""
    program = "/opt/goodparts/.venv/bin/goodparts run --config /etc/goodparts/goodparts.yaml"
    assert _only(unit, "ExecStart") == program
    assert _only(unit, "StateDirectory") == "goodparts"
    assert _only(unit, "User") == _only(unit, "Group") == "goodparts"
    assert _only(unit, "ProtectSystem") == "strict"
    assert not values(unit, "ReadWritePaths")


def test_the_variants_differ_in_the_gpu_alone() -> None:
    """Whatever else is changed must be changed in both."""
    plain, gpu = (_settings(unit) for unit in UNITS)
    assert plain - gpu == {("PrivateDevices", "yes")}
    assert {key for key, _ in gpu - plain} == {
        *("Wants", "After", "ExecStartPre", "CacheDirectory", "CacheDirectoryMode", "Environment"),
        *("PrivateDevices", "DeviceAllow"),
    }


def _settings(unit: Path) -> set[tuple[str, str]]:
    lines = unit.read_text(encoding="utf-8").splitlines()
    return {
        (key, value)
        for key, mark, value in (line.partition("=") for line in lines if line[:1] != "#")
        if mark
    }


def test_the_gpu_is_reached_and_no_other_device() -> None:
    """A closed list with the driver's devices, and the module loaded before the list is made."""
    gpu = UNITS[1]
    assert _only(gpu, "DevicePolicy") == "closed"
    kinds = ("nvidia", "nvidiactl", "nvidia-frontend", "nvidia-uvm", "nvidia-caps")
    assert values(gpu, "DeviceAllow") == [f"char-{kind} rw" for kind in kinds]
    assert _only(gpu, "Wants") == "modprobe@nvidia_uvm.service"
    assert "modprobe@nvidia_uvm.service" in _only(gpu, "After").split()


@every_unit
def test_every_line_that_surprises_is_explained(unit: Path) -> None:
    """No paragraph of the file is without a comment."""
    paragraphs = unit.read_text(encoding="utf-8").split("\n\n")
    assert not [text for text in paragraphs if "#" not in text and not text.startswith("[Install]")]


@every_unit
def test_systemd_finds_it_well_hardened(unit: Path) -> None:
    """`systemd-analyze security` is content: at most 1.5, where plain units have 9."""
    command = [_tool("systemd-analyze"), "--no-pager", "security", "--offline=true", str(unit)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert found, said
    assert float(found[1]) <= MOST_EXPOSED


@every_unit
def test_systemd_understands_it(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say but of two keys that it may be too old for."""
    tool = _tool("systemd-analyze")
    copy = tmp_path / unit.name
    text = unit.read_text(encoding="utf-8")
    copy.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", text, flags=re.MULTILINE))
    done = subprocess.run(
        [tool, "--no-pager", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    known = re.compile(rf".*Unknown key(?: name)? '({'|'.join(NEW_KEYS)})' in section .*")
    assert [line for line in said if not known.fullmatch(line)] == []
    assert done.returncode == 0, done.stderr


def test_a_wrong_line_would_be_found(tmp_path: Path) -> None:
    """The test above sees a key that no systemd knows."""
    unit = tmp_path / "goodparts.service"
    unit.write_text(f"[Service]\nExecStart={sys.executable}\nRestartForever=yes\n")
    command = [_tool("systemd-analyze"), "--no-pager", "verify", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "RestartForever" in done.stderr


def test_user_and_folders_are_made(tmp_path: Path) -> None:
    """Settings are root's, readable for the service and nobody else; the state folder is the service's."""
    sysusers, tmpfiles = _tool("systemd-sysusers"), _tool("systemd-tmpfiles")
    if os.geteuid() != 0:
        pytest.skip("only root can give folders to other users")
    settings = tmp_path / "etc/goodparts/goodparts.yaml"
    settings.parent.mkdir(parents=True)
    settings.touch()
    subprocess.run(
        [sysusers, f"--root={tmp_path}", FOLDER / "goodparts.sysusers"], check=True, capture_output=True
    )
    subprocess.run([tmpfiles, f"--root={tmp_path}", "--create", FOLDER / "goodparts.tmpfiles"], check=True)
    _, _, uid, gid, _, home, shell = _line(tmp_path / "etc/passwd", "goodparts")
    assert (home, shell) == ("/var/lib/goodparts", "/usr/sbin/nologin")
    assert _line(tmp_path / "etc/group", "video")[3] == "goodparts"
    assert _rights(settings) == (0, int(gid), 0o640)
    assert _rights(settings.parent) == (0, int(gid), 0o750)
    assert _rights(tmp_path / "var/lib/goodparts") == (int(uid), int(gid), 0o750)


def _line(table: Path, name: str) -> list[str]:
    (line,) = [line for line in table.read_text().splitlines() if line.startswith(f"{name}:")]
    return line.split(":")


def _rights(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid, status.st_mode & 0o777


# What the service does beside computing, each of which a filter that is too narrow would break.
_SERVICE = """
import http.server, mmap, os, socket, sqlite3, subprocess, sys, threading, urllib.request
from pathlib import Path
from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

def refused(act):
    try:
        act()
    except OSError:
        return
    raise AssertionError("this must not be possible")

folder = Path(sys.argv[1])
os.nice(7)
assert os.getpriority(os.PRIO_PROCESS, 0) >= 7
assert socket.getaddrinfo("localhost", 1883)
assert b"inotify" not in Path("/proc/sys/fs/inotify/max_user_watches").read_bytes()

server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.handle_request, daemon=True).start()
assert urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/").status == 200

seen = threading.Event()
class Handler(FileSystemEventHandler):
    def on_created(self, event):
        seen.set()
observer = Observer()
observer.schedule(Handler(), str(folder))
observer.start()
(folder / "a").touch()
assert seen.wait(10)
observer.stop()
observer.join()

ledger = sqlite3.connect(folder / "ledger.sqlite")
assert ledger.execute("pragma journal_mode=wal").fetchone() == ("wal",)
ledger.execute("create table photos (sha256)")
ledger.commit()
(folder / "run").mkdir()
(folder / "champion").symlink_to("run")
assert subprocess.run([sys.executable, "-c", "print(1)"], check=True, capture_output=True).stdout == b"1\\n"

everything = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
refused(lambda: mmap.mmap(-1, 4096, prot=everything))
refused(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
refused(lambda: os.chown(folder, 1, 1))
refused(lambda: os.mknod(folder / "device", 0o20666, os.makedev(1, 3)))
refused(lambda: os.nice(-1))
print("done")
"""


def _confined(unit: Path, *command: str) -> subprocess.CompletedProcess[str]:
    _tool("systemd-analyze")
    if ctypes.util.find_library("seccomp") is None:
        pytest.skip("libseccomp is not on this machine: it makes the kernel's filter from the unit")
    return subprocess.run(
        [sys.executable, "-m", "tests.unit_sandbox", str(unit), sys.executable, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@every_unit
def test_what_the_service_does_is_allowed_and_no_more(unit: Path, tmp_path: Path) -> None:
    """Niceness, names of hosts, HTTP, folder events, a ledger, a child; but no code written at run time, no
    change of owners, no device, no priority over others."""
    done = _confined(unit, "-c", _SERVICE, str(tmp_path))
    assert done.stdout == "done\n", done.stderr


@pytest.mark.slow
def test_a_calibration_runs_under_the_units_filter(tmp_path: Path) -> None:
    """OpenCV and ONNX Runtime need no call, and no memory that is both written and executed, that the unit
    forbids."""
    write_parts(tmp_path / "good", 16)
    settings = write_settings(tmp_path / "light.yaml", LIGHT)
    arguments = ("--images", tmp_path / "good", "--config", settings, "--out", tmp_path / "run")
    done = _confined(UNITS[0], "-m", "appliance", "calibrate", *map(str, arguments))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/result.json").exists()
