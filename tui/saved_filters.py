"""Saved filters by name, in a file in the data directory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from hms_svc.domain.errors import BadInput
from hms_svc.domain.filter import parse_filter
from hms_svc.tui.preferences import read_file, write_file
from hms_svc.tui.text import Line, cell, line

SIGN: Final = "@"
MOST: Final = 200
_NAME: Final = re.compile(r"[\w.-]{1,40}")


class SavedFilters:
    """Reads the file at each access, so that several consoles see each other's filters."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def all(self) -> dict[str, str]:
        """Return the filters by name; raise BadInput if the file is not valid."""
        return (read_file(self._path, dict[str, str]) if self._path is not None else None) or {}

    def save(self, name: str, where: str) -> None:
        """Save a filter under a name, replacing an earlier one; raise BadInput if it cannot be saved."""
        if self._path is None:
            raise BadInput("filters cannot be saved: there is no data directory")
        if not _NAME.fullmatch(name):
            raise BadInput(f"{name!r:.60} is not a name: use up to 40 letters, digits, _ . and -")
        if not where:
            raise BadInput("this screen has no filter to save; / sets one")
        known = {**self.all(), name: parse_filter(where).text}
        if len(known) > MOST:
            raise BadInput(f"{MOST} filters are saved already: {self._path} holds them")
        write_file(self._path, known)

    def expand(self, text: str) -> str:
        """Return the filter of `@NAME`, or any other text unchanged; raise BadInput for an unknown name."""
        if not text.startswith(SIGN):
            return text
        known = self.all()
        if (found := known.get(text[1:].strip())) is None:
            raise BadInput(f"no saved filter {text!r}; there are {self.described(known)}")
        return found

    def complete(self, text: str) -> list[str]:
        """Return completions of a text that begins with @."""
        try:
            names = [SIGN + name for name in self.all()]
        except BadInput:
            return []
        return [each for each in names if each.startswith(text) and each != text]

    def lines(self) -> list[Line]:
        """Return a line for each filter; raise BadInput if the file is not valid."""
        known = self.all()
        width = max(map(len, known), default=0) + 3
        described = [
            line(cell(f"{SIGN}{name}".ljust(width), "key"), cell(where))
            for name, where in sorted(known.items())
        ]
        return described or [line("None yet. :save NAME saves the filter of this screen.")]

    @staticmethod
    def described(known: dict[str, str]) -> str:
        """Return the names of the filters as part of a sentence."""
        return ", ".join(SIGN + name for name in sorted(known)) or "none yet; :save NAME saves one"
