"""The operator's view of a measurement, through the same interface as the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from hms_svc import bootstrap
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.views import JobView, QueueCounts, QueueView
from hms_svc.operations.service import Operations, make_operations
from hms_svc.ports.database import Database
from hms_svc.settings import load_settings

Result = TypeVar("Result")


class Observer:
    """Engines opened in the driver's process, asked one question at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._settings = load_settings(environ=environment).settings
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.database: Database = bootstrap.database(self._settings)
        self.operations: Operations = self._runner.run(self._open())

    async def _open(self) -> Operations:
        await self.database.open()
        self._stack.push_async_callback(self.database.close)
        backend = await self._stack.enter_async_context(bootstrap.backend(self._settings))
        return make_operations(
            self._settings,
            broker=backend.broker,
            inspection=backend.inspection,
            control=backend.control,
            bus=backend.bus,
            database=self.database,
        )

    def close(self) -> None:
        """Close the engines."""
        self._runner.run(self._stack.aclose())
        self._runner.close()

    def ask(self, question: Callable[[Operations], Coroutine[Any, Any, Result]]) -> Result:
        """Run one coroutine over the operator service."""
        return self._runner.run(question(self.operations))

    def queue(self, type: str) -> QueueView | None:
        """Return one queue, None where there is none yet."""
        found = self.ask(lambda operations: operations.reads.queues())
        return next((each for each in found if each.type == type), None)

    def counts(self, type: str) -> QueueCounts:
        """Count the jobs of a type in each state."""
        queue = self.queue(type)
        return queue.counts if queue else QueueCounts()

    def completed(self, type: str) -> int:
        """Return how many jobs of a type have completed, those trimmed since included."""
        queue = self.queue(type)
        return queue.counters["completed"] if queue else 0

    def jobs(self, where: str) -> tuple[JobView, ...]:
        """Return all jobs that match."""
        matching = parse_filter(where)
        page = self.ask(lambda operations: operations.reads.jobs(matching, limit=0, cursor=None))
        return page.jobs

    def has_worker(self) -> bool:
        """Return whether a worker is in the register."""
        return bool(self.ask(lambda operations: operations.reads.workers()))

    def cases(self) -> int:
        """Count the open cases."""
        return self.ask(_count_cases)

    def unpublished(self) -> int:
        """Count what the outbox still holds, up to a hundred."""
        return len(self._runner.run(self.database.outbox.waiting(100)))

    def events(self, type: str) -> int:
        """Count the events of a type on the bus."""
        return self.ask(lambda operations: _count_events(operations, type))


async def _count_cases(operations: Operations) -> int:
    from hms_svc.domain.case import CaseStatus

    found, _ = await operations.reads.database.cases.page(
        status=CaseStatus.OPEN, kind=None, limit=0, cursor=None
    )
    return len(found)


async def _count_events(operations: Operations, type: str) -> int:
    return sum(
        [event.type == type async for event in operations.reads.events(after=0, follow=False)]
    )
