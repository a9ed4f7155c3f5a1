"""Which of the files that a person names is the one that an engine was made from: by its sha256 alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from engines.manifest import file_sha256
from export.errors import UsageError

DIFFUSERS = "diffusion_pytorch_model.safetensors"  # the weights inside a folder that diffusers wrote
SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")


class Checkpoints:
    """Files, folders that diffusers wrote, and folders of files, as `fetch` leaves them."""

    def __init__(self, named: Sequence[Path]) -> None:
        """UsageError if one is not there, or is a folder without weights."""
        self.paths = [path for one in named for path in _weights(one)]
        self._by_sha256: dict[str, Path] | None = None

    def find(self, sha256: str) -> Path | None:
        return self.hashes().get(sha256)

    def hashes(self) -> dict[str, Path]:
        """By sha256; the files are read once, when first asked: two gigabytes take seconds."""
        if self._by_sha256 is None:
            self._by_sha256 = {file_sha256(_file(path)): path for path in self.paths}
        return self._by_sha256


def _weights(path: Path) -> Iterator[Path]:
    if path.is_file() or (path / DIFFUSERS).is_file():
        yield path
    elif not path.is_dir():
        raise UsageError(f"--checkpoint {path}: no such file or folder. Correct the path.")
    else:
        found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
        if not found:
            raise UsageError(
                f"--checkpoint {path}: no weights in this folder ({', '.join(SUFFIXES)}). Name the file."
            )
        yield from found


def _file(path: Path) -> Path:
    return path / DIFFUSERS if path.is_dir() else path
