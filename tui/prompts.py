"""Filters and commands as they are typed: asked for, read, and done to what was chosen before."""

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
    "filter": complete_filter, "command": complete_command,
}  # fmt: skip


class Prompts:
    """Opens the prompt of the room on the screen, and takes what is typed there.

    The choice is the one from before the prompt had the keys; they go back there.
    """

    def __init__(self, console: ConsoleHost) -> None:
        self._console = console
        self._earlier: dict[Mode, list[str]] = {
            "filter": [], "words": [], "search": [], "command": [],
        }  # fmt: skip
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
        """Do what was typed; what is wrong with it is said, and the prompt stays open."""
        self._console.notice, text = (), text.strip()
        try:
            if _is_of_jobs(mode, text):
                text = self.saved.expand(text)
                parse_filter(text)
                self.close()
                self._console.go("jobs", text)
            elif mode in {"words", "search"}:
                console_screen = current_screen(self._console)
                if console_screen is not None:
                    console_screen.take_text(text)
                self.close()
            elif text:
                typed = read_command(text)
                self.close()
                target = typed.target or self._target
                self._console.run_command(typed.command.name, target, typed.words)
            else:
                self.close()
        except BadInput as error:
            self._console.say(str(error), "bad")

    def save(self, name: str) -> None:
        """Keep the filter of the screen under a name; BadInput where it cannot be."""
        self.saved.save(name, self._console.current_filter)
        self._console.say(f"saved: / and {SIGN}{name} opens it again", "good")

    def close(self) -> None:
        """Hide the prompt, and give the keys back to who had them."""
        console_screen, back = current_screen(self._console), self._keys_from
        if console_screen is None:
            return
        console_screen.query_one(Prompt).close()
        if back is not None and back.is_attached and back.screen is console_screen:
            console_screen.set_focus(back)
        else:
            console_screen.focus_body()


def _is_of_jobs(mode: Mode, text: str) -> bool:
    """Return whether a text is a filter of jobs: a saved one is, on whatever list it is named."""
    return mode == "filter" or (mode == "words" and text.startswith(SIGN))
