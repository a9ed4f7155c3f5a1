"""What the web interface tells: health for probes, metrics for Prometheus, the status, each station's result.

A table of routes; what is asked how is `http_message`, who may ask how long is `http_server`. A page or
further answers are further lines of the table.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from appliance.daemon.http_message import (
    JSON,
    RefusedRequest,
    Reply,
    Request,
    failure,
    json_reply,
    request_of,
)
from appliance.daemon.http_server import HttpServer
from appliance.daemon.metrics import registry_of
from appliance.daemon.places import CHAMPION, Places
from appliance.daemon.status import BoxStatus, Problem
from appliance.errors import place_of
from appliance.run_folder import RESULT

METRICS = "text/plain; version=0.0.4; charset=utf-8"  # the form that every release of Prometheus reads

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`handler` is called with the request and the values of the names in braces of `path`, in order."""

    path: str  # such as /stations/{name}/result
    handler: Callable[..., Reply]

    def match(self, path: str) -> tuple[str, ...] | None:
        parts = [r"([^/]+)" if part.startswith("{") else re.escape(part) for part in self.path.split("/")]
        found = re.fullmatch("/".join(parts), path)
        return None if found is None else found.groups()


def open_web(port: int, status: Callable[[], BoxStatus], state_dir: Path) -> HttpServer:
    """The web interface of the service, listening; its `serve` answers until `stop`.

    status: called in the thread of `serve`, once a request. port 0: any. GoodpartsError if it cannot be had.
    """
    return HttpServer(port, Router(routes(status, state_dir)))


def routes(status: Callable[[], BoxStatus], state_dir: Path) -> tuple[Route, ...]:
    """All that can be asked. Called is `status` only for what needs it."""
    registry = registry_of(status)
    return (
        Route(path="/health", handler=lambda _: health_reply(status())),
        Route(path="/health/live", handler=lambda _: json_reply({"live": True})),
        Route(path="/health/ready", handler=lambda _: ready_reply(status())),
        Route(path="/metrics", handler=lambda _: metrics_reply(registry)),
        Route(path="/status", handler=lambda _: json_reply(status().as_json())),
        Route(
            path="/stations/{name}/result",
            handler=lambda _, name: result_reply(status(), state_dir, name),
        ),
    )


class Router:
    """From the head of a request to its answer; never raises."""

    def __init__(self, table: Sequence[Route]) -> None:
        self._table = tuple(table)
        self._told: set[tuple[str, str]] = set()  # (route, fault) that the log has

    def __call__(self, head: bytes) -> tuple[Reply, bool]:
        """(answer, whether its body is wanted)"""
        try:
            request = request_of(head)
        except RefusedRequest as refused:
            return refused.reply, not head.startswith(b"HEAD ")
        return self._answer(request), request.method != "HEAD"

    def _answer(self, request: Request) -> Reply:
        for route in self._table:
            values = route.match(request.path)
            if values is not None:
                return self._handled(route, request, values)
        return failure(404, "not_found", f"There are {', '.join(route.path for route in self._table)}.")

    def _handled(self, route: Route, request: Request, values: tuple[str, ...]) -> Reply:
        try:
            reply = route.handler(request, *values)
        except Exception as error:  # of whatever kind: the next request is to be answered all the same
            self._tell(route, error)
            return failure(500, "internal_fault", "This could not be answered; the service's log says why.")
        self._told = {told for told in self._told if told[0] != route.path}
        return reply

    def _tell(self, route: Route, error: Exception) -> None:
        """In the log, once until it is over: monitoring asks every few seconds."""
        fault = (route.path, f"{place_of(error)}: {type(error).__name__}")
        if fault not in self._told:
            self._told.add(fault)
            fields = {"event": "web_fault", "route": route.path}
            log.error("the web interface cannot answer %s", route.path, exc_info=error, extra=fields)


def health_reply(box: BoxStatus) -> Reply:
    """503 where the service is not ready or something does not do its work; 200 where it is degraded."""
    health = health_of(box)
    return json_reply(health, status=200 if health["ready"] and not health["failing"] else 503)


def ready_reply(box: BoxStatus) -> Reply:
    ready = health_of(box)["ready"]
    return json_reply({"ready": ready}, status=200 if ready else 503)


def health_of(box: BoxStatus) -> dict[str, Any]:
    """Plain values; only ever gains keys."""
    told = [_told(problem, None) for problem in box.problems]
    told += [_told(problem, station.name) for station in box.stations for problem in station.problems]
    return {
        "live": box.is_running,
        "ready": box.is_running and box.started is not None,
        "degraded": box.is_degraded,
        "failing": any(reason["severity"] == "failing" for reason in told),
        "reasons": told,
        "stations": {
            station.name: {"phase": station.phase, "serves": station.serving is not None}
            for station in box.stations
        },
    }


def _told(problem: Problem, station: str | None) -> dict[str, Any]:
    return {
        "station": station,
        "code": problem.code,
        "severity": problem.severity,
        "text": problem.text,
        "remedy": problem.remedy,
    }


def metrics_reply(registry: CollectorRegistry) -> Reply:
    return Reply(body=generate_latest(registry), content_type=METRICS)


def result_reply(box: BoxStatus, state_dir: Path, name: str) -> Reply:
    """The champion's result.json, byte for byte. A name leads nowhere unless it is one of the stations'."""
    if name not in {station.name for station in box.stations}:
        known = ", ".join(station.name for station in box.stations) or "none"
        return failure(404, "unknown_station", f"The stations are: {known}.")
    try:
        file = (Places.of(state_dir, name).folder / CHAMPION / RESULT).open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return failure(404, "no_result", f"Station {name} has no finished calibration yet.")
    return Reply(file=file, file_bytes=os.fstat(file.fileno()).st_size, content_type=JSON)
