"""The two texts of a bundle that a person reads: how to install it, and under which licences it stands."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from engines.bundle import WHEELS
from engines.manifest import Manifest
from export.catalogue import by_hash

WIDTH = 100


def install_text(engines: Sequence[str], *, extra: str, python: str) -> bytes:
    """How a person brings the bundle onto a box, step by step."""
    parts = [f"A bundle of Goodparts with the engines {', '.join(engines)}."]
    parts += _wheel_steps(extra, python) if extra else [_NO_WHEELS]
    parts.append(_ENGINE_STEPS)
    return "\n\n".join(part.strip("\n") for part in parts).encode() + b"\n"


def _wheel_steps(extra: str, python: str) -> Iterator[str]:
    kind = f"Python {python}" if python else "Python"
    install = (
        f'python -m pip install --no-index --find-links UNPACKED/{WHEELS} --upgrade "goodparts[{extra}]"'
    )
    yield f"It also holds the Python packages of a box ({extra}, {kind})."
    yield f"""\
1. Put Goodparts on the box, or update it. BUNDLE is the archive, UNPACKED a new folder:

     mkdir UNPACKED
     tar -xf BUNDLE -C UNPACKED {WHEELS}
     python{python} -m venv /opt/goodparts        (only the first time)
     /opt/goodparts/bin/{install}
     rm -r UNPACKED"""


_NO_WHEELS = "1. It holds no Python packages: Goodparts must be on the box already."

_ENGINE_STEPS = """\
2. Install the engines; all is checked before anything changes. DIR is where they shall be, such as
   /var/lib/goodparts/engines:

     /opt/goodparts/bin/goodparts import BUNDLE --out DIR

3. Name the folder in the settings:

     engines:
       folders: [DIR]

   and look whether they are used:

     /opt/goodparts/bin/goodparts detectors --config SETTINGS

After step 2 the archive may go. LICENCES.txt says what may be used for what."""


def licences_text(manifests: Mapping[str, Manifest]) -> bytes:
    """A paragraph for each engine, from its manifest and the catalogue of published weights."""
    head = (
        "The engines of this bundle, and the licences of the weights in them. What is said of commercial use "
        f"is not legal advice. The packages in {WHEELS}, if there are any, hold their own licences."
    )
    paragraphs = [textwrap.fill(head, WIDTH)]
    paragraphs += ["\n".join(_paragraph(name, manifest)) for name, manifest in manifests.items()]
    return "\n\n".join(paragraphs).encode() + b"\n"


def _paragraph(name: str, manifest: Manifest) -> Iterator[str]:
    yield f"{name} ({manifest.kind}, {manifest.precision}, {manifest.parameters / 1e6:.1f} M parameters)"
    yield _item("Weights", manifest.source)
    yield _item("sha256", manifest.source_sha256)
    yield _item("Licence", manifest.licence)
    weights = by_hash(manifest.source_sha256)
    if weights is None:
        return
    yield _item("Text", weights.licence_url)
    yield _item("Commercial use", f"{weights.terms.commercial}. {weights.terms.condition}")


def _item(label: str, text: str) -> str:
    return textwrap.fill(
        f"{label}: {text}",
        WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
