"""appliance/daemon/masking.py: no secret, no line break, no endless value comes into a log."""

from __future__ import annotations

import json
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.daemon.masking import LONGEST_TEXT, MASK, plain, text

SECRET = "hunter2-Zx9"


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "MQTT_PASSWORD",
        "token",
        "api_key",
        "apiKey",
        "client-secret",
        "Authorization",
        "Cookie",
        "pwd",
    ],
)
def test_values_of_secret_keys_are_masked_at_any_depth(key: str) -> None:
    """However deep and in whatever container, and whole containers too."""
    value = {"mqtt": [{"broker": {"host": "plc", key: SECRET}}], key: {"inner": [SECRET]}}
    assert SECRET not in json.dumps(plain(value))
    assert plain(value)["mqtt"][0]["broker"] == {"host": "plc", key: MASK}


def test_that_no_password_is_set_may_be_seen() -> None:
    """null is no secret, and what an operator looks for."""
    assert plain({"password": None}) == {"password": None}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"mqtt://line3:{SECRET}@broker:1883/a", f"mqtt://{MASK}@broker:1883/a"),
        (f"mqtt://line3:{SECRET}@{SECRET}@broker/a", f"mqtt://{MASK}@broker/a"),
        (f"https://{SECRET}@host/hook", f"https://{MASK}@host/hook"),
        (f"mqtt://line3:{SECRET}/{SECRET}@broker/a", f"mqtt://{MASK}@broker/a"),
        (f"Authorization: Bearer {SECRET}", f"Authorization: {MASK}"),
        (f"GET /hook?token={SECRET}&n=1", f"GET /hook?token={MASK}&n=1"),
        (f"MqttSettings(password='{SECRET} two words', port=1)", f"MqttSettings(password={MASK}, port=1)"),
        (f'{{"api_key": "{SECRET}"}}', f'{{"api_key": {MASK}}}'),
        ("http://127.0.0.1:8765/health", "http://127.0.0.1:8765/health"),
        ("no such key: gear", "no such key: gear"),
        ("mail line3@plant", "mail line3@plant"),
    ],
)
def test_secrets_in_running_text_are_masked_and_the_rest_stays(said: str, shown: str) -> None:
    """URLs with a user, headers, queries and the text of objects; what is none stays readable."""
    assert text(said) == shown


def test_a_cut_never_shows_half_a_url_with_its_password() -> None:
    """A secret is sought before the text is made short, wherever the cut comes."""
    for pad in (LONGEST_TEXT - 20, 19_990, 19_970):
        assert SECRET not in text("a " * (pad // 2) + f"mqtt://line3:{SECRET}@broker/a")
    assert "hunter" not in text("x" * 19_980 + f" mqtt://line3:{SECRET}@broker/a", longest=30_000)


@given(value=st.text())
def test_any_text_becomes_one_printable_line(value: str) -> None:
    """Line breaks, escape codes, direction marks and lone surrogates are shown, not sent."""
    shown = text(value)
    assert len(shown.splitlines()) <= 1
    assert all(letter.isprintable() or letter.isspace() for letter in shown)
    shown.encode("utf-8")


def test_names_are_shown_as_everywhere_else() -> None:
    """What is searched in the ledger is found in the log: bytes that are not UTF-8 as \\xff."""
    assert plain(Path("/srv/b\udcffd\n.png")) == r"/srv/b\xffd\n.png"
    assert plain(b"b\xffd") == r"b\xffd"


class _Sulks:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, True),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (float("nan"), "nan"),
        (np.float64("-inf"), "-inf"),
        (Fraction(1, 2), 0.5),
        pytest.param(10**5000, hex(10**5000)[:LONGEST_TEXT], id="huge"),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (OrderedDict(a=1), {"a": 1}),
        ({1: "one"}, {"1": "one"}),
        (ValueError("odd"), "odd"),
        (_Sulks(), "<_Sulks: RuntimeError>"),
    ],
)
def test_every_value_becomes_json(value: Any, shown: Any) -> None:
    """Numbers of numpy, not-a-number, sets, and objects that cannot even be shown."""
    assert plain(value) == shown
    json.dumps(plain(value), allow_nan=False)


def test_values_are_bounded() -> None:
    """A list of 100,000 names, a text of a megabyte and a circle end soon."""
    circle: dict[str, Any] = {}
    circle["again"] = circle
    assert len(json.dumps(plain(circle))) < 3 * LONGEST_TEXT
    assert plain(list(range(100_000)))[-1] == "… 99950 more"
    assert plain(dict.fromkeys(range(60)))["…"] == "10 more"
    assert text("a " * 500_000).endswith("more characters")
    assert len(text("a " * 500_000)) < LONGEST_TEXT + 40
