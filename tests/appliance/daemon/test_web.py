"""appliance/daemon/web.py: what each route says, and that nothing else can be reached."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.daemon.http_message import Reply
from appliance.daemon.places import CHAMPION, Places
from appliance.daemon.status import BoxStatus, Problem
from appliance.daemon.web import METRICS, Route, Router, open_web, routes
from tests.appliance.daemon.status_samples import DISK, LOST, SUSPICIOUS, box_of, calibrating, waiting


class Box:
    """The status as the service would give it; counts how often it is asked."""

    def __init__(self, box: BoxStatus) -> None:
        self.box = box
        self.asked = 0

    def __call__(self) -> BoxStatus:
        self.asked += 1
        return self.box


def ask(router: Router, path: str, *, method: str = "GET") -> Reply:
    return router(f"{method} {path} HTTP/1.1\r\nHost: localhost".encode())[0]


def said(reply: Reply) -> Any:
    return json.loads(reply.body)


def router_of(box: BoxStatus | Callable[[], BoxStatus], state_dir: Path = Path("/nowhere")) -> Router:
    return Router(routes(box if callable(box) else Box(box), state_dir))


def put_result(state_dir: Path, station: str, data: bytes) -> None:
    folder = Places.of(state_dir, station).folder
    (folder / "runs" / "r1").mkdir(parents=True)
    (folder / "runs" / "r1" / "result.json").write_bytes(data)
    (folder / CHAMPION).symlink_to("runs/r1")


@pytest.mark.parametrize(
    ("problems", "status", "is_degraded", "is_failing"),
    [
        ((), 200, False, False),
        ((SUSPICIOUS,), 200, False, False),
        ((SUSPICIOUS, DISK), 200, True, False),
        ((DISK, LOST), 503, True, True),
    ],
)
def test_health_says_what_is_to_be_mended(
    problems: tuple[Problem, ...], status: int, is_degraded: bool, is_failing: bool
) -> None:
    """Degraded is still 200, with the reasons; only what does not do its work is 503."""
    reply = ask(router_of(box_of(calibrating("lid", *problems), waiting())), "/health")
    health = said(reply)
    assert reply.status == status
    assert (health["live"], health["ready"]) == (True, True)
    assert (health["degraded"], health["failing"]) == (is_degraded, is_failing)
    assert [(reason["station"], reason["code"]) for reason in health["reasons"]] == [
        ("lid", problem.code) for problem in problems
    ]
    assert all(reason["text"] and reason["remedy"] for reason in health["reasons"])
    assert health["stations"]["gear-top"] == {"phase": "waiting", "serves": False}


def test_a_problem_of_the_box_is_no_stations() -> None:
    """Its station is null."""
    health = said(ask(router_of(box_of(waiting(), problems=(DISK,))), "/health"))
    assert [reason["station"] for reason in health["reasons"]] == [None]


def test_a_service_that_does_not_run_is_not_ready() -> None:
    """Nor is one that has not begun."""
    router = router_of(box_of(waiting(), running=False))
    assert ask(router, "/health").status == 503
    assert ask(router, "/health/ready").status == 503


def test_probes_have_short_answers() -> None:
    """Live is whoever answers, also while the status cannot be told; ready is also one that degrades."""
    router = router_of(box_of(waiting("gear-top", LOST)))
    assert (ask(router, "/health/ready").status, said(ask(router, "/health/ready"))) == (200, {"ready": True})

    def broken() -> BoxStatus:
        raise RuntimeError("no ledger")

    reply = ask(router_of(broken), "/health/live")
    assert (reply.status, said(reply)) == (200, {"live": True})


def test_the_status_is_that_of_the_command_line() -> None:
    """The same keys and values."""
    box = box_of(calibrating("lid", DISK), waiting())
    assert said(ask(router_of(box), "/status")) == json.loads(json.dumps(box.as_json()))


def test_a_scrape_asks_for_the_status_once() -> None:
    """And a start not at all."""
    box = Box(box_of(waiting()))
    router = router_of(box)
    assert box.asked == 0
    reply = ask(router, "/metrics")
    assert (reply.status, reply.content_type, box.asked) == (200, METRICS, 1)
    assert b'goodparts_photos{state="accepted",station="gear-top"} 12.0' in reply.body


def test_a_result_is_the_champions_byte_for_byte(tmp_path: Path) -> None:
    """Read from the run that the link names now."""
    put_result(tmp_path, "lid", b'{"as": "it is"}  \n')
    reply = ask(router_of(box_of(calibrating()), tmp_path), "/stations/lid/result")
    assert reply.file is not None
    with reply.file as file:
        assert (reply.status, reply.content_type) == (200, "application/json")
        assert file.read() == b'{"as": "it is"}  \n' and reply.length == 18


def test_a_station_without_a_champion_has_no_result(tmp_path: Path) -> None:
    """404, with the reason; a link to a run that is gone is the same."""
    router = router_of(box_of(waiting()), tmp_path)
    assert said(ask(router, "/stations/gear-top/result"))["error"] == "no_result"
    Places.of(tmp_path, "gear-top").folder.mkdir(parents=True)
    (Places.of(tmp_path, "gear-top").folder / CHAMPION).symlink_to("runs/gone")
    reply = ask(router, "/stations/gear-top/result")
    assert (reply.status, said(reply)["error"]) == (404, "no_result")


@pytest.mark.parametrize(
    "name",
    [
        *("..", ".", "%2e%2e", "lid%2f..%2flid", "LID", "lid%00", "other", "..%2f..%2fetc"),
        "*",
        "lid\\..\\lid",
    ],
)
def test_a_name_from_outside_is_never_a_path(name: str, tmp_path: Path) -> None:
    """Only names of stations lead anywhere, though the file would be there."""
    put_result(tmp_path, "lid", b"{}")
    put_result(tmp_path, "other", b"{}")  # of a station that is no longer in the settings
    reply = ask(router_of(box_of(calibrating()), tmp_path), f"/stations/{name}/result")
    assert (reply.status, said(reply)["error"]) == (404, "unknown_station")


@pytest.mark.parametrize(
    "path", ["/", "//health", "/health/", "/healthy", "/stations/lid/../lid/result", "/stations//result", "*"]
)
def test_everything_else_is_not_found(path: str) -> None:
    """404 as JSON, which says what there is."""
    reply = ask(router_of(box_of(calibrating())), path)
    assert (reply.status, said(reply)["error"]) == (404, "not_found")
    assert "/metrics" in said(reply)["text"]


def test_a_query_changes_nothing() -> None:
    """Monitoring adds some to get past caches."""
    assert ask(router_of(box_of(waiting())), "/health?now=1").status == 200


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/status", "/stations/lid/result"])
def test_a_fault_is_told_once_and_answered(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """500 as JSON without the fault's words; in the log until it is over, and then again if it comes back."""
    box = Box(box_of(waiting()))
    broken = [True]

    def status() -> BoxStatus:
        if broken[0]:
            raise OSError(5, "secret words")
        return box()

    router = router_of(status)
    for _ in range(3):
        reply = ask(router, path)
        assert (reply.status, said(reply)["error"]) == (500, "internal_fault")
        assert b"secret" not in reply.body
    assert [record.getMessage() for record in caplog.records] == [
        f"the web interface cannot answer {path.replace('lid', '{name}')}"
    ]
    broken[0] = False
    assert ask(router, path).status in (200, 404)
    broken[0] = True
    ask(router, path)
    assert len(caplog.records) == 2


def test_a_further_route_is_a_line_of_the_table() -> None:
    """A page beside the rest, say."""
    page = Route(path="/page/{one}/{two}", handler=lambda _, one, two: Reply(body=f"{one} {two}".encode()))
    assert ask(Router([page]), "/page/a/b").body == b"a b"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[http.client.HTTPConnection]:
    """The interface as the service runs it, in a thread of its own."""
    put_result(tmp_path, "lid", b'{"chosen": "x"}')
    with open_web(0, Box(box_of(calibrating(), waiting())), tmp_path) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        yield http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        server.stop()
        thread.join(20)
        assert not thread.is_alive()


def test_a_client_of_http_reads_it_all(web: http.client.HTTPConnection) -> None:
    """By GET with the body, by HEAD with the same length and none."""
    for path in ("/health", "/health/live", "/health/ready", "/metrics", "/status", "/stations/lid/result"):
        web.request("GET", path)
        reply = web.getresponse()
        body = reply.read()
        assert (reply.status, len(body)) == (200, int(reply.headers["Content-Length"])) and body
        web.request("HEAD", path)
        reply = web.getresponse()
        assert (reply.status, reply.read()) == (200, b"")
        assert int(reply.headers["Content-Length"]) > 0


def test_a_post_with_a_body_is_refused_with_an_answer(web: http.client.HTTPConnection) -> None:
    """The body is not read as a request."""
    web.request("POST", "/status", body=b"GET /health HTTP/1.1\r\n\r\n" * 100)
    reply = web.getresponse()
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
