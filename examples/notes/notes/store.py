"""Users, notes, their search index and their files, in one folder: `notes.sqlite3` and `files/`.

Every query of a note names its owner, so no view can show another user's. A connection is opened for each
transaction, which takes a tenth of a millisecond: it is never shared between threads or across a fork.
"""

from __future__ import annotations

import fcntl
import hashlib
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS user (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    password TEXT NOT NULL,
    token_hash TEXT UNIQUE,
    revision INTEGER NOT NULL DEFAULT 0  -- grows with every change of the user's notes
);
CREATE TABLE IF NOT EXISTS failed_sign_in (name TEXT NOT NULL COLLATE NOCASE, client TEXT, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS note (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES user ON DELETE CASCADE,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    changed TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS note_of_user ON note (user_id, changed DESC);
CREATE TABLE IF NOT EXISTS file (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    note_id INTEGER NOT NULL REFERENCES note ON DELETE CASCADE,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    stored TEXT NOT NULL UNIQUE  -- its name in files/
);
CREATE VIRTUAL TABLE IF NOT EXISTS note_text USING fts5 (
    title, body, content = 'note', content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
CREATE TRIGGER IF NOT EXISTS note_added AFTER INSERT ON note BEGIN
    INSERT INTO note_text (rowid, title, body) VALUES (new.id, new.title, new.body);
    UPDATE user SET revision = revision + 1 WHERE id = new.user_id;
END;
CREATE TRIGGER IF NOT EXISTS note_changed AFTER UPDATE ON note BEGIN
    INSERT INTO note_text (note_text, rowid, title, body) VALUES ('delete', old.id, old.title, old.body);
    INSERT INTO note_text (rowid, title, body) VALUES (new.id, new.title, new.body);
    UPDATE user SET revision = revision + 1 WHERE id = new.user_id;
END;
CREATE TRIGGER IF NOT EXISTS note_removed AFTER DELETE ON note BEGIN
    INSERT INTO note_text (note_text, rowid, title, body) VALUES ('delete', old.id, old.title, old.body);
    UPDATE user SET revision = revision + 1 WHERE id = old.user_id;
END;
"""

MATCH_START, MATCH_END = "\x02", "\x03"  # around the words found; a note cannot hold them
_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
_FAILURES, _WINDOW_SECONDS = 5, 300


class Missing(LookupError):
    """There is no such note or file, or it is another user's."""


class Conflict(Exception):
    """The note was changed by another request in the meantime, or the name is taken."""


@dataclass(frozen=True, slots=True)
class User:
    id: int
    name: str
    password: str
    revision: int


@dataclass(frozen=True, slots=True)
class Note:
    id: int
    title: str
    body: str
    version: int
    changed: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """A note in a list. The words that were searched for are between MATCH_START and MATCH_END."""

    id: int
    title: str
    excerpt: str
    files: int
    changed: datetime


@dataclass(frozen=True, slots=True)
class StoredFile:
    id: int
    note_id: int
    name: str
    size: int
    stored: str  # its name in Store.files_folder


class Store:
    """All data of the site, in `folder`. Its methods may be called in any thread and process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def files_folder(self) -> Path:
        return self.folder / "files"

    def create(self) -> None:
        """Make the folder and the tables, unless they exist. Several processes may do it at once."""
        self.files_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # SQLite does not wait for a change of the journal mode
            with closing(self._connect()) as db:
                db.executescript(SCHEMA)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.folder / "notes.sqlite3", timeout=10, isolation_level=None)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA foreign_keys = ON")
        return db

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connect()) as db:
            yield db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is stored, or, if an exception leaves the block, nothing."""
        with closing(self._connect()) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    # -- users -------------------------------------------------------------------------------------

    def add_user(self, name: str, password_hash: str) -> int:
        """The id of a new user. Raises Conflict if the name is taken."""
        try:
            with self._writing() as db:
                added = db.execute("INSERT INTO user (name, password) VALUES (?, ?)", (name, password_hash))
                return _new_id(added)
        except sqlite3.IntegrityError:
            raise Conflict(name) from None

    def user(self, user_id: int) -> User | None:
        return self._user("id = ?", user_id)

    def user_named(self, name: str) -> User | None:
        return self._user("name = ?", name)

    def user_with_token(self, token: str) -> User | None:
        return self._user("token_hash = ?", _hash(token))

    def revision(self, user_id: int) -> int:
        """A number that grows with each change of the user's notes; 0 if the user is gone."""
        user = self.user(user_id)
        return user.revision if user else 0

    def _user(self, condition: str, value: int | str) -> User | None:
        query = f"SELECT id, name, password, revision FROM user WHERE {condition}"
        with self._reading() as db:
            row = db.execute(query, (value,)).fetchone()
        return None if row is None else User(**row)

    def new_token(self, user_id: int) -> str:
        """A new API token in place of the old one. Only its hash is stored."""
        token = secrets.token_urlsafe(32)
        with self._writing() as db:
            db.execute("UPDATE user SET token_hash = ? WHERE id = ?", (_hash(token), user_id))
        return token

    def may_sign_in(self, name: str, client: str) -> bool:
        """Whether this client may try a password: not after five failures within five minutes."""
        with self._writing() as db:
            db.execute("DELETE FROM failed_sign_in WHERE at < ?", (time.time() - _WINDOW_SECONDS,))
            query = "SELECT count(*) FROM failed_sign_in WHERE name = ? AND client = ?"
            (failures,) = db.execute(query, (name, client)).fetchone()
        return bool(failures < _FAILURES)

    def sign_in_failed(self, name: str, client: str) -> None:
        with self._writing() as db:
            db.execute("INSERT INTO failed_sign_in VALUES (?, ?, ?)", (name, client, time.time()))

    # -- notes -------------------------------------------------------------------------------------

    def notes(self, user_id: int, search: str = "", limit: int = 20, offset: int = 0) -> list[Summary]:
        """The user's notes, the last changed first; with `search`, those with words that begin like it."""
        columns = "note.id, note.changed, (SELECT count(*) FROM file WHERE note_id = note.id) AS files"
        if words := search.split():
            # Each word in quotes, so that none is read as an operator of FTS5.
            match = " ".join('"{}"*'.format(word.replace('"', '""')) for word in words)
            query = f"""
                SELECT {columns}, highlight(note_text, 0, ?, ?) AS title,
                       snippet(note_text, 1, ?, ?, '…', 24) AS excerpt
                FROM note_text JOIN note ON note.id = note_text.rowid
                WHERE note_text MATCH ? AND note.user_id = ? ORDER BY rank LIMIT ? OFFSET ?"""
            marks = MATCH_START, MATCH_END
            values: tuple[str | int, ...] = (*marks, *marks, match, user_id, limit, offset)
        else:
            query = f"""
                SELECT {columns}, title, substr(body, 1, 280) AS excerpt
                FROM note WHERE user_id = ? ORDER BY changed DESC, id DESC LIMIT ? OFFSET ?"""
            values = user_id, limit, offset
        with self._reading() as db:
            rows = db.execute(query, values).fetchall()
        return [Summary(**{**row, "changed": datetime.fromisoformat(row["changed"])}) for row in rows]

    def note(self, user_id: int, note_id: int) -> Note:
        """Raises Missing."""
        query = "SELECT id, title, body, version, changed FROM note WHERE id = ? AND user_id = ?"
        with self._reading() as db:
            row = db.execute(query, (note_id, user_id)).fetchone()
        if row is None:
            raise Missing(note_id)
        return Note(**{**row, "changed": datetime.fromisoformat(row["changed"])})

    def add_note(self, user_id: int, title: str, body: str) -> int:
        query = f"INSERT INTO note (user_id, title, body, changed) VALUES (?, ?, ?, {_NOW})"
        with self._writing() as db:
            return _new_id(db.execute(query, (user_id, title, body)))

    def change_note(self, user_id: int, note_id: int, title: str, body: str, version: int) -> None:
        """Replace a note of this version. Raises Missing, and Conflict if it has another one by now."""
        query = f"""
            UPDATE note SET title = ?, body = ?, changed = {_NOW}, version = version + 1
            WHERE id = ? AND user_id = ? AND version = ?"""
        with self._writing() as db:
            changed = db.execute(query, (title, body, note_id, user_id, version)).rowcount
        if not changed:
            self.note(user_id, note_id)
            raise Conflict(note_id)

    def remove_note(self, user_id: int, note_id: int) -> None:
        """Raises Missing."""
        with self._writing() as db:
            files = db.execute("SELECT stored FROM file WHERE note_id = ?", (note_id,)).fetchall()
            query = "DELETE FROM note WHERE id = ? AND user_id = ?"
            if not db.execute(query, (note_id, user_id)).rowcount:
                raise Missing(note_id)
        for (stored,) in files:
            (self.files_folder / stored).unlink(missing_ok=True)

    # -- files -------------------------------------------------------------------------------------

    def files(self, user_id: int, note_id: int) -> list[StoredFile]:
        return self._files("note_id = ? ORDER BY file.id", user_id, note_id)

    def file(self, user_id: int, file_id: int) -> StoredFile:
        """Raises Missing."""
        found = self._files("file.id = ?", user_id, file_id)
        if not found:
            raise Missing(file_id)
        return found[0]

    def _files(self, condition: str, user_id: int, value: int) -> list[StoredFile]:
        query = f"""
            SELECT file.id, note_id, name, size, stored FROM file JOIN note ON note.id = note_id
            WHERE user_id = ? AND {condition}"""
        with self._reading() as db:
            rows = db.execute(query, (user_id, value)).fetchall()
        return [StoredFile(**row) for row in rows]

    def add_file(self, user_id: int, note_id: int, name: str, content: IO[bytes]) -> int:
        """Store a file with a note. Raises Missing."""
        stored = secrets.token_hex(16)
        path = self.files_folder / stored
        try:
            with path.open("xb") as file:
                while block := content.read(64 * 1024):
                    file.write(block)
                size = file.tell()
            with self._writing() as db:
                # Also makes sure that the note is the user's, and tells open lists of the new file.
                touched = f"UPDATE note SET changed = {_NOW} WHERE id = ? AND user_id = ?"
                if not db.execute(touched, (note_id, user_id)).rowcount:
                    raise Missing(note_id)
                query = "INSERT INTO file (note_id, name, size, stored) VALUES (?, ?, ?, ?)"
                return _new_id(db.execute(query, (note_id, name, size, stored)))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def remove_file(self, user_id: int, file_id: int) -> None:
        """Raises Missing."""
        file = self.file(user_id, file_id)
        with self._writing() as db:
            db.execute("DELETE FROM file WHERE id = ?", (file_id,))
            db.execute(f"UPDATE note SET changed = {_NOW} WHERE id = ?", (file.note_id,))
        (self.files_folder / file.stored).unlink(missing_ok=True)


def without_marks(text: str) -> str:
    """The text without the marks around the words found."""
    return text.replace(MATCH_START, "").replace(MATCH_END, "")


def _new_id(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None  # an INSERT has just succeeded
    return cursor.lastrowid


def _hash(token: str) -> str:
    """A token is long and random, so a fast hash protects it; passwords need a slow one."""
    return hashlib.sha256(token.encode()).hexdigest()
