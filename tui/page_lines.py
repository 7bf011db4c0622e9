"""Facts, JSON and tracebacks as styled lines, with links and sections. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec

from hms_svc.domain.plain_text import plain_lines
from hms_svc.domain.strict_json import decode
from hms_svc.tui import formats as f
from hms_svc.tui.text import Cell, Line, Role, cell, line

MOST_LINES: Final = 2000
MOST_CHARACTERS: Final = 100_000
MOST_COLOURED: Final = 2000
"""The length up to which a line of JSON is coloured; longer lines are not read closely."""
NAME_WIDTH: Final = 14
_JSON: Final = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")(?P<colon>\s*:)?|(?P<literal>-?\d[\d.eE+-]*|true|false|null)'
)
_LIBRARY_PATH: Final = re.compile(
    r"/(site-packages|dist-packages|lib/python3[^/]*|hms_svc/(runtime|sdk))/"
)


class PageText(msgspec.Struct, frozen=True):
    """Lines, with links (`job:ID`, `case:ID`) and section names by the number of their line."""

    lines: tuple[Line, ...]
    links: dict[int, str] = {}
    heads: dict[int, str] = {}


class PageBuilder:
    """Builds a page line by line."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.links: dict[int, str] = {}
        self.heads: dict[int, str] = {}

    def build(self) -> PageText:
        """Return the page."""
        return PageText(tuple(self.lines), self.links, self.heads)

    def head(self, title: str, more: str = "") -> None:
        """Begin a section."""
        if self.lines:
            self.lines.append(())
        self.heads[len(self.lines)] = title
        self.lines.append(line(cell(title, "head"), cell(f"  {more}" if more else "", "dim")))

    def fact(self, name: str, value: object, role: Role = "", *, link: str = "") -> None:
        """Add a name with its value, unless the value is empty."""
        if value not in ("", None):
            self.parts(name, cell(value, role), link=link)

    def parts(self, name: str, *parts: Cell, link: str = "") -> None:
        """Add a name with a value of several cells."""
        self.add(cell(name.ljust(NAME_WIDTH), "dim"), *parts, link=link)

    def add(self, *parts: Cell, link: str = "") -> None:
        """Add a line."""
        if link:
            self.links[len(self.lines)] = link
        self.lines.append(line(*parts))

    def text(self, text: str, role: Role = "") -> None:
        """Add a multi-line text."""
        self._cut(text, [(Cell(each, role),) for each in _lines_of(text)])

    def json(self, raw: bytes, *, most: int = 0) -> None:
        """Add formatted, coloured JSON; of more than `most` bytes (0: no limit) only the raw start."""
        if most and len(raw) > most:
            self.text(raw[:most].decode(errors="replace"))
            described = (
                f"  … the first {f.number(most)} of {f.number(len(raw))} bytes; i shows more"
            )
            self.lines.append(line(cell(described, "warn")))
            return
        text = pretty(raw)
        self._cut(text, json_lines(text))

    def traceback(self, text: str) -> None:
        """Add a traceback with the frames of the application brighter than those of libraries."""
        self._cut(text, traceback_lines(text))

    def _cut(self, text: str, lines: list[Line] | tuple[Line, ...]) -> None:
        self.lines += [(Cell("  "), *each) for each in lines]
        if len(text) > MOST_CHARACTERS or text.count("\n") >= MOST_LINES:
            described = (
                f"  … cut: {f.number(len(text))} characters in all; hms-svc jobs show has all"
            )
            self.lines.append(line(cell(described, "warn")))


@lru_cache(maxsize=4)
def pretty(raw: bytes) -> str:
    """Return indented JSON; other bytes as text, with undecodable ones replaced."""
    try:
        return json.dumps(decode(raw), indent=2, ensure_ascii=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw.decode(errors="replace")


def _lines_of(text: str) -> list[str]:
    return plain_lines(text[:MOST_CHARACTERS]).split("\n")[:MOST_LINES]


@lru_cache(maxsize=8)
def json_lines(text: str) -> tuple[Line, ...]:
    """Return the lines of a JSON text."""
    return tuple(tuple(_json_cells(each)) for each in _lines_of(text))


def _json_cells(text: str) -> Iterator[Cell]:
    at = 0
    found = _JSON.finditer(text) if len(text) <= MOST_COLOURED else ()
    for match in found:
        if match.start() > at:
            yield Cell(text[at : match.start()], "dim")
        if match["literal"]:
            yield Cell(match["literal"], "strong")
        else:
            yield Cell(match["text"], "accent" if match["colon"] else "")
            if match["colon"]:
                yield Cell(match["colon"], "dim")
        at = match.end()
    if at < len(text):
        yield Cell(text[at:], "dim" if at else "")


@lru_cache(maxsize=8)
def traceback_lines(text: str) -> tuple[Line, ...]:
    """Return the lines of a traceback."""
    lines: list[Line] = []
    is_application = False
    for each in _lines_of(text.rstrip("\n")):
        bare = each.lstrip()
        if bare.startswith('File "'):
            is_application = _LIBRARY_PATH.search(bare) is None
            lines.append((Cell(each, "accent" if is_application else "dim"),))
        elif not bare or bare[0] in "^~" or bare.startswith("Traceback ("):
            lines.append((Cell(each, "dim"),))
        elif each == bare:
            lines.append((Cell(each, "bad"),))
        else:
            lines.append((Cell(each, "" if is_application else "dim"),))
    return tuple(lines)
