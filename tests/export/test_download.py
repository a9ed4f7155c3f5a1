"""export/download.py: a file over the network, resumed where it broke off."""

from __future__ import annotations

import errno
import ssl
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from file_server import Site, open_plain, serving

from export import download as module
from export.download import PAUSES_S, download, open_https, part_of
from export.download_progress import LINE_EVERY_S, log_lines
from export.errors import ExportError

CONTENT = np.random.default_rng(1).bytes(3_000_000)


def _bring(site: Site, place: Path) -> list[float]:
    """Downloads; returns the pauses that were made."""
    pauses: list[float] = []
    part = download(site.url, place, lambda _done, _total: None, open_url=open_plain, wait=pauses.append)
    assert part == part_of(place)
    return pauses


def test_a_whole_file_arrives(tmp_path: Path) -> None:
    """The part file holds what was served, and the report ends at its size."""
    told: list[tuple[int, int | None]] = []
    with serving(Site(CONTENT)) as site:
        part = download(
            site.url, tmp_path / "w", lambda done, total: told.append((done, total)), open_url=open_plain
        )
    assert part.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert site.asked == [None]


def test_a_cut_connection_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What came is kept, and only the rest is asked for."""
    with serving(Site(CONTENT, cut_after=[1_000_000, 500_000])) as site:
        pauses = _bring(site, tmp_path / "w")
    assert part_of(tmp_path / "w").read_bytes() == CONTENT
    assert site.asked == [None, "bytes=1000000-", "bytes=1500000-"]
    assert pauses == list(PAUSES_S[:2])
    assert "the connection ended after 1.0 of 2.9 MiB" in capsys.readouterr().err


def test_the_next_run_resumes(tmp_path: Path) -> None:
    """A part file of an earlier process is continued."""
    part_of(tmp_path / "w").write_bytes(CONTENT[:700])
    with serving(Site(CONTENT)) as site:
        _bring(site, tmp_path / "w")
    assert part_of(tmp_path / "w").read_bytes() == CONTENT
    assert site.asked == ["bytes=700-"]


def test_a_server_without_ranges_is_asked_for_all(tmp_path: Path) -> None:
    """The bytes of a 200 answer are not put behind those that are there."""
    part_of(tmp_path / "w").write_bytes(CONTENT[:700])
    with serving(Site(CONTENT, ranges=False)) as site:
        _bring(site, tmp_path / "w")
    assert part_of(tmp_path / "w").read_bytes() == CONTENT


def test_a_part_that_is_complete_is_not_downloaded_again(tmp_path: Path) -> None:
    """A run that was killed before the check left all the bytes."""
    part_of(tmp_path / "w").write_bytes(CONTENT)
    with serving(Site(CONTENT)) as site:
        assert _bring(site, tmp_path / "w") == []
    assert part_of(tmp_path / "w").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(tmp_path: Path) -> None:
    """It belongs to another file."""
    part_of(tmp_path / "w").write_bytes(CONTENT + b"more")
    with serving(Site(CONTENT)) as site:
        _bring(site, tmp_path / "w")
    assert part_of(tmp_path / "w").read_bytes() == CONTENT
    assert site.asked[-1] is None


def test_a_busy_server_is_asked_again(tmp_path: Path) -> None:
    """503 and 429 pass; each pause is longer than the last."""
    with serving(Site(CONTENT, codes=[503, 429])) as site:
        assert _bring(site, tmp_path / "w") == list(PAUSES_S[:2])


def test_tries_are_few(tmp_path: Path) -> None:
    """A server that stays broken is left alone after four tries, and no empty part stays."""
    with serving(Site(CONTENT, codes=[500] * 9)) as site, pytest.raises(ExportError, match="4 times"):
        _bring(site, tmp_path / "w")
    assert len(site.asked) == len(PAUSES_S) + 1
    assert list(tmp_path.iterdir()) == []


def test_progress_earns_new_tries(tmp_path: Path) -> None:
    """A line that breaks again and again, but brings a megabyte each time, gets there."""
    content = CONTENT * 3
    with serving(Site(content, cut_after=[1_200_000] * 6)) as site:
        pauses = _bring(site, tmp_path / "w")
    assert part_of(tmp_path / "w").read_bytes() == content
    assert pauses == [PAUSES_S[0]] * 6


def test_what_came_is_kept_when_it_fails_for_good(tmp_path: Path) -> None:
    """The message says where it is and that the next run resumes."""
    said = "keeps 0.2 MiB; the next run resumes"
    with serving(Site(CONTENT, cut_after=[50_000] * 4)) as site, pytest.raises(ExportError, match=said):
        _bring(site, tmp_path / "w")
    assert part_of(tmp_path / "w").read_bytes() == CONTENT[:200_000]


def test_a_missing_page_is_not_asked_for_twice(tmp_path: Path) -> None:
    """404 does not pass; the message names another way."""
    with serving(Site(CONTENT, codes=[404])) as site, pytest.raises(ExportError, match=r"404.*--from"):
        _bring(site, tmp_path / "w")
    assert len(site.asked) == 1


def test_a_dead_address_is_a_message(tmp_path: Path) -> None:
    """Nobody listens: the reason and the cures are said."""
    with serving(Site(CONTENT)) as site:
        pass
    with pytest.raises(ExportError, match=r"Connection refused.*HTTPS_PROXY"):
        _bring(site, tmp_path / "w")


def test_only_https_is_opened(tmp_path: Path) -> None:
    """The address itself."""
    with pytest.raises(ExportError, match="only https"):
        download("http://127.0.0.1/w", tmp_path / "w", lambda _done, _total: None)
    with pytest.raises(ExportError, match="only https"):
        open_https(urllib.request.Request("file:///etc/hostname"))


def test_a_redirect_to_http_is_not_followed() -> None:
    """Who answers over https may not send us elsewhere in the clear."""
    request = urllib.request.Request("https://example.org/w")
    arguments: Any = (request, None, 302, "Found", Message())
    with pytest.raises(ExportError, match="redirects to http://"):
        module._OnlyHttps().redirect_request(*arguments, "http://example.org/w")
    followed = module._OnlyHttps().redirect_request(*arguments, "https://example.org/other")
    assert followed is not None and followed.full_url == "https://example.org/other"


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    """A second process for the same file is sent away."""
    with serving(Site(CONTENT)) as site:

        def second(_done: int, _total: int | None) -> None:
            with pytest.raises(ExportError, match="another goodparts-export"):
                _bring(site, tmp_path / "w")

        download(site.url, tmp_path / "w", second, open_url=open_plain)
    assert part_of(tmp_path / "w").read_bytes() == CONTENT


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how much came, and that the next run resumes."""

    class Full(module.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() > 500_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(Path, "open", lambda path, mode, buffering=0: Full(path, mode))
    with serving(Site(CONTENT)) as site, pytest.raises(ExportError, match=r"disk is full .*next run resumes"):
        _bring(site, tmp_path / "w")
    assert CONTENT.startswith(part_of(tmp_path / "w").read_bytes())


@pytest.mark.parametrize(
    "fault", [ssl.SSLError("bad record mac"), OSError(errno.EHOSTUNREACH, "No route to host")]
)
def test_a_line_that_fails_in_its_own_way_is_resumed(tmp_path: Path, fault: OSError) -> None:
    """Faults of TLS and of routing, too, are the network's and pass."""
    faults = [fault]

    def opened(request: urllib.request.Request) -> Any:
        response = open_plain(request)
        read = response.read

        def failing(size: int) -> bytes:
            if faults and response.length < len(CONTENT) // 2:
                raise faults.pop()
            return read(size)

        response.read = failing
        return response

    with serving(Site(CONTENT)) as site:
        pauses: list[float] = []
        part = download(site.url, tmp_path / "w", lambda *_: None, open_url=opened, wait=pauses.append)
    assert part.read_bytes() == CONTENT and len(pauses) == 1
    assert site.asked[0] is None and site.asked[1] is not None


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """With speed and the time that is left."""
    now = [0.0]
    report = log_lines("resnet18", lambda: now[0])
    for second in range(26):
        now[0] = float(second)
        report(second << 20, 100 << 20)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 25 // LINE_EVERY_S
    assert lines[0] == "resnet18: 10.0 of 100.0 MiB, 1.0 MiB/s, about 90 s left"
