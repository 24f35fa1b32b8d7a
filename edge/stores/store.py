"""Open a SQLite file that outlives power cuts, or say plainly why it cannot be used.

The gallery and the audit keep their rows here. Every commit is on the disk before it returns
(write-ahead log, ``synchronous=FULL``); the file is readable by its owner only; foreign
exceptions become the caller's branch of the error tree, with what to do next.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edge.errors import GalleryError
from edge.stores.database_file import identity, is_cut, make_file

# Longer than any transaction of ours on a slow SD card, shorter than a visitor's patience.
BUSY_S = 5.0
_RETRY_S = 0.02

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    # VACUUM would otherwise copy the templates into a file below /var/tmp.
    "PRAGMA temp_store = MEMORY",
    # In KiB, a connection: SQLite's own 2000 fill up over weeks.
    "PRAGMA cache_size = -256",
)
# SQLite's primary result codes: https://sqlite.org/rescode.html
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


Step = Callable[[sqlite3.Connection], None]


@dataclass(frozen=True, slots=True)
class Layout:
    """What one kind of store looks like.

    Args:
        noun: what messages call it.
        application_id: the number in the file's header that tells our stores apart.
        migrations: statements, or functions of the connection, that lead from schema version i to
            i + 1; only ever appended to.
        error: what its failures are raised as.
        if_absent: what to do when there is none yet.
        if_damaged: what to do when the file cannot be trusted.
    """

    noun: str
    application_id: int
    migrations: tuple[tuple[str | Step, ...], ...]
    error: type[GalleryError]
    if_absent: str
    if_damaged: str


class Database:
    """One open store; `close` may be called twice.

    Args:
        path: the file; made with mode 0600, its directory with 0700, if absent.
        layout: what must be in it.
        create: make the store if there is none, else refuse.
        busy_s: how long to wait for another program's lock.

    Raises:
        GalleryError: or the layout's own branch of it: absent, damaged, foreign, locked,
            unreadable or newer than this program.
    """

    def __init__(self, path: Path, layout: Layout, *, create: bool, busy_s: float) -> None:
        self.path, self._layout, self._busy_s = path, layout, busy_s
        with self._reporting():
            if create:
                make_file(path)
            elif not path.exists():
                raise self.absent()
            if is_cut(path):
                raise self.damaged("its end is missing")
            self._identity = identity(path)
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=busy_s,
                isolation_level=None,  # transactions are begun here, by name
                check_same_thread=False,  # the door's threads take turns, edge/doorkeeper.py
            )
            try:
                self._prepare(create=create)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Give one consistent view of the store for the length of a `with` block."""
        return self._transaction("BEGIN")

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """Commit the `with` block's changes durably at its end, or none of them."""
        return self._transaction("BEGIN IMMEDIATE")

    def vacuum(self) -> None:
        """Rewrite the file and empty the write-ahead log: neither keeps anything deleted.

        What a flash card keeps in cells that it has set aside is out of a program's reach.
        """
        with self._reporting():
            self._require_same_file()
            self._connection.execute("VACUUM")
        self.empty_log()

    @contextmanager
    def attached(self, path: Path, name: str) -> Iterator[None]:
        """Let statements write a new file at *path* too, as the schema *name*; it is not synced."""
        with self._reporting():
            place = f"{path.absolute().as_uri()}?mode=rwc"
            self._connection.execute(f"ATTACH ? AS {name}", (place,))
            try:
                self._connection.execute(f"PRAGMA {name}.synchronous = OFF")
                yield
            finally:
                self._connection.execute(f"DETACH {name}")

    def empty_log(self) -> None:
        """Bring every commit into the file itself, and cut the write-ahead log to nothing."""
        with self._reporting():
            self._require_same_file()
            (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise self._layout.error(f"{self._where}: {self._held}")

    def failed(self, why: object) -> GalleryError:
        """Return the error that says *why* this store cannot be used."""
        return self._layout.error(f"{self._where}: {why}")

    def damaged(self, what: str) -> GalleryError:
        """Return the error that says *what* is wrong in this file and what to do about it."""
        return self._layout.error(f"{self._where} is damaged: {what}; {self._layout.if_damaged}")

    def absent(self) -> GalleryError:
        """Return the error that says how the store comes to be."""
        return self._layout.error(
            f"there is no {self._layout.noun} at {self.path} yet; {self._layout.if_absent}"
        )

    @property
    def _where(self) -> str:
        return f"the {self._layout.noun} {self.path}"

    @property
    def _held(self) -> str:
        return (
            f"another program holds it (waited {self._busy_s:g} s); nothing is lost: close that "
            "program (a backup, a `sqlite3` shell) and try again"
        )

    def _prepare(self, *, create: bool) -> None:
        """Refuse what is not ours before anything is written, then bring the schema up to date."""
        # A tampered text must reach the check that names it, not stop the reading of it.
        self._connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        with self._transaction("BEGIN"):
            version = self._version()
        if version == 0 and not create:
            raise self.absent()
        self._set_pragmas()
        if version < len(self._layout.migrations):
            self._migrate()

    def _set_pragmas(self) -> None:
        """Set up the connection; several programs may be beginning the store at once.

        SQLite does not wait for another program's lock while it changes the journal's mode,
        whatever the busy timeout (sqlite.org/wal.html, "Sometimes queries return SQLITE_BUSY").
        """
        deadline_s = time.monotonic() + self._busy_s
        while True:
            try:
                for pragma in _PRAGMAS:
                    self._connection.execute(pragma)
            except sqlite3.OperationalError as exc:
                code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
                if code not in _LOCKED or time.monotonic() > deadline_s:
                    raise
                time.sleep(_RETRY_S)
            else:
                return

    def _version(self) -> int:
        """Return the schema's version, 0 for an empty file.

        Within a transaction: of a store that another program is just beginning, this sees all or
        nothing, and does not take it for a stranger's.
        """
        (application_id,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application_id != self._layout.application_id and (application_id or version or tables):
            raise self._layout.error(
                f"{self.path} is a SQLite file, but not a Janus {self._layout.noun}; it is left "
                "as it is: correct the path under [store] in the configuration"
            )
        newest = len(self._layout.migrations)
        if version > newest:
            raise self._layout.error(
                f"{self._where} has schema {version}, but this release of Janus knows {newest} "
                "at most; install the later release again"
            )
        return int(version)

    def _migrate(self) -> None:
        with self._transaction("BEGIN IMMEDIATE"):
            # Another program may have done it while this one waited for the lock.
            for statements in self._layout.migrations[self._version() :]:
                for statement in statements:
                    if callable(statement):
                        statement(self._connection)
                    else:
                        self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {self._layout.application_id}")
            self._connection.execute(f"PRAGMA user_version = {len(self._layout.migrations)}")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._reporting():
            self._require_same_file()
            try:
                self._connection.execute(begin)
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                # The first error counts; the journal undoes what a failed ROLLBACK leaves.
                with suppress(sqlite3.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")

    def _require_same_file(self) -> None:
        """Refuse to go on with a file that was moved away: nobody would see what it holds."""
        if identity(self.path) != self._identity:
            raise self._layout.error(
                f"{self._where} was replaced while it was open; start this program again"
            )

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Map foreign exceptions to the layout's error, with the cause and the next step."""
        try:
            yield
        except sqlite3.Error as exc:
            raise self._layout.error(f"{self._where}: {self._advice(exc)}") from exc
        except OSError as exc:
            raise self._layout.error(
                f"{self._where} cannot be reached: {exc.strerror}; check the path, its owner and "
                "the disk"
            ) from exc

    def _advice(self, exc: sqlite3.Error) -> str:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code in _LOCKED:
            return self._held
        if code in _DAMAGED:
            return f"damaged, or not a SQLite file ({exc}); {self._layout.if_damaged}"
        if code == sqlite3.SQLITE_FULL:
            return (
                "the disk is full; what was stored before is safe: make room "
                f"(`df -h {self.path.parent}`) and try again"
            )
        if code == sqlite3.SQLITE_READONLY:
            return (
                "it cannot be written: the disk is mounted read-only or another user owns the "
                "file; what was stored before is safe"
            )
        if code == sqlite3.SQLITE_CANTOPEN:
            return (
                "it cannot be opened; check that it is a file, in a directory where this user may "
                "write, on a disk that is not mounted read-only"
            )
        if code == sqlite3.SQLITE_IOERR:
            return (
                f"the disk refused ({exc}); what was stored before is safe: check its room, the "
                "limits of this process and `dmesg` for a failing card"
            )
        return f"SQLite refused: {exc}"


class Store:
    """Base of what keeps its rows in a `Database`; `close` may be called twice."""

    _database: Database

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()
