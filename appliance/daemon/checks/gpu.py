"""Whether a GPU is there, can be reached, and has a runtime that uses it. Whether it computes: `engines`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from appliance.daemon.checks.finding import Case, Finding, fail, ok, read_text, warn
from engines.ladder import DRIVERS
from engines.onnxrt.loader import has_cuda

NVIDIA = "0x10de"  # of PCI
DISPLAY = "0x03"  # PCI's class of display controllers, what computes only among them
GPU_EXTRA = "make env EXTRA=gpu, or: pip uninstall -y onnxruntime && pip install 'goodparts[gpu]'"


def gpu(case: Case) -> Iterator[Finding]:
    device, root = case.settings.engines.device, case.machine.root
    driver = next((path for path in DRIVERS if (root / path.relative_to("/")).exists()), None)
    if device == "cpu":
        yield ok("gpu", "engines.device is cpu: no GPU is asked for")
    elif driver is None:
        yield _without_driver(root, is_wanted=device == "cuda")
    else:
        yield from _with_driver(root, driver, is_wanted=device == "cuda")


def _without_driver(root: Path, *, is_wanted: bool) -> Finding:
    cards = list(_cards(root))
    remedy = "Install the NVIDIA driver and start again, or set engines.device to cpu if that is meant."
    if cards:
        said = f"an NVIDIA GPU is in this box ({cards[0]}) and its driver is not"
        return fail("gpu", said, remedy) if is_wanted else warn("gpu", said, remedy)
    if is_wanted:
        return fail("gpu", "engines.device is cuda and there is no NVIDIA driver", remedy)
    return ok("gpu", "there is no NVIDIA GPU: models run on the CPU")


def _with_driver(root: Path, driver: Path, *, is_wanted: bool) -> Iterator[Finding]:
    worst = fail if is_wanted else warn
    faults = list(_hidden(root)) if driver == DRIVERS[0] else []  # the others have devices of other names
    for said, remedy in faults:
        yield worst("gpu", said, remedy)
    if not has_cuda():
        said = "this box has an NVIDIA GPU, and the installed ONNX Runtime is the one for the CPU"
        yield worst("gpu", said, GPU_EXTRA)
    elif not faults:
        yield ok("gpu", "an NVIDIA GPU is there, and ONNX Runtime has CUDA")


def _hidden(root: Path) -> Iterator[tuple[str, str]]:
    """What lies between the driver and its user: (what is wrong, remedy)."""
    if not list((root / "dev").glob("nvidia[0-9]*")):
        said = "the NVIDIA driver is loaded and there is no /dev/nvidia0"
        yield said, "nvidia-modprobe -c 0; in a unit or container, let the device be seen."
    modules = read_text(root / "proc/modules")
    is_loaded = modules is None or any(line.startswith("nvidia_uvm ") for line in modules.splitlines())
    if not is_loaded or not (root / "dev/nvidia-uvm").exists():
        said = "nvidia-uvm, without which CUDA does not start, is not loaded or has no device"
        yield said, "nvidia-modprobe -u -c 0; at boot, a line `nvidia-uvm` in /etc/modules-load.d/nvidia.conf"


def _cards(root: Path) -> Iterator[str]:
    """Addresses of NVIDIA's cards on the PCI bus."""
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        kind, maker = read_text(device / "class") or "", read_text(device / "vendor") or ""
        if maker.strip() == NVIDIA and kind.startswith(DISPLAY):
            yield device.name
