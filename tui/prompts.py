"""The prompt of filters and commands: opens it, parses the input, and applies it to the selection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from textual.widget import Widget

from hms_svc.domain.errors import BadInput
from hms_svc.domain.filter import parse_filter
from hms_svc.tui.commands import Target
from hms_svc.tui.completion import complete_command, complete_filter, read_command
from hms_svc.tui.saved_filters import SIGN, SavedFilters
from hms_svc.tui.screens.base import current_screen
from hms_svc.tui.widgets.prompt import Mode, Prompt

if TYPE_CHECKING:
    from hms_svc.tui.host import ConsoleHost


_COMPLETES: Final[Mapping[Mode, Callable[[str, Sequence[str]], list[str]]]] = {
    "filter": complete_filter,
    "command": complete_command,
}


class Prompts:
    """Opens the prompt of the current screen, and runs what is typed there.

    Commands run on the selection from before the prompt was opened; the focus returns there.
    """

    def __init__(self, console: ConsoleHost) -> None:
        self._console = console
        self._earlier: dict[Mode, list[str]] = {
            "filter": [],
            "rows": [],
            "search": [],
            "command": [],
        }
        self._target: Target | None = None
        self._keys_from: Widget | None = None
        self.saved = SavedFilters(console.launch.filters)

    def ask(self, mode: Mode, text: str) -> None:
        """Open the prompt with this text."""
        console_screen = current_screen(self._console)
        if console_screen is None:
            return

        def complete(text: str) -> list[str]:
            if _is_of_jobs(mode, text) and text.startswith(SIGN):
                return self.saved.complete(text)
            known = _COMPLETES.get(mode)
            types = [queue.type for queue in self._console.store.snapshot.queues]
            return console_screen.complete_text(text) if known is None else known(text, types)

        self._target, self._keys_from = console_screen.target(), console_screen.focused
        earlier = self._earlier[mode]
        console_screen.query_one(Prompt).ask(mode, text, complete, earlier)

    def take(self, mode: Mode, text: str) -> None:
        """Run what was typed; if it is invalid, show the error and keep the prompt open."""
        self._console.notice, text = (), text.strip()
        try:
            if _is_of_jobs(mode, text):
                text = self.saved.expand(text)
                parse_filter(text)
                self.close()
                self._console.go("jobs", text)
            elif mode in {"rows", "search"}:
                console_screen = current_screen(self._console)
                if console_screen is not None:
                    console_screen.take_text(text)
                self.close()
            elif text:
                typed = read_command(text)
                self.close()
                target = typed.target or self._target
                self._console.run_command(typed.command.name, target, typed.argument)
            else:
                self.close()
        except BadInput as error:
            self._console.show_notice(str(error), "bad")

    def save(self, name: str) -> None:
        """Save the filter of the screen under a name; raise BadInput if it cannot be saved."""
        self.saved.save(name, self._console.current_filter)
        self._console.show_notice(f"saved: / and {SIGN}{name} opens it again", "good")

    def close(self) -> None:
        """Hide the prompt, and return the focus to the widget that had it."""
        console_screen, back = current_screen(self._console), self._keys_from
        if console_screen is None:
            return
        console_screen.query_one(Prompt).close()
        if back is not None and back.is_attached and back.screen is console_screen:
            console_screen.set_focus(back)
        else:
            console_screen.focus_body()


def _is_of_jobs(mode: Mode, text: str) -> bool:
    """Return whether a text is a filter of jobs; a saved filter is one on every list."""
    return mode == "filter" or (mode == "rows" and text.startswith(SIGN))
