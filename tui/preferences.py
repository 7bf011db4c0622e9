"""The user's preferences for the console, in a small file in the data directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.tui.table import TableView

FILE: Final = "console.json"
MOST_BYTES: Final = 65_536
Kept = TypeVar("Kept")


class Remembered(msgspec.Struct, frozen=True, omit_defaults=True):
    """The table views by name, and whether lists show a preview."""

    tables: dict[str, TableView] = {}
    preview: bool = True


class Preferences:
    """Reads the file once, and rewrites it at each change; without a path nothing is stored.

    `trouble` is why the file could not be read or written; empty if it could.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.trouble = ""
        self._known = self._read()

    @property
    def preview(self) -> bool:
        """Whether lists show a preview."""
        return self._known.preview

    def view_of(self, table: str) -> TableView:
        """Return the stored view of a table."""
        return self._known.tables.get(table, TableView())

    def keep_view(self, table: str, view: TableView) -> None:
        """Store the view of a table."""
        tables = {**self._known.tables, table: view}
        if view == TableView():
            del tables[table]
        self._keep(msgspec.structs.replace(self._known, tables=tables))

    def keep_preview(self, *, is_shown: bool) -> None:
        """Store whether lists show a preview."""
        self._keep(msgspec.structs.replace(self._known, preview=is_shown))

    def _read(self) -> Remembered:
        if self._path is None:
            return Remembered()
        try:
            return read_file(self._path, Remembered) or Remembered()
        except BadInput as error:
            self.trouble = str(error)
            return Remembered()

    def _keep(self, known: Remembered) -> None:
        self._known = known
        if self._path is None:
            return
        try:
            write_file(self._path, known)
            self.trouble = ""
        except BadInput as error:
            self.trouble = str(error)


def read_file(path: Path, type: type[Kept]) -> Kept | None:
    """Return the content of a small JSON file, None if there is no file; raise BadInput if it is unusable."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise BadInput(
                f"{path.name} cannot be read: it is larger than {MOST_BYTES} bytes ({path})"
            )
        return msgspec.json.decode(raw, type=type)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise BadInput(f"{path.name} cannot be read: {error} ({path})") from error


def write_file(path: Path, value: object) -> None:
    """Write a small JSON file atomically; raise BadInput if it cannot be written."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1))
        beside.chmod(0o600)
        beside.replace(path)
    except OSError as error:
        raise BadInput(f"{path.name} cannot be written: {error.strerror} ({path})") from error
