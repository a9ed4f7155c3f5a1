"""Serves HTTP on this machine alone, in one thread, whatever clients do.

One thread looks after all connections: a slow client costs its place, never a thread. Places, bytes and
seconds are bounded; where the places are taken, the client that has been silent for longest loses its own,
so that one who asks and goes is served also beside thousands who only hold on.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import selectors
import socket
import time
from collections.abc import Callable
from typing import Literal, Self

from appliance.daemon.http_message import MOST_HEAD, Reply, ends_at, failure, head_of
from appliance.errors import GoodpartsError

HOST = "127.0.0.1"
MOST_OPEN = 64  # connections at a time: a monitoring, a page and a few probes need ten
MOST_WAITING = 1024  # that the kernel keeps until we look; beyond, a client tries again after a second
ACCEPTED_AT_ONCE = 16  # so that those who are there get their turn between two bursts
REQUEST_S = 5.0  # from the connection to the end of the head
REPLY_S = 10.0  # for the client to take the whole answer
DRAIN_S = 1.0  # for what it still sends: closing before would take the answer from it
PIECE = 1 << 16  # bytes received or sent at a time
REST_S = 1.0  # without new connections, when the system has no more files to give

Phase = Literal["reading", "replying", "draining"]
Answer = Callable[[bytes], tuple[Reply, bool]]  # head of a request -> (answer, whether its body is wanted)

log = logging.getLogger(__name__)


class HttpServer:
    """Listens from the beginning; `serve` runs in one thread, `stop` is called from any."""

    def __init__(self, port: int, answer: Answer, *, clock: Callable[[], float] = time.monotonic) -> None:
        """port 0: any that is free. answer: must not raise. GoodpartsError if the port cannot be had."""
        self._answer = answer
        self._clock = clock
        self._listener = _listening(port)
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._open: dict[socket.socket, _Connection] = {}  # the oldest first
        self._rests_until: float | None = None
        self._has_told_of_rest = False
        self._is_stopped = False

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def serve(self) -> None:
        """Until `stop`."""
        while not self._is_stopped:
            self.turn(self._next_due_s())

    def stop(self) -> None:
        """At once; answers that are on their way are cut off."""
        self._is_stopped = True
        with contextlib.suppress(BlockingIOError):  # it is being woken already
            self._wake_out.send(b"\0")

    def close(self) -> None:
        """After `serve` has ended."""
        for connection in list(self._open.values()):
            self._drop(connection)
        self._selector.close()
        for part in (self._listener, self._wake_in, self._wake_out):
            part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def turn(self, wait_s: float | None) -> None:
        """Wait for what comes, at most so long, and deal with it."""
        for key, _ in self._selector.select(wait_s):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._wake_in:
                self._wake_in.recv(PIECE)
            elif (connection := self._open.get(key.data)) is not None:  # not dropped in this very turn
                self._go_on(connection)
        now = self._clock()
        for connection in [known for known in self._open.values() if known.due <= now]:
            self._drop(connection)
        if self._rests_until is not None and self._rests_until <= now:
            self._rests_until = None
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _next_due_s(self) -> float | None:
        times = [connection.due for connection in self._open.values()]
        times += [] if self._rests_until is None else [self._rests_until]
        return max(0.0, min(times) - self._clock()) if times else None

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                client, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no more files, no more memory: over when others give theirs back
                self._rest(error)
                return
            if len(self._open) >= MOST_OPEN:
                self._drop(min(self._open.values(), key=lambda known: known.phase != "reading"))
            self._has_told_of_rest = False
            client.setblocking(False)
            self._open[client] = _Connection(client, due=self._clock() + REQUEST_S)
            self._selector.register(client, selectors.EVENT_READ, client)

    def _rest(self, error: OSError) -> None:
        self._selector.unregister(self._listener)
        self._rests_until = self._clock() + REST_S
        if not self._has_told_of_rest:
            said = "the web interface takes no connection for now: %s"
            log.warning(said, error.strerror, extra={"event": "web_no_connection"})
        self._has_told_of_rest = True

    def _go_on(self, connection: _Connection) -> None:
        try:
            is_over = self._step(connection)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # the client is gone, which is its own affair
            is_over = True
        if is_over:
            self._drop(connection)

    def _step(self, connection: _Connection) -> bool:
        """Receive or send a piece; whether the connection is over."""
        if connection.phase == "reading":
            return self._receive(connection)
        if connection.phase == "replying":
            if connection.send():
                connection.socket.shutdown(socket.SHUT_WR)
                self._turn_to(connection, "draining", DRAIN_S)
            return False
        return not connection.socket.recv(PIECE)

    def _receive(self, connection: _Connection) -> bool:
        piece = connection.socket.recv(MOST_HEAD)
        seen = len(connection.received)
        connection.received += piece
        end = ends_at(connection.received, seen=seen)
        if end is not None and end <= MOST_HEAD:
            reply, wants_body = self._answer(bytes(connection.received[:end]))
        elif end is not None or len(connection.received) > MOST_HEAD:
            said = f"Request line and headers may have {MOST_HEAD} bytes."
            reply, wants_body = failure(431, "request_too_large", said), True
        else:
            return not piece
        connection.begin(reply, head_of(reply, at=time.time()), wants_body=wants_body)
        self._turn_to(connection, "replying", REPLY_S)
        return False

    def _turn_to(self, connection: _Connection, phase: Phase, seconds: float) -> None:
        connection.phase, connection.due = phase, self._clock() + seconds
        events = selectors.EVENT_WRITE if phase == "replying" else selectors.EVENT_READ
        self._selector.modify(connection.socket, events, connection.socket)

    def _drop(self, connection: _Connection) -> None:
        del self._open[connection.socket]
        self._selector.unregister(connection.socket)
        connection.close()


class _Connection:
    """One client, one request."""

    def __init__(self, client: socket.socket, *, due: float) -> None:
        self.socket = client
        self.due = due  # when it is over in any case
        self.phase: Phase = "reading"
        self.received = bytearray()
        self._out = memoryview(b"")
        self._reply = Reply()
        self._sent = 0  # bytes of the file

    def begin(self, reply: Reply, head: bytes, *, wants_body: bool) -> None:
        self.received.clear()
        self._reply = reply
        self._out = memoryview(head + reply.body if wants_body else head)
        if not wants_body:
            self._sent = reply.file_bytes

    def send(self) -> bool:
        """A piece of the answer; whether that was the last."""
        if self._out:
            self._out = self._out[self.socket.send(self._out) :]
        elif self._sent < self._reply.file_bytes and self._reply.file is not None:
            count = min(PIECE, self._reply.file_bytes - self._sent)
            done = os.sendfile(self.socket.fileno(), self._reply.file.fileno(), self._sent, count)
            if done == 0:
                raise OSError("the file became shorter")
            self._sent += done
        return not self._out and self._sent >= self._reply.file_bytes

    def close(self) -> None:
        if self._reply.file is not None:
            self._reply.file.close()
        self.socket.close()


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of a service that was just stopped
        listener.bind((HOST, port))
        listener.listen(MOST_WAITING)
    except OSError as error:
        listener.close()
        raise GoodpartsError(_said(port, error)) from error
    listener.setblocking(False)
    return listener


def _said(port: int, error: OSError) -> str:
    remedy = "Give http.port another number in the settings, or set http.enabled to false."
    if error.errno == errno.EADDRINUSE:
        return f"http.port {port}: another program listens there on {HOST}. {remedy}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"http.port {port}: this user may not listen there; numbers from 1024 on are free. {remedy}"
    return f"http.port {port}: cannot be listened to ({error.strerror}). {remedy}"
