"""appliance/daemon/http_server.py: slow and hostile clients, and what they cannot do."""

from __future__ import annotations

import resource
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from appliance.daemon import http_server
from appliance.daemon.http_message import MOST_HEAD, Reply
from appliance.daemon.http_server import DRAIN_S, MOST_OPEN, REPLY_S, REQUEST_S, REST_S, HttpServer
from appliance.errors import GoodpartsError

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENCE_S = 20.0  # of a test's client; nothing here takes as long


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A server whose turns the test takes itself, and clients of it."""

    def __init__(self, reply: Reply) -> None:
        self.clock = Clock()
        self.heads: list[bytes] = []
        self.reply = reply
        self.server = HttpServer(0, self._answer, clock=self.clock)

    def _answer(self, head: bytes) -> tuple[Reply, bool]:
        self.heads.append(head)
        return self.reply, not head.startswith(b"HEAD")

    def client(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=PATIENCE_S)

    def turns(self, count: int = 3) -> None:
        for _ in range(count):
            self.server.turn(0)

    def after(self, seconds: float) -> None:
        self.clock.now += seconds
        self.turns(1)


@contextmanager
def desk_with(reply: Reply | None = None) -> Iterator[Desk]:
    desk = Desk(Reply(body=b"fine\n") if reply is None else reply)
    with desk.server:
        yield desk


@contextmanager
def serving(server: HttpServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def whole(client: socket.socket) -> bytes:
    """All that comes until the end."""
    pieces = []
    while piece := client.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def asked(port: int, data: bytes = ASK) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall(data)
        return whole(client)


def test_a_question_is_answered() -> None:
    """Head and body; the connection ends."""
    with desk_with() as desk, serving(desk.server):
        assert asked(desk.server.port).endswith(b"\r\n\r\nfine\n")
        assert desk.heads == [ASK.removesuffix(b"\r\n\r\n")]


def test_a_head_alone_has_the_length_and_no_body() -> None:
    """HEAD, also where the body is a file."""
    with desk_with() as desk, serving(desk.server):
        said = asked(desk.server.port, ASK.replace(b"GET", b"HEAD"))
    assert b"Content-Length: 5\r\n" in said and said.endswith(b"\r\n\r\n")


def test_a_head_that_comes_in_pieces_is_answered() -> None:
    """One byte at a time."""
    with desk_with() as desk, desk.client() as client:
        for byte in ASK:
            client.sendall(bytes([byte]))
            desk.turns(2)
        assert len(desk.heads) == 1
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_one_who_never_finishes_loses_the_place() -> None:
    """A byte now and then does not make the time longer."""
    with desk_with() as desk, desk.client() as client:
        desk.turns()
        for _ in range(4):
            client.sendall(b"x")
            desk.after(REQUEST_S / 5)
        assert desk.server.open_connections == 1
        desk.after(REQUEST_S / 5)
        assert desk.server.open_connections == 0
        assert desk.heads == []


def test_one_who_takes_nothing_loses_the_place() -> None:
    """The answer is larger than what the kernel keeps for the client."""
    with desk_with(Reply(body=b"x" * (32 << 20))) as desk, desk.client() as client:
        client.sendall(ASK)
        desk.turns(50)
        desk.after(REPLY_S - 0.1)
        assert desk.server.open_connections == 1
        desk.after(0.2)
        assert desk.server.open_connections == 0


def test_one_who_does_not_close_loses_the_place() -> None:
    """The answer is all the client gets time for."""
    with desk_with() as desk, desk.client() as client:
        client.sendall(ASK)
        desk.turns()
        assert whole(client).endswith(b"fine\n")
        desk.after(DRAIN_S)
        assert desk.server.open_connections == 0


@pytest.mark.parametrize("data", [b"x" * (1 << 20), b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200_000])
def test_a_megabyte_of_head_is_refused_and_not_kept(data: bytes) -> None:
    """The client still gets the answer: what it sends on is read and thrown away."""
    with desk_with() as desk, serving(desk.server):
        said = asked(desk.server.port, data)
    assert said.startswith(b"HTTP/1.1 431 ") and desk.heads == []


def test_a_head_of_the_largest_size_is_taken() -> None:
    """The next byte is one too many."""
    fill = MOST_HEAD - len(ASK.removesuffix(b"\r\n\r\n")) - len(b"\r\nX: ")
    head = ASK.removesuffix(b"\r\n\r\n") + b"\r\nX: " + b"y" * fill
    with desk_with() as desk, serving(desk.server):
        assert asked(desk.server.port, head + b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert asked(desk.server.port, head + b"y\r\n\r\n").startswith(b"HTTP/1.1 431 ")


def test_a_crowd_of_silent_clients_keeps_nobody_out() -> None:
    """The oldest silent one makes room."""
    with desk_with() as desk, ExitStack() as crowd:
        for _ in range(MOST_OPEN + 20):
            crowd.enter_context(desk.client())
            desk.turns(1)
        assert desk.server.open_connections == MOST_OPEN
        late = crowd.enter_context(desk.client())
        late.sendall(ASK)
        desk.turns()
        assert late.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_one_who_is_being_answered_stays_where_others_are_silent() -> None:
    """The first to come is the last to go, while its answer is on the way."""
    with desk_with(Reply(body=b"x" * (32 << 20))) as desk, ExitStack() as crowd:
        first = crowd.enter_context(desk.client())
        first.sendall(ASK)
        desk.turns(10)
        for _ in range(2 * MOST_OPEN):
            crowd.enter_context(desk.client())
            desk.turns(1)
        with serving(desk.server):
            assert len(whole(first)) > 32 << 20


def test_ten_thousand_connections_change_nothing() -> None:
    """Neither places, nor files, nor memory; and a question among them is answered."""
    with desk_with() as desk, serving(desk.server):
        held: deque[socket.socket] = deque()
        _flood(desk.server.port, held, 1_000)
        before = _resident_mib()
        _flood(desk.server.port, held, 9_000)
        assert asked(desk.server.port).endswith(b"fine\n")
        assert desk.server.open_connections <= MOST_OPEN
        assert _resident_mib() - before < 4
        for client in held:
            client.close()


def _flood(port: int, held: deque[socket.socket], count: int) -> None:
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        client.sendall(b"GET / HTTP/1.1\r\nHost: ")
        held.append(client)
        if len(held) > 200:
            held.popleft().close()


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def test_a_file_is_sent_as_it_is_and_closed(tmp_path: Path) -> None:
    """Not through our memory."""
    data = bytes(range(256)) * 4096
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as file:
        with desk_with(Reply(file=file, file_bytes=len(data))) as desk, serving(desk.server):
            said = asked(desk.server.port)
        assert said.partition(b"\r\n\r\n")[2] == data
        assert file.closed


def test_a_file_that_became_shorter_ends_the_connection(tmp_path: Path) -> None:
    """The client sees by the length that something is missing."""
    (tmp_path / "file").write_bytes(b"half")
    with (
        (tmp_path / "file").open("rb") as file,
        desk_with(Reply(file=file, file_bytes=8)) as desk,
        serving(desk.server),
    ):
        said = asked(desk.server.port)
    assert b"Content-Length: 8" in said and said.endswith(b"\r\n\r\nhalf")


def test_it_stops_at_once_whatever_clients_do() -> None:
    """Silent ones and one that takes no answer are cut off; the port is free again."""
    with ExitStack() as crowd:
        desk = Desk(Reply(body=b"x" * (32 << 20)))
        with serving(desk.server):
            clients = [crowd.enter_context(desk.client()) for _ in range(10)]
            clients[0].sendall(ASK)
            assert clients[0].recv(10)
        port = desk.server.port
        desk.server.close()
        HttpServer(port, desk._answer).close()


def test_a_stop_before_the_start_holds() -> None:
    """The service may be told to end while it is still beginning."""
    with desk_with() as desk:
        desk.server.stop()
        desk.server.serve()


def test_it_listens_on_this_machine_alone() -> None:
    """127.0.0.1, not the box's address in the plant."""
    with desk_with() as desk:
        assert desk.server._listener.getsockname()[0] == "127.0.0.1"


def test_a_taken_port_names_the_setting() -> None:
    """And the way out."""
    with desk_with() as desk, pytest.raises(GoodpartsError) as raised:
        port = desk.server.port
        HttpServer(port, desk._answer)
    said = str(raised.value)
    assert f"http.port {port}: another program listens" in said and "http.enabled" in said


def test_without_files_it_rests_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The system has no more of them: said once, and not tried in a circle."""
    with desk_with() as desk:
        real, is_out = desk.server._listener, [True]

        class Listener:
            def fileno(self) -> int:
                return real.fileno()

            def close(self) -> None:
                real.close()

            def getsockname(self) -> tuple[str, int]:
                return real.getsockname()

            def accept(self) -> tuple[socket.socket, object]:
                if is_out[0]:
                    raise OSError(24, "Too many open files")
                return real.accept()

        desk.server._selector.unregister(real)
        monkeypatch.setattr(desk.server, "_listener", Listener())
        desk.server._selector.register(desk.server._listener, http_server.selectors.EVENT_READ)
        with desk.client() as client:
            client.sendall(ASK)
            desk.turns(5)
            desk.after(REST_S)
            desk.turns(5)
            assert [record.getMessage() for record in caplog.records] == [
                "the web interface takes no connection for now: Too many open files"
            ]
            is_out[0] = False
            desk.after(REST_S)
            desk.turns()
            assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
