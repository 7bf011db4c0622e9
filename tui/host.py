"""The application as its parts see it: screens, dialogs and commands import this, and never the application."""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from textual.app import App

from hms_svc.tui.dialogs.dialog import Answer, Dialog
from hms_svc.tui.launch import Launch
from hms_svc.tui.preferences import Preferences
from hms_svc.tui.store import Store
from hms_svc.tui.text import Line, Role
from hms_svc.tui.widgets.prompt import Mode

if TYPE_CHECKING:
    from hms_svc.domain.errors import HmsError
    from hms_svc.tui.commands import Target


class ConsoleHost(App[int]):
    """What the parts of the console may ask of it."""

    launch: Launch
    store: Store
    preferences: Preferences
    notice: Line

    @abstractmethod
    def say(self, words: str, role: Role = "") -> None:
        """Show a notice in the line of hints for some seconds."""

    @abstractmethod
    async def ask(self, dialog: Dialog[Answer]) -> Answer | None:
        """Show a dialog, and return its answer. To be called by a worker of the console."""

    @abstractmethod
    def reporting(self) -> AbstractContextManager[None]:
        """Show errors of the block as notices instead of raising them; then read the data again."""

    @abstractmethod
    def preparing(self) -> AbstractContextManager[None]:
        """Keep keys that are pressed in the block for the dialog that it opens."""

    @abstractmethod
    def resume_keys(self) -> None:
        """Let keys go on to the screen: no dialog will open."""

    @abstractmethod
    def run_command(self, name: str, target: Target | None, words: str = "") -> None:
        """Run a command; one that cannot be done to the target says so."""

    @abstractmethod
    def acted(self) -> None:
        """Clear the marks of the screen: an action was done to what they named."""

    @abstractmethod
    def painted(self) -> None:
        """Begin to read data, and to work: the first screen has been painted."""

    @abstractmethod
    def give_up(self, error: HmsError) -> None:
        """Leave because of an error that waiting does not repair."""

    @property
    @abstractmethod
    def is_typing(self) -> bool:
        """Whether a prompt is open on the screen."""

    @abstractmethod
    def is_paused(self, target: Target | None) -> bool:
        """Return whether the target is a paused queue, or a quiet worker."""

    @abstractmethod
    def types_of(self, target: Target | None) -> tuple[str, ...]:
        """Return the job types of the target, as far as they are on the screen."""

    @property
    @abstractmethod
    def current_filter(self) -> str:
        """The filter of the screen; empty if it has none."""

    @abstractmethod
    def go(self, screen: str, where: str | None = None) -> None:
        """Open a screen by its name, with a filter."""

    @abstractmethod
    def back(self) -> None:
        """Go back to the screen before."""

    @abstractmethod
    def follow(self, link: str) -> None:
        """Open the target of a link, `KIND:ID` or `jobs:FILTER`."""

    @abstractmethod
    def open_prompt(self, mode: Mode, text: str) -> None:
        """Open the prompt with a text."""

    @abstractmethod
    def take_prompt(self, mode: Mode, text: str) -> None:
        """Carry out what was typed."""

    @abstractmethod
    def close_prompt(self) -> None:
        """Hide the prompt."""

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        return int(time.time() * 1000)
