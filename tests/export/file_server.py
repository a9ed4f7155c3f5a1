"""A small web server that serves one file well, or with a fault."""

from __future__ import annotations

import re
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Site:
    """What is served and how; `asked` collects the Range headers."""

    content: bytes
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)  # per answer: bytes sent before the line goes dead
    codes: list[int] = field(default_factory=list)  # answers before the file
    redirect: str = ""
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.headers.get("Range"))
            if site.codes:
                self.send_error(site.codes.pop(0))
            elif site.redirect:
                self.send_response(302)
                self.send_header("Location", site.redirect)
                self.end_headers()
            else:
                self._send()

        def _send(self) -> None:
            size = len(site.content)
            match = re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) if site.ranges else None
            start = int(match.group(1)) if match else 0
            if match and start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.end_headers()
                return
            self.send_response(206 if match else 200)
            if match:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.send_header("Content-Length", str(size - start))
            self.end_headers()
            end = start + site.cut_after.pop(0) if site.cut_after else size
            self.wfile.write(site.content[start:end])

        def log_message(self, *_args: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}/weights.pth"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def open_plain(request: urllib.request.Request) -> Any:
    """Opens the test's http address, past any proxy."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5)
