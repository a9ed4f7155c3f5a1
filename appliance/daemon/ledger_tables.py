"""The tables of a station's ledger."""

VERSION = 1

# files     of both lanes, by path below the folder (bytes), with what tells that one is still the same
# photos    of good parts, by content; `number` is the order of arrival
# signatures, traits   of the latest photos: what near-duplicates and drift are told by; apart, since
#           counting photos need not read them
# verdicts  of judged photos; `written` says that the line is in the verdict files
# attempts  calibrations: begun with photos up to `last_photo`, on the `basis` of these settings and engines
# requests  of people, for the service
TABLES = """
CREATE TABLE files (
    lane TEXT NOT NULL, path BLOB NOT NULL,
    device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    state TEXT NOT NULL, sha256 TEXT, code TEXT, reason TEXT, attempts INTEGER NOT NULL DEFAULT 0,
    at REAL NOT NULL,
    PRIMARY KEY (lane, path)
) WITHOUT ROWID;
CREATE INDEX files_by_content ON files (lane, sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX files_by_state ON files (lane, state);
CREATE TABLE photos (
    number INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    at REAL NOT NULL,
    near TEXT, word TEXT, reason TEXT, role TEXT
);
CREATE TABLE signatures (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE traits (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE INDEX photos_usable ON photos (number) WHERE near IS NULL AND word IS NOT 'bad';
CREATE INDEX photos_by_role ON photos (role) WHERE role IS NOT NULL;
CREATE INDEX photos_by_word ON photos (word) WHERE word IS NOT NULL;
CREATE TABLE verdicts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL, sha256 TEXT NOT NULL, at REAL NOT NULL,
    verdict TEXT NOT NULL, run_id TEXT, row TEXT NOT NULL, written INTEGER NOT NULL DEFAULT 0,
    UNIQUE (sha256, path)
);
CREATE INDEX verdicts_pending ON verdicts (id) WHERE written = 0;
CREATE INDEX verdicts_by_time ON verdicts (at);
CREATE INDEX verdicts_by_kind ON verdicts (verdict, at);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, started REAL NOT NULL, ended REAL, trigger TEXT NOT NULL,
    reason TEXT NOT NULL, outcome TEXT, message TEXT, run_id TEXT, last_photo INTEGER NOT NULL,
    basis TEXT NOT NULL
);
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, arguments TEXT NOT NULL,
    done REAL
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,
    fields TEXT NOT NULL
);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
