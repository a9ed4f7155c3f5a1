"""The pages' templates: one way to escape, to say what is missing and to write figures, for every page."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from appliance.report import figures, words

HERE = Path(__file__).parent


@functools.cache
def environment(folder: Path = HERE) -> jinja2.Environment:
    """Templates of `folder` and the parts that pages share, which lie here: the look, pictures."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    found.filters |= {
        "auroc": words.auroc,
        "percent": words.percent,
        "share": words.share,
        "score": words.score,
        "one_decimal": words.one_decimal,
        "seconds": words.seconds,
        "milliseconds": words.milliseconds,
        "pixels": words.pixels,
        "pretty": _pretty,
    }
    found.globals |= {"words": words, "heat": figures.heat}
    return found


def encoded(page: str) -> bytes:
    """The page as it is written: half a surrogate pair in a file name must not end it."""
    return page.encode("utf-8", "backslashreplace")


def _finalized(value: object) -> object:
    """Every value on its way into the page: what is missing becomes a dash, text shows what it hides."""
    if value is None:
        return words.DASH
    return words.printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _pretty(value: object) -> Markup:
    lines = json.dumps(value, indent=2, ensure_ascii=False, default=str).split("\n")
    return escape("\n".join(words.printable(line) for line in lines))
