"""Runs the query of the screen on its own task, so that an engine that hangs delays no other panel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from hms_svc.domain.errors import HmsError, Replaced
from hms_svc.domain.plain_text import plain
from hms_svc.tui.snapshot import ScreenQuery, Seen

if TYPE_CHECKING:
    from hms_svc.operations.service import Operations

TIMEOUT_SECONDS: Final = 6.0
WAIT_SECONDS: Final = 1.0
"""How long the other panels wait for the answer, to be shown together."""
log: Final = logging.getLogger("hms_svc.console")


class Answered(msgspec.Struct, frozen=True):
    """The last answer to a query, and why there is no newer one (empty if there is no error)."""

    seen: Seen | None = None
    trouble: str = ""
    is_replaced: bool = False


class QueryRunner:
    """Runs one query at a time on its own task; `done` is called when it has ended."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done
        self._data_query: ScreenQuery | None = None
        self._task: asyncio.Task[object] | None = None
        self._known = Answered()
        self._is_due = False

    async def answer(
        self, data_query: ScreenQuery | None, operations: Operations, *, force: bool
    ) -> Answered:
        """Run the query and return its answer; return the last answer if it is fresh or the query is still running.

        `force` runs it in any case; if it is already running, once more afterwards.
        """
        if data_query != self._data_query:
            self.cancel()
            self._data_query, self._known = data_query, Answered()
        if data_query is None:
            return self._known
        self._is_due |= force
        if self._task is None:
            if not self._is_due and self._is_fresh(data_query, operations):
                return self._known
            self._is_due = False
            self._task = asyncio.create_task(
                self._ask(data_query, operations), name="console-query"
            )
        await asyncio.wait({self._task}, timeout=WAIT_SECONDS)
        if self._task is not None and self._task.done():
            self._known, self._task = self._take(data_query, self._task, operations), None
        return self._known

    def cancel(self) -> None:
        """Cancel the running query."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _is_fresh(self, data_query: ScreenQuery, operations: Operations) -> bool:
        seen = self._known.seen
        age = None if seen is None else operations.reads.now_ms() - seen.at
        return age is not None and age < data_query.every_seconds * 1000

    async def _ask(self, data_query: ScreenQuery, operations: Operations) -> object:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await data_query.read(operations)
        finally:
            self._done()

    def _take(
        self, data_query: ScreenQuery, task: asyncio.Task[object], operations: Operations
    ) -> Answered:
        seen = self._known.seen
        try:
            return Answered(Seen(data_query, task.result(), operations.reads.now_ms()))
        except HmsError as error:
            return Answered(seen, plain(str(error)), isinstance(error, Replaced))
        except TimeoutError:
            return Answered(seen, f"no answer within {TIMEOUT_SECONDS:g} s")
        except Exception as error:
            log.exception("the console's query failed")
            return Answered(seen, plain(f"{type(error).__name__}: {error}"))
