"""One call on a thread of its own, which blocks neither the loop nor the end of the process."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from hms_svc.domain.errors import WrongThread


async def on_own_thread(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Run a plain function in a copy of the current context; return its result or raise its error.

    If the caller is cancelled, the function still runs to its end.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    call = partial(contextvars.copy_context().run, function, *arguments, **named)

    def work() -> None:
        try:
            result, error = call(), None
        except BaseException as raised:  # noqa: BLE001 - re-raised on the loop
            result, error = None, raised
        with suppress(RuntimeError):  # the loop has ended in the meantime
            loop.call_soon_threadsafe(deliver, result, error)

    def deliver(result: Any, error: BaseException | None) -> None:
        if not ended.done():
            ended.set_result((result, error))

    threading.Thread(target=work, name="hms-svc-own", daemon=True).start()
    result, error = await ended
    if error is not None:
        raise error
    return result


def must_await(call: str, counterpart: str) -> None:
    """Raise WrongThread on a thread without a running event loop, such as that of a plain handler."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise WrongThread(
            f"{call} is awaited in an async handler; call {counterpart} in a plain one"
        ) from None
