"""Filters that were saved under names, in a file of the data folder."""

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
    """Reads the file when it is asked, so that consoles beside each other see what each other saved."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def all(self) -> dict[str, str]:
        """Return the filters by name, none where nothing was saved; BadInput for a file that holds none."""
        return (read_file(self._path, dict[str, str]) if self._path is not None else None) or {}

    def save(self, name: str, where: str) -> None:
        """Keep a filter under a name, in the place of an earlier one; BadInput where it cannot be."""
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
        """Return the filter that `@NAME` stands for, any other text as it is; BadInput for an unknown name."""
        if not text.startswith(SIGN):
            return text
        known = self.all()
        if (found := known.get(text[1:].strip())) is None:
            raise BadInput(f"no saved filter {text!r}; there are {self.described(known)}")
        return found

    def complete(self, text: str) -> list[str]:
        """Return the names that a text that begins with @ may grow into."""
        try:
            names = [SIGN + name for name in self.all()]
        except BadInput:
            return []
        return [each for each in names if each.startswith(text) and each != text]

    def lines(self) -> list[Line]:
        """Return a line of each filter; BadInput for a file that holds none."""
        known = self.all()
        width = max(map(len, known), default=0) + 3
        described = [
            line(cell(f"{SIGN}{name}".ljust(width), "key"), cell(where))
            for name, where in sorted(known.items())
        ]
        return described or [line("None yet. :save NAME saves the filter of this screen.")]

    @staticmethod
    def described(known: dict[str, str]) -> str:
        """Name the filters, for a sentence."""
        return ", ".join(SIGN + name for name in sorted(known)) or "none yet; :save NAME saves one"
