"""appliance/daemon/http_message.py: which requests are taken, and the bytes of an answer."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.daemon.http_message import (
    RefusedRequest,
    Reply,
    ends_at,
    failure,
    head_of,
    json_reply,
    request_of,
)


def head(line: str = "GET / HTTP/1.1", *headers: str, host: str | None = "localhost:8765") -> bytes:
    return "\r\n".join([line, *([f"Host: {host}"] if host is not None else []), *headers]).encode("latin-1")


def refused(data: bytes) -> Reply:
    with pytest.raises(RefusedRequest) as raised:
        request_of(data)
    return raised.value.reply


def test_a_request_is_read() -> None:
    """Method, path, query, and headers whose names are in small letters."""
    request = request_of(head("GET /stations/lid/result?x=1&y HTTP/1.1", "ACCEPT:  text/plain \t"))
    assert (request.method, request.path, request.query) == ("GET", "/stations/lid/result", "x=1&y")
    assert request.headers == {"host": "localhost:8765", "accept": "text/plain"}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:65535"])
def test_this_machine_is_asked_by_its_own_names(host: str) -> None:
    """With any port, since a tunnel may have another one."""
    assert request_of(head(host=host)).path == "/"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0"),
        *("127.0.0.2", "localhost:", "localhost:x", "user@localhost", "localhost, evil.example", ""),
    ],
)
def test_another_name_is_refused(host: str) -> None:
    """A page of another site that reaches 127.0.0.1 under its own name (DNS rebinding) reads nothing."""
    reply = refused(head(host=host))
    assert (reply.status, json.loads(reply.body)["error"]) == (403, "wrong_host")


def test_a_request_without_a_host_is_refused() -> None:
    """No browser leaves it out."""
    assert refused(head(host=None)).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "BREW"])
def test_nothing_can_be_changed(method: str) -> None:
    """Other methods are told which are allowed."""
    reply = refused(head(f"{method} /status HTTP/1.1"))
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        head("GET /"),
        head("GET / HTTP/2.0"),
        head("GET  / HTTP/1.1"),
        head("GET / x HTTP/1.1"),
        head("GET /\x00 HTTP/1.1"),
        head("GET / HTTP/1.1", "no colon"),
        head("GET / HTTP/1.1", " folded: line"),
        head("GET / HTTP/1.1", "na me: x"),
        head("GET / HTTP/1.1", "Host: localhost"),
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    """With 400, two Host headers among them."""
    assert refused(data).status == 400


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing else comes of what a client sends."""
    try:
        request_of(data)
    except RefusedRequest as error:
        assert error.reply.status in (400, 403, 405)


def test_a_head_ends_with_an_empty_line() -> None:
    """Of either kind of line break; before it, more is to come."""
    assert ends_at(b"GET / HTTP/1.1\r\nHost: a\r\n") is None
    assert ends_at(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody") == 23
    assert ends_at(b"GET / HTTP/1.1\nHost: a\n\n") == 22


def test_an_end_that_comes_in_pieces_is_found() -> None:
    """Wherever the pieces part."""
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody"
    assert [ends_at(data, seen=seen) for seen in range(27)] == [23] * 27


def test_every_answer_says_how_it_is_to_be_taken() -> None:
    """Not kept, not guessed at, with its length; and no other site may read it."""
    lines = head_of(failure(404, "not_found", "No."), at=0.0).decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 404 Not Found" and lines[-2:] == ["", ""]
    headers = dict(line.split(": ", 1) for line in lines[1:-2])
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Connection"] == "close"
    assert headers["Date"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert int(headers["Content-Length"]) == len(failure(404, "not_found", "No.").body)
    assert not any(name.startswith("Access-Control") for name in headers)


def test_json_is_of_the_standard() -> None:
    """Names of any bytes are escaped; NaN, which no other program reads, is refused."""
    assert json.loads(json_reply({"name": "caf\udce9"}).body) == {"name": "caf\udce9"}
    assert json_reply({"name": "caf\udce9"}).body.isascii()
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_reply(float("nan"))


@pytest.mark.parametrize(
    "data",
    [
        head("GET / HTTP/1.1", "X: " + " " * 3900 + "x" + " " * 3900 + "y"),
        head("GET " + "/" * 8000 + " HTTP/1.1"),
        head("GET / HTTP/1.1", *(f"x{i}:" for i in range(1500))),
        b"\r" * 8192,
        b"\r\n \r\n " * 1365,
    ],
)
def test_no_head_takes_long(data: bytes) -> None:
    """The largest are read in far less than a tenth of a second, whatever is in them."""
    began = time.process_time()
    ends_at(data)
    with contextlib.suppress(RefusedRequest):
        request_of(data)
    assert time.process_time() - began < 0.1
