"""What the console remembers of how a person wants it, in a small file of the data folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from tui.table import TableView

FILE: Final = "console.json"
MOST_BYTES: Final = 65_536


class Remembered(msgspec.Struct, frozen=True, omit_defaults=True):
    """The views of tables by name, and whether lists show a preview."""

    tables: dict[str, TableView] = {}
    preview: bool = True


class Memory:
    """Reads the file once, and writes it whole at each change; without a path nothing is kept.

    `trouble` says why what was there was not taken, or what is new not written; empty otherwise.
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
        """Return how a table was wanted last."""
        return self._known.tables.get(table, TableView())

    def keep_view(self, table: str, view: TableView) -> None:
        """Keep how a table is wanted."""
        tables = {**self._known.tables, table: view}
        if view == TableView():
            del tables[table]
        self._keep(msgspec.structs.replace(self._known, tables=tables))

    def keep_preview(self, *, is_shown: bool) -> None:
        """Keep whether lists show a preview."""
        self._keep(msgspec.structs.replace(self._known, preview=is_shown))

    def _read(self) -> Remembered:
        if self._path is None:
            return Remembered()
        try:
            with self._path.open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
            if len(raw) > MOST_BYTES:
                self.trouble = (
                    f"{FILE} is ignored: it is larger than {MOST_BYTES} bytes ({self._path})"
                )
                return Remembered()
            return msgspec.json.decode(raw, type=Remembered)
        except FileNotFoundError:
            pass
        except (OSError, msgspec.DecodeError, RecursionError, UnicodeError) as error:
            self.trouble = f"{FILE} is ignored: {error} ({self._path})"
        return Remembered()

    def _keep(self, known: Remembered) -> None:
        self._known = known
        if self._path is None:
            return
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(msgspec.json.format(msgspec.json.encode(known), indent=1))
            beside.replace(self._path)
            self.trouble = ""
        except OSError as error:
            self.trouble = f"{FILE} cannot be written: {error.strerror} ({self._path})"
