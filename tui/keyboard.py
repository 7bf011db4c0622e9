"""Keys in order: each goes to the widget that has the focus once the earlier keys have been handled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from textual import events
from textual.message_pump import MessagePump
from textual.widget import Widget
from textual.widgets import Input, TextArea

if TYPE_CHECKING:
    from hms_svc.tui.host import ConsoleHost

TIMEOUT_SECONDS: Final = 1.0
MAX_KEYS_AHEAD: Final = 200
LEAVE_KEYS: Final = frozenset({"ctrl+c", "ctrl+q", "ctrl+z"})


class Keyboard:
    """Handles keys one at a time, and holds keys back while a dialog is being prepared.

    Textual passes a key on before the previous one has opened anything, and over SSH many keys arrive at once.
    Keys that are typed while a command prepares its dialog go to that dialog, but not to one that
    asks for a confirmation: they were typed before the user could read it.
    """

    def __init__(self, console: ConsoleHost) -> None:
        self._console = console
        self._lock = asyncio.Lock()
        self._ahead: list[events.Key] = []
        self._preparing: set[asyncio.Task[object] | None] = set()

    async def press(self, key: events.Key) -> None:
        """Handle one key."""
        async with self._lock:
            await self._press(key)

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Hold keys back until the block ends, or calls `shown` or `resume`."""
        self._preparing.add(asyncio.current_task())
        try:
            yield
        finally:
            self.resume()

    def resume(self) -> None:
        """Handle the keys that were held back for this task."""
        task = asyncio.current_task()
        if task in self._preparing:
            self._preparing.remove(task)
            self._console.call_later(self._catch_up)

    def shown(self, *, takes_keys: bool) -> None:
        """Pass the held keys to the dialog that is shown now, or drop them unless `takes_keys`."""
        if not takes_keys:
            self._ahead.clear()
        self.resume()

    async def _catch_up(self) -> None:
        async with self._lock:
            ahead, self._ahead = self._ahead, []
            for key in ahead:
                await self._press(key)

    async def _press(self, key: events.Key) -> None:
        await self._settle()
        console = self._console
        if self._preparing and key.key not in LEAVE_KEYS:
            if len(self._ahead) < MAX_KEYS_AHEAD:
                self._ahead.append(key)
            return
        if await console._check_bindings(key.key, priority=True):
            return
        if _is_text(key, console.focused) or not await console._check_bindings(key.key):
            (console.focused or console.screen)._forward_event(key)

    async def _settle(self) -> None:
        """Wait until the focused widget and its parents have handled their messages."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                node: MessagePump | None = self._console.focused or self._console.screen
                while node is not None and node is not self._console:
                    await _wait_until_idle(node)
                    node = node._parent


def _is_text(key: events.Key, focused: Widget | None) -> bool:
    """Return whether the focused widget inserts the key as text."""
    if isinstance(focused, TextArea):
        return key.is_printable or key.key in {"enter", "tab"}
    return isinstance(focused, Input) and key.is_printable


async def _wait_until_idle(node: MessagePump) -> None:
    done = asyncio.Event()

    async def set_done() -> None:
        done.set()

    if node.is_running and node.post_message(events.Callback(callback=set_done)):
        await done.wait()
