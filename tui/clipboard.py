"""Copying to the clipboard of the terminal, also through tmux."""

from __future__ import annotations

import asyncio
import base64
from typing import Final

TMUX: Final = ("tmux", "load-buffer", "-w", "-")
TIMEOUT_SECONDS: Final = 2.0


def passed_through_tmux(text: str) -> str:
    """Return the OSC 52 sequence in the form that tmux passes through, if its settings allow that."""
    packed = base64.b64encode(text.encode()).decode()
    return wrapped_for_tmux(f"\x1b]52;c;{packed}\x07")


def wrapped_for_tmux(sequence: str) -> str:
    """Return a sequence in the form that tmux passes through, if its settings allow that."""
    doubled = sequence.replace("\x1b", "\x1b\x1b")
    return f"\x1bPtmux;{doubled}\x1b\\"


async def copy_with_tmux(text: str) -> None:
    """Copy with tmux itself: in its default settings it ignores OSC 52 from inner programs."""
    try:
        tmux = await asyncio.create_subprocess_exec(
            *TMUX,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return  # tmux is not installed here: the escape sequences have to do
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await tmux.communicate(text.encode())
    except TimeoutError:
        tmux.kill()
        await tmux.wait()
