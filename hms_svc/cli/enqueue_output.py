"""Output of `enqueue`: each job as it was accepted or, with `--wait`, as it ended."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from hms_svc.cli.output import echo, emit, flush, hint, progress
from hms_svc.cli.root import DONE, NOT_ALL, TIMED_OUT

if TYPE_CHECKING:
    from hms_svc.domain.views import JobDetail
    from hms_svc.ports.backend import Backend
    from hms_svc.ports.broker import Enqueued

SHOWN = 20


def _remark(answer: Enqueued) -> str:
    """Return remarks on a job: it was known before, another one holds its unique key, it replaces one."""
    from hms_svc.ports.broker import Acceptance

    remarks = []
    if answer.acceptance is not Acceptance.ACCEPTED:
        remarks.append("already known")
    if answer.held_by:
        remarks.append(f"job {answer.held_by} holds its unique key")
    if answer.replaced:
        remarks.append(f"it replaces job {answer.replaced}")
    return f" ({'; '.join(remarks)})" if remarks else ""


class Output:
    """Collects what was accepted, prints it, and waits if requested.

    `wait_seconds` None means not to wait.
    """

    def __init__(self, *, as_json: bool, wait_seconds: float | None) -> None:
        self._as_json = as_json
        self._wait_seconds = wait_seconds
        self._types: dict[str, str] = {}
        self._position = 0
        self._printed = 0
        self._refused: list[str] = []
        self._ended = Counter[str]()
        self._waiting: set[str] = set()

    @property
    def waits(self) -> bool:
        """Whether it waits for jobs to end: longer than for a broker that is briefly unavailable."""
        return self._wait_seconds is not None

    async def begin(self, backend: Backend) -> None:
        """Remember the position of the bus, before anything is sent."""
        if self._wait_seconds is not None:
            from hms_svc.operations.bus_positions import newest_position

            self._position = await newest_position(backend.bus)

    def accepted(self, answers: Sequence[Enqueued], types: Mapping[str, str]) -> None:
        """Record, and print unless waiting, what the broker answered."""
        from hms_svc.domain.lifecycle import TERMINAL, State
        from hms_svc.operations.answers.jobs import Accepted

        for answer in answers:
            type_name = types[answer.job_id]
            self._types[answer.job_id] = type_name
            if answer.state not in TERMINAL:
                self._waiting.add(type_name)
            if self._wait_seconds is not None:
                continue
            if answer.state in TERMINAL and answer.state is not State.COMPLETED:
                self._refused.append(answer.job_id)
            accepted = Accepted.of(type_name, answer)
            if self._as_json:
                emit(accepted)
            elif len(self._types) <= SHOWN:
                echo(f"{answer.job_id}  {type_name}  {answer.state}{_remark(answer)}")

    async def finish(self, backend: Backend, handlers: Collection[str]) -> int:
        """Wait if requested; return the exit code: 3 if a job did not end as completed.

        Types of jobs that nobody serves are reported first; `handlers` are the types that are known here.
        """
        await self._report_unserved(backend, handlers)
        if self._wait_seconds is not None:
            return await self._wait(backend, self._wait_seconds)
        if not self._as_json and len(self._types) > SHOWN:
            echo(f"… {len(self._types):,} jobs in all")
        await self._report_refused(backend)
        return NOT_ALL if self._refused else DONE

    async def _report_unserved(self, backend: Backend, handlers: Collection[str]) -> None:
        from hms_svc.services import PRODUCED

        known = {*handlers, *PRODUCED}
        if not self.waits and self._waiting <= known:
            return
        from hms_svc.operations.unserved_types import obstacles, unknown_types

        types = sorted(self._waiting)
        if self.waits:
            now_ms = time.time_ns() // 1_000_000
            found = await obstacles(types, known, backend.inspection, now_ms)
        else:
            unknown = await unknown_types(types, known, backend.inspection)
            found = [f"warning: {sentence}" for sentence in unknown]
        for sentence in found[:SHOWN]:
            hint(sentence)

    async def _report_refused(self, backend: Backend) -> None:
        if not self._refused:
            return
        for detail in await backend.inspection.details(self._refused[:SHOWN]):
            if detail is not None:
                view = detail.view
                hint(f"{view.id} is {view.state}, {view.reason}: {view.detail}")
        if len(self._refused) > SHOWN:
            hint(f"… {len(self._refused):,} jobs in all will not run")

    async def _wait(self, backend: Backend, limit: float) -> int:
        from hms_svc.operations.job_watch import Watch

        watch = Watch(
            list(self._types),
            inspection=backend.inspection,
            bus=backend.bus,
            after=self._position,
        )
        code = DONE
        try:
            with progress("wait", len(self._types)) as advance:
                async with asyncio.timeout(limit):
                    async for detail in watch.ended():
                        advance(1)
                        code = max(code, self._print_ended(detail))
        except TimeoutError:
            await self._print_pending(backend, list(watch.pending))
            return TIMED_OUT
        if not self._as_json and len(self._types) > SHOWN:
            echo(", ".join(f"{count:,} {state}" for state, count in self._ended.items()))
        return code

    def _print_ended(self, detail: JobDetail) -> int:
        from hms_svc.domain.lifecycle import State
        from hms_svc.operations.answers.jobs import WaitedJob

        view = detail.view
        self._ended[view.state.value] += 1
        if self._as_json:
            emit(WaitedJob.of(detail))
            flush()
        elif self._printed < SHOWN:
            self._printed += 1
            why = f"  {view.reason}: {view.detail}" if view.reason else ""
            echo(f"{view.id}  {view.type}  {view.state}{why}")
        return DONE if view.state is State.COMPLETED else NOT_ALL

    async def _print_pending(self, backend: Backend, pending: Sequence[str]) -> None:
        from hms_svc.operations.answers.jobs import WaitedJob

        hint(f"timed out: {len(pending):,} of {len(self._types):,} have not finished")
        for detail in await backend.inspection.details(pending[:SHOWN]):
            if detail is None:
                continue
            if self._as_json:
                emit(WaitedJob.of(detail))
            else:
                echo(f"{detail.view.id}  {detail.view.type}  {detail.view.state}")
