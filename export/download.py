"""One file over https, resumed where an earlier try broke off.

The bytes go to `NAME.part` beside the file, which stays when a download breaks off: the next try asks for the
rest of it (RFC 9110, Range). Whether the whole is the published file only its hash can tell; that is the
caller's part.
"""

from __future__ import annotations

import errno
import fcntl
import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import IO, Any, Protocol

from export.errors import ExportError
from export.steps import say

TIMEOUT_S = 60.0  # without a byte
PAUSES_S = (1.0, 4.0, 15.0)  # before the second, third, fourth try
ENOUGH_BYTES = 1 << 20  # a try that brought so much counts as progress: the pauses begin anew
CHUNK_BYTES = 1 << 18
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}

Opener = Callable[[urllib.request.Request], Any]


class Report(Protocol):
    """Told how far a file is."""

    def __call__(self, done_bytes: int, total_bytes: int | None) -> None: ...


class _BrokenOffError(Exception):
    """A try ended early for a reason that may pass."""


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _refuse_plain(newurl, f"{req.full_url} redirects to")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_https(request: urllib.request.Request) -> Any:
    """Opens an https address; redirects stay within https. HTTPS_PROXY and its kin are respected."""
    _refuse_plain(request.full_url, "asked for")
    return urllib.request.build_opener(_OnlyHttps).open(request, timeout=TIMEOUT_S)


def part_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.part")


def download(
    url: str,
    place: Path,
    report: Report,
    *,
    open_url: Opener = open_https,
    wait: Callable[[float], None] = time.sleep,
) -> Path:
    """Brings the whole of `url` into the part file of `place`, and returns the part file.

    ExportError, with the part file kept, when the server refuses or the connection fails for good.
    """
    part = part_of(place)
    with part.open("ab", buffering=0) as file:  # unbuffered: what was counted is in the file
        _lock(file, place)
        try:
            _try_often(url, file, report, open_url, wait)
        finally:
            if file.tell() == 0:
                part.unlink()
    return part


def _try_often(
    url: str, file: FileIO, report: Report, open_url: Opener, wait: Callable[[float], None]
) -> None:
    failures = 0
    while True:
        before = file.tell()
        try:
            return _receive(url, file, report, open_url)
        except _BrokenOffError as fault:
            failures = 0 if file.tell() - before >= ENOUGH_BYTES else failures
            if failures == len(PAUSES_S):
                raise ExportError(_kept(url, str(fault), file)) from fault
            say(f"{part_name(file)}: {fault}; trying again in {PAUSES_S[failures]:.0f} s")
            wait(PAUSES_S[failures])
            failures += 1


def _lock(file: FileIO, place: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        said = "another goodparts-export is downloading it. Wait for that one, or give another --out."
        raise ExportError(f"{place}: {said}") from error


def _receive(url: str, file: FileIO, report: Report, open_url: Opener) -> None:
    """One try. _BrokenOffError if it may be repeated."""
    have = file.seek(0, 2)
    try:
        with open_url(_request(url, have)) as response:
            _copy(response, file, _agreed_start(response, file, have), report)
    except urllib.error.HTTPError as error:
        if not _is_complete(error, have):
            _judge(error, url, file)
    except urllib.error.URLError as error:
        _judge_connection(error.reason, url)
    except (http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError) as error:
        raise _BrokenOffError(_words(error)) from error


def _request(url: str, have: int) -> urllib.request.Request:
    headers = {"User-Agent": "goodparts-export", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    return urllib.request.Request(url, headers=headers)  # noqa: S310  # open_https looks at the scheme


def _agreed_start(response: Any, file: FileIO, have: int) -> int:
    """Where in the file the bytes of a response belong; the file is cut there."""
    if response.status != http.client.PARTIAL_CONTENT:
        if have:
            say(f"{part_name(file)}: the server does not resume; beginning anew")
        return _emptied(file)
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if match is None or int(match.group(1)) != have:
        _emptied(file)
        raise _BrokenOffError("the server sent another part than the one asked for")
    return have


def _copy(response: Any, file: FileIO, have: int, report: Report) -> None:
    length = response.headers.get("Content-Length", "")
    total = have + int(length) if length.isdecimal() else None
    while chunk := _read(response):
        _write(file, chunk)
        have += len(chunk)
        report(have, total)
    if have == 0:
        raise _BrokenOffError("the server sent nothing")
    if total is not None and have < total:
        raise _BrokenOffError(f"the connection ended after {mib(have)} of {mib(total)} MiB")


def _read(response: Any) -> bytes:
    """_BrokenOffError for whatever ends a connection: here every fault is the network's, not the disk's."""
    try:
        chunk: bytes = response.read(CHUNK_BYTES)
    except (http.client.HTTPException, OSError) as error:
        raise _BrokenOffError(_words(error)) from error
    return chunk


def _write(file: FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        said = f"the disk is full after {mib(file.tell())} MiB"
        raise ExportError(f"{part_name(file)}: {said}. Make room; the next run resumes.") from error


def _is_complete(error: urllib.error.HTTPError, have: int) -> bool:
    """Whether nothing is left to ask for: an earlier run was stopped between the last byte and the check."""
    total = error.headers.get("Content-Range", "").removeprefix("bytes */")
    return error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and total == str(have)


def _judge(error: urllib.error.HTTPError, url: str, file: FileIO) -> None:
    """An answer that is not the file."""
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        _emptied(file)  # the part is longer than the file: it is another file's
        raise _BrokenOffError("what was downloaded earlier does not fit the file; beginning anew") from error
    said = f"the server answered {error.code} {error.reason}"
    if error.code in TRANSIENT:
        raise _BrokenOffError(said) from error
    raise ExportError(
        f"{url}: {said}. Download the file by other means and give its folder with --from; it is checked "
        "all the same."
    ) from error


def _judge_connection(reason: object, url: str) -> None:
    if isinstance(reason, ssl.SSLCertVerificationError):
        said = f"its certificate does not hold ({reason.verify_message})"
        cure = "Behind a proxy that inspects traffic, name the proxy's certificate file in SSL_CERT_FILE."
        raise ExportError(f"{url}: {said}. {cure}")
    raise _BrokenOffError(_words(reason) if isinstance(reason, Exception) else str(reason))


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer for {TIMEOUT_S:.0f} s"
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"the connection failed ({said or type(error).__name__})"


def _kept(url: str, said: str, file: FileIO) -> str:
    kept = f"{part_name(file)} keeps {mib(file.tell())} MiB; the next run resumes there."
    has = f" {kept}" if file.tell() else ""
    return (
        f"{url}: {said}, {len(PAUSES_S) + 1} times.{has} Check the network and HTTPS_PROXY, or bring the "
        "file on a stick and give its folder with --from."
    )


def _refuse_plain(url: str, doing: str) -> None:
    if not url.lower().startswith("https://"):
        raise ExportError(
            f"{doing} {url}: only https is followed. Download the file by other means; see --from."
        )


def _emptied(file: FileIO) -> int:
    file.seek(0)
    file.truncate()
    return 0


def part_name(file: FileIO) -> str:
    return str(file.name)


def mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f}"
