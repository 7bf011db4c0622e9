"""The palette: every command of the table, and the command line that does the same, to copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.markup import escape

from hms_svc.domain.plain_text import plain
from tui.commands import TABLE, key_sign

if TYPE_CHECKING:
    from tui.app import Console

Entry = tuple[str, str, Callable[[], None]]


class Palette(Provider):
    """Finds commands by any letters of them. What it shows is never read as markup."""

    @property
    def _console(self) -> Console:
        return cast("Console", self.app)

    def _entries(self) -> Iterator[Entry]:
        console = self._console
        room = console.room
        target = room.target() if room is not None else None
        for command in TABLE:
            if command.name == "palette":
                continue
            told = escape(f"{key_sign(command)}  {command.help}".strip())
            yield command.title, told, console.runner(command.name, target)
            if command.cli:
                text = command.command_line(target)
                yield plain(f"Copy: {text}"), escape(command.help), console.copier(text)

    async def discover(self) -> Hits:
        """Give all commands, before anything is typed."""
        for title, told, run in self._entries():
            if not title.startswith("Copy: "):
                yield DiscoveryHit(Content(title), run, text=title, help=told)

    async def search(self, query: str) -> Hits:
        """Give the commands that match."""
        matcher = self.matcher(query)
        for title, told, run in self._entries():
            score = matcher.match(title)
            if score > 0:
                yield Hit(score, Content(title), run, text=title, help=told)
