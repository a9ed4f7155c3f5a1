"""The ledger of one station: every file and photo it has seen, every calibration and verdict, in SQLite.

The folder of photos is the truth about photos, the run folders about calibrations, the verdict files about
verdicts: the ledger can be made again from them (`rebuild`). It is what makes them quick to ask, and what
keeps anything from being taken twice.

Write-ahead log: one writer, many readers, on a local disk. Each thread has a connection of its own.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from appliance.daemon.facts import TRAITS_OF
from appliance.daemon.ledger_tables import TABLES, VERSION
from appliance.errors import GoodpartsError

BUSY_S = 10.0  # another process, such as `goodparts recalibrate`, writes for milliseconds
EVENTS_KEPT = 10_000

Lane = Literal["good", "scored"]  # photos of good parts, photos to judge
FileState = Literal["seen", "settling", "accepted", "rejected", "duplicate"]
Word = Literal["suspicious", "good", "bad"]  # of the screen, or a person's about it


class Identity(NamedTuple):
    """What tells without reading whether a file is still the one that was read."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class LedgerDamaged(GoodpartsError):  # noqa: N818 - named for what it is
    """The database cannot be read: it is to be set aside and made again."""


class Ledger:
    """Usable from any thread; every method is one transaction, or part of that of `together`."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Opens the file, makes it if it is not there. LedgerDamaged, GoodpartsError.

        read_only: for who only asks, and may not write there.
        """
        self.path = path
        self._read_only = read_only
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        if read_only:
            with _faults(path):
                _check_version(self._connection(), path)
            return
        with self.together() as connection:
            _prepare(connection, path)

    def close(self) -> None:
        with self._guard:
            for connection in self._opened:
                connection.close()
            self._opened.clear()
        self._local = threading.local()

    def check(self) -> None:
        """LedgerDamaged if a page of the file is not what it should be."""
        with self.together() as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found[0] != "ok":
            raise LedgerDamaged(f"{self.path}: {found[0]}")

    @contextmanager
    def together(self) -> Iterator[sqlite3.Connection]:
        """One transaction, of all that is called inside by this thread."""
        with _faults(self.path):
            connection = self._connection()
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.commit()
            except BaseException:  # a commit too, as to a full disk: else the next change would join this one
                connection.rollback()
                raise

    def ask(self, question: str, *values: Any) -> list[sqlite3.Row]:
        """Rows of a SELECT; outside a transaction it waits for no writer."""
        with _faults(self.path):
            return self._connection().execute(question, values).fetchall()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = _connect(self.path, read_only=self._read_only)
            self._local.connection = connection
            with self._guard:
                self._opened.append(connection)
        return connection

    # Files

    def identities(self, lane: Lane) -> Iterator[tuple[bytes, Identity, FileState]]:
        """Every file that was seen, as it was then."""
        question = "SELECT path, device, inode, size, mtime_ns, ctime_ns, state FROM files WHERE lane = ?"
        for row in self.ask(question, lane):
            yield row["path"], Identity(*row[1:6]), row["state"]

    def put_file(
        self,
        lane: Lane,
        path: bytes,
        identity: Identity,
        state: FileState,
        *,
        at: float,
        sha256: str | None = None,
        code: str | None = None,
        reason: str | None = None,
        attempts: int = 0,
    ) -> None:
        values = (lane, path, *identity, state, sha256, code, reason, attempts, at)
        with self.together() as connection:
            connection.execute(f"INSERT OR REPLACE INTO files VALUES ({_marks(values)})", values)  # noqa: S608 - question marks only

    def attempts_at(self, lane: Lane, path: bytes, identity: Identity) -> int:
        """How often this very file was begun to be read and never came to an end."""
        question = (
            "SELECT attempts FROM files WHERE lane = ? AND path = ? AND device = ? AND inode = ? "
            "AND size = ? AND mtime_ns = ? AND ctime_ns = ?"
        )
        rows = self.ask(question, lane, path, *identity)
        return int(rows[0]["attempts"]) if rows else 0

    def forget_files(self, lane: Lane, paths: Iterable[bytes]) -> None:
        """Files that are no longer there. Photos and verdicts stay."""
        with self.together() as connection:
            connection.executemany(
                "DELETE FROM files WHERE lane = ? AND path = ?", [(lane, path) for path in paths]
            )

    def holders(self, lane: Lane, sha256: str) -> list[bytes]:
        """Paths of the files with this content that were taken for it, copies not among them."""
        # The index is named, since SQLite would take that of the states, and look at all files.
        question = (
            "SELECT path FROM files INDEXED BY files_by_content "
            "WHERE lane = ? AND sha256 = ? AND state = 'accepted'"
        )
        return [row["path"] for row in self.ask(question, lane, sha256)]

    def counts(self, lane: Lane) -> dict[str, int]:
        rows = self.ask("SELECT state, COUNT(*) AS n FROM files WHERE lane = ? GROUP BY state", lane)
        return {row["state"]: row["n"] for row in rows}

    def refusals(self, lane: Lane, limit: int) -> list[sqlite3.Row]:
        """The latest files that could not serve: path, code, reason, at."""
        question = (
            "SELECT path, code, reason, at FROM files WHERE lane = ? AND state = 'rejected' "
            "ORDER BY at DESC LIMIT ?"
        )
        return self.ask(question, lane, limit)

    # Photos of good parts

    def add_photo(
        self,
        sha256: str,
        name: str,
        *,
        at: float,
        near: str | None,
        signature: bytes | None = None,
        traits: bytes | None = None,
    ) -> int:
        """A photo that decodes; returns its number. near: the sha256 of an earlier one of the same part."""
        question = "INSERT INTO photos (sha256, name, at, near) VALUES (?, ?, ?, ?)"
        with self.together() as connection:
            number = int(connection.execute(question, (sha256, name, at, near)).lastrowid or 0)
            if near is None and signature is not None and traits is not None:
                connection.execute("INSERT INTO signatures VALUES (?, ?)", (number, signature))
                connection.execute("INSERT INTO traits VALUES (?, ?)", (number, traits))
        return number

    def signatures(self, limit: int) -> list[tuple[str, bytes]]:
        """(sha256, signature) of the last distinct photos, oldest first."""
        question = (
            "SELECT sha256, data FROM photos JOIN signatures USING (number) ORDER BY number DESC LIMIT ?"
        )
        return [(row["sha256"], row["data"]) for row in reversed(self.ask(question, limit))]

    def traits_after(self, number: int, limit: int) -> list[tuple[int, float, bytes]]:
        """(number, arrival, traits) of the distinct photos that came after one, as taken in."""
        question = (
            "SELECT number, at, data FROM photos JOIN traits USING (number) WHERE number > ? "
            "ORDER BY number LIMIT ?"
        )
        return [(row["number"], row["at"], row["data"]) for row in self.ask(question, number, limit)]

    def keep_traits_of(self, encoder: str) -> int:
        """Delete traits that were not, for all that is known, taken with the encoder of this sha256; says how
        many.

        They compare with none of this one's, and may be as wide by chance. As fact and deletion are one step,
        nothing is mixed whenever the service ends.
        """
        with self.together() as connection:
            if self.fact(TRAITS_OF) == encoder:
                return 0
            self.set_fact(TRAITS_OF, encoder)
            return connection.execute("DELETE FROM traits").rowcount

    def keep_last(self, table: Literal["signatures", "traits"], count: int) -> None:
        """Delete what is older than the last `count` distinct photos."""
        oldest = f"SELECT number FROM {table} ORDER BY number DESC LIMIT 1 OFFSET ?"  # noqa: S608 - one of two
        with self.together() as connection:
            connection.execute(f"DELETE FROM {table} WHERE number <= ({oldest})", (count,))  # noqa: S608

    def photo(self, sha256: str) -> sqlite3.Row | None:
        rows = self.ask("SELECT * FROM photos WHERE sha256 = ?", sha256)
        return rows[0] if rows else None

    def set_photo(self, sha256: str, **values: Any) -> None:
        """Change columns of a photo: `word`, `reason`, `role`, `name`."""
        assert values.keys() <= {"word", "reason", "role", "name"}, values
        columns = ", ".join(f"{name} = ?" for name in values)
        with self.together() as connection:
            connection.execute(
                f"UPDATE photos SET {columns} WHERE sha256 = ?",  # noqa: S608 - the names above
                (*values.values(), sha256),
            )

    def last_photo(self) -> int:
        """The number of the photo that came last; 0 where there is none."""
        return int(self.ask("SELECT COALESCE(MAX(number), 0) AS n FROM photos")[0]["n"])

    # What happened

    def event(self, kind: str, text: str, /, *, at: float, **fields: Any) -> None:
        """A line of the station's history."""
        with self.together() as connection:
            number = connection.execute(
                "INSERT INTO events (at, kind, text, fields) VALUES (?, ?, ?, ?)",
                (at, kind, text, json.dumps(fields)),
            ).lastrowid
            connection.execute("DELETE FROM events WHERE id <= ?", ((number or 0) - EVENTS_KEPT,))

    def events(self, limit: int) -> list[sqlite3.Row]:
        return self.ask("SELECT * FROM events ORDER BY id DESC LIMIT ?", limit)

    def fact(self, name: str) -> str | None:
        rows = self.ask("SELECT value FROM facts WHERE name = ?", name)
        return rows[0]["value"] if rows else None

    def set_fact(self, name: str, value: str | None) -> None:
        with self.together() as connection:
            if value is None:
                connection.execute("DELETE FROM facts WHERE name = ?", (name,))
            else:
                connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    # What people ask for

    def ask_for(self, kind: str, *, at: float, **arguments: Any) -> int:
        """Leave a request for the service; returns its number."""
        with self.together() as connection:
            cursor = connection.execute(
                "INSERT INTO requests (at, kind, arguments) VALUES (?, ?, ?)",
                (at, kind, json.dumps(arguments)),
            )
            return int(cursor.lastrowid or 0)

    def requests(self) -> list[tuple[int, float, str, Mapping[str, Any]]]:
        """(number, time, kind, arguments) of all that is not done, oldest first."""
        rows = self.ask("SELECT * FROM requests WHERE done IS NULL ORDER BY id")
        return [(row["id"], row["at"], row["kind"], json.loads(row["arguments"])) for row in rows]

    def close_requests(self, numbers: Sequence[int], *, at: float) -> None:
        with self.together() as connection:
            connection.executemany(
                "UPDATE requests SET done = ? WHERE id = ?", [(at, number) for number in numbers]
            )


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    name = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(
        name, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # what was told to somebody survives a power cut
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == 0:
        for statement in TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    _check_version(connection, path)


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    if (version := _version(connection)) != VERSION:
        raise GoodpartsError(
            f"{path}: version {version}, this release reads {VERSION}. Install the release that wrote it, or "
            "move the file away: it is made again from the runs and the photos."
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """SQLite's errors as ours: a full disk or a lock is operational, a damaged file is not."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise GoodpartsError(f"{path}: {error}. Check the disk, its space and the rights.") from error
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):  # ours: the file is sound
        raise
    except sqlite3.DatabaseError as error:
        raise LedgerDamaged(f"{path}: {error}") from error


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
