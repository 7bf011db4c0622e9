"""Delayed calls that a busy machine cannot lose: Textual skips a tick that is late, also the only one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.message_pump import MessagePump


def call_after(
    seconds: float, pump: MessagePump, callback: Callable[[], object]
) -> asyncio.TimerHandle:
    """Call a function in a message pump once, after some seconds; return what cancels it.

    Nothing is called if the pump has been closed by then.
    """
    return asyncio.get_running_loop().call_later(seconds, pump.call_later, callback)
