"""What the web interface is asked and what it answers, as values: bytes in, bytes out.

Only what this interface needs of HTTP/1.1 (RFC 9112): requests without a body, one to a connection, asked on
this machine. Everything else is refused with a reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, BinaryIO

MOST_HEAD = 8192  # bytes of request line and headers: browsers send one or two thousand
METHODS = ("GET", "HEAD")
JSON = "application/json"

_REQUEST_LINE = re.compile(r"([A-Za-z]{1,20}) ([!-~]+) HTTP/1\.[01]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
# A page of another site can reach 127.0.0.1 under its own name (DNS rebinding); it cannot change this header.
_OUR_HOST = re.compile(r"(localhost|127\.0\.0\.1)(:\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    path: str  # as it came, without the query
    query: str
    headers: Mapping[str, str]  # names in small letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer; its body is `body`, or `file` from its beginning."""

    status: int = 200
    body: bytes = b""
    file: BinaryIO | None = None  # closed by whoever sends it
    file_bytes: int = 0
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        return len(self.body) if self.file is None else self.file_bytes


class RefusedRequest(Exception):  # noqa: N818 - named for what it is
    """A request that is answered with nothing but `reply`."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def ends_at(received: bytes | bytearray, *, seen: int = 0) -> int | None:
    """Where the head of a request ends; None while more is to come. seen: bytes looked at before."""
    end = _HEAD_END.search(received, max(0, seen - 3))
    return None if end is None else end.start()


def request_of(head: bytes) -> Request:
    """The request with this head, of a client on this machine that asks for no change. RefusedRequest."""
    first, *lines = head.decode("latin-1").replace("\r\n", "\n").split("\n")
    asked = _REQUEST_LINE.fullmatch(first)
    if asked is None:
        raise RefusedRequest(failure(400, "bad_request", "This is no request of HTTP/1.1."))
    headers = _headers(lines)
    if _OUR_HOST.fullmatch(headers.get("host", "")) is None:
        said = "Ask for 127.0.0.1 or localhost: this interface is for programs on this machine."
        raise RefusedRequest(failure(403, "wrong_host", said))
    if asked[1] not in METHODS:
        said = f"Only {' and '.join(METHODS)} are answered."
        allow = {"Allow": ", ".join(METHODS)}
        raise RefusedRequest(failure(405, "method_not_allowed", said, headers=allow))
    path, _, query = asked[2].partition("?")
    return Request(method=asked[1], path=path, query=query, headers=headers)


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or _HEADER_NAME.fullmatch(name) is None:
            raise RefusedRequest(failure(400, "bad_request", "A header is not of HTTP/1.1."))
        name = name.lower()
        if name == "host" and name in headers:  # which of the two would be the true one?
            raise RefusedRequest(failure(400, "bad_request", "There are two Host headers."))
        headers[name] = value.strip(" \t")
    return headers


def json_reply(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """ValueError for NaN and infinities, which JSON has not."""
    body = json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"
    return Reply(status=status, body=body, headers=headers or {})


def failure(status: int, code: str, text: str, *, headers: Mapping[str, str] | None = None) -> Reply:
    """What went wrong: a stable word for other software, and a sentence."""
    return json_reply({"error": code, "text": text}, status=status, headers=headers)


def head_of(reply: Reply, *, at: float) -> bytes:
    """Status line and headers. at: seconds since 1970."""
    headers = {
        "Date": formatdate(at, usegmt=True),
        "Content-Type": reply.content_type,
        "Content-Length": str(reply.length),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **reply.headers,
    }
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
