"""The interface of the application for its parts: screens, dialogs and commands import this, never `app`."""

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
    """The application as screens, dialogs and commands use it."""

    launch: Launch
    store: Store
    preferences: Preferences
    notice: Line

    @abstractmethod
    def show_notice(self, message: str, role: Role = "") -> None:
        """Show a notice in the hint line for some seconds."""

    @abstractmethod
    async def ask(self, dialog: Dialog[Answer]) -> Answer | None:
        """Show a dialog and return its answer. Call it from a Textual worker."""

    @abstractmethod
    def reporting(self) -> AbstractContextManager[None]:
        """Show errors raised in the block as notices; then refresh the data."""

    @abstractmethod
    def preparing(self) -> AbstractContextManager[None]:
        """Hold back keys that are pressed in the block, for the dialog that it opens."""

    @abstractmethod
    def resume_keys(self) -> None:
        """Pass the held keys on to the screen: no dialog will open."""

    @abstractmethod
    def run_command(self, name: str, target: Target | None, argument: str = "") -> None:
        """Run a command, or show why it cannot be run on the target."""

    @abstractmethod
    def forget_selection(self) -> None:
        """Clear the selection of the screen after an action."""

    @abstractmethod
    def painted(self) -> None:
        """Start queries and workers after the first paint."""

    @abstractmethod
    def give_up(self, error: HmsError) -> None:
        """Exit because of an error that waiting cannot repair."""

    @property
    @abstractmethod
    def is_typing(self) -> bool:
        """Whether a prompt is open on the screen."""

    @abstractmethod
    def is_paused(self, target: Target | None) -> bool:
        """Return whether the target is a paused queue or schedule, or a quiet worker."""

    @abstractmethod
    def types_of(self, target: Target | None) -> tuple[str, ...]:
        """Return the job types of the target, as far as the snapshot has them."""

    @property
    @abstractmethod
    def current_filter(self) -> str:
        """The filter of the screen; empty if it has none."""

    @abstractmethod
    def go(self, screen: str, where: str | None = None) -> None:
        """Open a screen by its name, with a filter."""

    @abstractmethod
    def back(self) -> None:
        """Go back to the previous screen."""

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
