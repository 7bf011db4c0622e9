"""Natural batching: requests that arrive while a call is under way leave with the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from hms_svc.domain.errors import Outage

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Batcher(Generic[Question, Answer]):
    """Turns many awaited single calls into few calls of `answer_many`, one under way at a time.

    A first question waits for one iteration of the loop, so that all tasks that the
    same iteration woke share a batch. Belongs to the loop that first calls it. An Outage
    of `answer_many` is raised to every caller in that batch; after any other error
    each question is retried alone, so that one bad question does not affect the others. The
    questions of a batch weigh at most `limit` together, or there is only one.
    """

    def __init__(
        self,
        answer_many: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
        *,
        limit: int = 500,
        weigh: Callable[[Question], int] = lambda _question: 1,
    ) -> None:
        self._answer_many = answer_many
        self._limit = limit
        self._weigh = weigh
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._flusher: asyncio.Task[None] | None = None

    def ask(self, question: Question) -> asyncio.Future[Answer]:
        """Submit one question, and return its answer, to be awaited."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((question, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = loop.create_task(self._flush(), name="batcher")
        return future

    async def _flush(self) -> None:
        while self._waiting:
            count = self._fitting()
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
            await self._answer(batch)

    def _fitting(self) -> int:
        weight = 0
        for count, (question, _) in enumerate(self._waiting):
            weight += self._weigh(question)
            if weight > self._limit:
                return max(count, 1)
        return len(self._waiting)

    async def _answer(self, batch: list[tuple[Question, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._answer_many([question for question, _ in batch])
        except BaseException as error:
            if len(batch) > 1 and isinstance(error, Exception) and not isinstance(error, Outage):
                for one in batch:
                    await self._answer([one])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
                    future.exception()
            if not isinstance(error, Exception):
                raise
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
