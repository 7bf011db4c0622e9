"""Copying to the clipboard of the terminal, also through tmux."""

from __future__ import annotations

import asyncio
import base64
from typing import Final

TMUX: Final = ("tmux", "load-buffer", "-w", "-")
PATIENCE_SECONDS: Final = 2.0


def passed_through_tmux(text: str) -> str:
    """Return the OSC 52 sequence as tmux hands it on to its terminal where passthrough is allowed."""
    packed = base64.b64encode(text.encode()).decode()
    return wrapped_for_tmux(f"\x1b]52;c;{packed}\x07")


def wrapped_for_tmux(sequence: str) -> str:
    """Return a sequence as tmux hands it on to its terminal where passthrough is allowed."""
    doubled = sequence.replace("\x1b", "\x1b\x1b")
    return f"\x1bPtmux;{doubled}\x1b\\"


async def give_to_tmux(text: str) -> None:
    """Let tmux copy by itself: as it comes it takes no OSC 52 from what runs in it."""
    try:
        tmux = await asyncio.create_subprocess_exec(
            *TMUX,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return  # there is none here: the sequences are what can be done
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await tmux.communicate(text.encode())
    except TimeoutError:
        tmux.kill()
        await tmux.wait()
