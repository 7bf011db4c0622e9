"""Keys in their order: each goes to what has the keys when the ones before it have been dealt with."""

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

PATIENCE_SECONDS: Final = 1.0
MOST_AHEAD: Final = 200
LEAVING: Final = frozenset({"ctrl+c", "ctrl+q", "ctrl+z"})


class Keyboard:
    """Textual hands a key on before the one before it has opened anything; an SSH line brings many at once.

    While a command is under way to its dialog, what is typed waits for that. A dialog that
    asks for a yes gets none of it: what was typed before it was shown is no answer to it.
    """

    def __init__(self, console: ConsoleHost) -> None:
        self._console = console
        self._turn = asyncio.Lock()
        self._ahead: list[events.Key] = []
        self._preparing: set[asyncio.Task[object] | None] = set()

    async def press(self, key: events.Key) -> None:
        """Deal with one key."""
        async with self._turn:
            await self._press(key)

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Let keys wait until the block ends, or calls `shown` or `resume`."""
        self._preparing.add(asyncio.current_task())
        try:
            yield
        finally:
            self.resume()

    def resume(self) -> None:
        """Deal with the keys that wait for what this task prepares."""
        task = asyncio.current_task()
        if task in self._preparing:
            self._preparing.remove(task)
            self._console.call_later(self._catch_up)

    def shown(self, *, takes_keys: bool) -> None:
        """Return the keys that wait to the dialog that is shown now, or to nobody."""
        if not takes_keys:
            self._ahead.clear()
        self.resume()

    async def _catch_up(self) -> None:
        async with self._turn:
            ahead, self._ahead = self._ahead, []
            for key in ahead:
                await self._press(key)

    async def _press(self, key: events.Key) -> None:
        await self._settle()
        console = self._console
        if self._preparing and key.key not in LEAVING:
            if len(self._ahead) < MOST_AHEAD:
                self._ahead.append(key)
            return
        if await console._check_bindings(key.key, priority=True):
            return
        if _is_text(key, console.focused) or not await console._check_bindings(key.key):
            (console.focused or console.screen)._forward_event(key)

    async def _settle(self) -> None:
        """Wait until what has the keys, and all around it, have dealt with what was sent to them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                node: MessagePump | None = self._console.focused or self._console.screen
                while node is not None and node is not self._console:
                    await _is_through(node)
                    node = node._parent


def _is_text(key: events.Key, focused: Widget | None) -> bool:
    """Return whether a key is a sign that what has the keys takes in by itself."""
    if isinstance(focused, TextArea):
        return key.is_printable or key.key in {"enter", "tab"}
    return isinstance(focused, Input) and key.is_printable


async def _is_through(node: MessagePump) -> None:
    done = asyncio.Event()

    async def tell() -> None:
        done.set()

    if node.is_running and node.post_message(events.Callback(callback=tell)):
        await done.wait()
