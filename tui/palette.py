"""The command palette: every command, and its equivalent command line to copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.markup import escape

from hms_svc.domain.plain_text import plain
from hms_svc.tui.command_keys import key_sign
from hms_svc.tui.commands import ALIASES, TABLE
from hms_svc.tui.screens.base import current_screen

if TYPE_CHECKING:
    from hms_svc.tui.host import ConsoleHost

Entry = tuple[str, str, str, Callable[[], None]]
"""Title, help, the keywords that it is found by, and its action."""

BY_HELP: Final = 0.2


class Palette(Provider):
    """Finds commands by letters of their titles and words of their help; shown texts are never parsed as markup."""

    @property
    def _console(self) -> ConsoleHost:
        return cast("ConsoleHost", self.app)

    def _entries(self) -> Iterator[Entry]:
        console = self._console
        console_screen = current_screen(console)
        target = console_screen.target() if console_screen is not None else None
        for command in TABLE:
            if command.name == "palette":
                continue
            described = escape(f"{key_sign(command)}  {command.help}".strip())
            names = [name for name, (real, _) in ALIASES.items() if real == command.name]
            keywords = " ".join((command.title, command.help, command.name, *names)).casefold()
            yield (
                command.title,
                described,
                keywords,
                partial(console.run_command, command.name, target),
            )
            if command.cli:
                text = command.command_line(target)
                title = plain(f"Copy: {text}")
                yield (
                    title,
                    escape(command.help),
                    title.casefold(),
                    partial(console.copy_to_clipboard, text),
                )

    async def discover(self) -> Hits:
        """Yield all commands, before anything is typed."""
        for title, described, _, run in self._entries():
            if not title.startswith("Copy: "):
                yield DiscoveryHit(Content(title), run, text=title, help=described)

    async def search(self, query: str) -> Hits:
        """Yield the commands whose title has the letters, or whose title and help have the words."""
        matcher, wanted = self.matcher(query), query.casefold().split()
        for title, described, keywords, run in self._entries():
            score = matcher.match(title)
            if score <= 0 and all(word in keywords for word in wanted):
                score = BY_HELP
            if score > 0:
                yield Hit(score, Content(title), run, text=title, help=described)
