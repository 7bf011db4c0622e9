"""Large messages are read beside the event loop, which goes on turning."""

from __future__ import annotations

import asyncio
import threading

from hms_svc.ports.side_thread import SMALL_BYTES, aside


async def test_what_is_small_is_read_at_once_and_what_is_large_on_a_thread() -> None:
    here = threading.get_ident()
    assert await aside(SMALL_BYTES, threading.get_ident) == here
    large = [await aside(SMALL_BYTES + 1, threading.get_ident) for _ in range(2)]
    assert here not in large
    assert len(set(large)) == 1, "one after another, on one thread"


async def test_the_loop_turns_meanwhile() -> None:
    gate = threading.Event()
    reading = asyncio.create_task(aside(SMALL_BYTES + 1, gate.wait))
    await asyncio.sleep(0)
    assert not reading.done()
    gate.set()
    assert await reading
