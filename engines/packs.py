"""Finds the installed engines: the embedded pack, and folders of exported ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.encoder import Encoder, load_encoder
from engines.errors import EngineError
from engines.golden import check_golden
from engines.manifest import FILE_NAME, Manifest, engine_hash, load_manifest
from engines.runner import Device
from engines.text import TextEncoder, load_text_encoder
from engines.unet import UNetEngine, load_unet

EMBEDDED = Path(__file__).parent / "embedded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The engines that can be used, and one sentence for each that cannot."""

    unet: UNetEngine
    encoders: tuple[Encoder, ...]
    texts: tuple[TextEncoder, ...]
    problems: tuple[str, ...]


def load_installed(folders: Sequence[Path], *, device: Device, threads: int) -> Installed:
    """Load every engine of `folders` and of the embedded pack, each checked against its golden outputs.

    A UNet in `folders` takes the place of the embedded one; encoders of pictures and of texts add up, and of
    two with one name the first found serves. An engine that does not hold is left out with a problem, unless
    it is embedded: then the installation itself is broken and EngineError is raised.
    """
    problems: list[str] = []
    unet: UNetEngine | None = None
    encoders: dict[str, Encoder] = {}
    texts: dict[str, TextEncoder] = {}
    for folder in engine_folders([*folders, EMBEDDED]):
        embedded = folder.parent == EMBEDDED
        try:
            manifest = load_manifest(folder)
            if manifest.kind == "unet" and unet is None:
                unet = load_checked_unet(folder, manifest, device=device, threads=threads)
            elif manifest.kind == "encoder" and manifest.name not in encoders:
                encoders[manifest.name] = load_checked_encoder(
                    folder, manifest, device=device, threads=threads
                )
            elif manifest.kind == "text" and manifest.name not in texts:
                texts[manifest.name] = load_checked_text(folder, manifest, device=device, threads=threads)
        except EngineError as error:
            if embedded:
                raise
            problems.append(f"engine left out: {error}")
    if unet is None:
        raise EngineError(f"{EMBEDDED}: no UNet engine is installed. Install Goodparts again.")
    return Installed(
        unet=unet, encoders=tuple(encoders.values()), texts=tuple(texts.values()), problems=tuple(problems)
    )


def load_checked_unet(folder: Path, manifest: Manifest, *, device: Device, threads: int) -> UNetEngine:
    """On the CPU too it has been compared with its golden outputs."""
    unet = load_unet(folder, device=device, threads=threads)
    if unet.rung == "cpu":  # the others are proven as they are loaded
        for graph, runner in unet.runners.items():
            check_golden(manifest, folder, graph, runner)
    return unet


def load_checked_encoder(folder: Path, manifest: Manifest, *, device: Device, threads: int) -> Encoder:
    """On the CPU too it has been compared with its golden outputs."""
    encoder = load_encoder(folder, device=device, threads=threads)
    if encoder.rung == "cpu":
        check_golden(manifest, folder, "encoder", encoder.runner)
    return encoder


def load_checked_text(folder: Path, manifest: Manifest, *, device: Device, threads: int) -> TextEncoder:
    """On the CPU too it has been compared with its golden outputs."""
    text = load_text_encoder(folder, device=device, threads=threads)
    if text.rung == "cpu":
        check_golden(manifest, folder, "text", text.runner)
    return text


def find_encoder_folder(sha256: str, folders: Sequence[Path]) -> Path | None:
    """The folder of the installed encoder with this engine hash, by its manifest alone: fast.

    The embedded pack is looked at first: a run that needs nothing else scores without the other folders.
    """
    for folder in engine_folders([EMBEDDED, *folders]):
        try:
            manifest = load_manifest(folder)
        except EngineError:  # another engine's damage is no reason not to find this one
            continue
        if engine_hash(manifest) == sha256:
            return folder
    return None


def engine_folders(roots: Sequence[Path]) -> Iterator[Path]:
    """Every folder with a manifest: a root itself, one below it, or one below that, as a CLIP's two are."""
    for root in roots:
        if not root.is_dir():
            raise EngineError(f"{root}: not a folder. Correct engines.folders in the settings.")
        below = _folders_in(root)
        candidates = [root, *(place for folder in below for place in (folder, *_folders_in(folder)))]
        yield from (folder for folder in candidates if (folder / FILE_NAME).is_file())


def _folders_in(folder: Path) -> list[Path]:
    """In order of name; hidden ones are somebody's unfinished work."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
