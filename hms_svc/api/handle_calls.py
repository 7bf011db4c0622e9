"""What both forms of a handle share; and the calls behind them, each written once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, NoReturn, TypeVar

from hms_svc.api.new_job import NewJob, enqueue, enqueue_here
from hms_svc.api.service_here import job_service
from hms_svc.api.type_variables import ResultT_co
from hms_svc.domain.errors import (
    BadInput,
    JobCancelled,
    JobDead,
    JobFailed,
    JobNotEnded,
    JobRejected,
)
from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.domain.strict_json import decode
from hms_svc.domain.views import JobDetail
from hms_svc.ports.broker import Acceptance, Enqueued
from hms_svc.sdk.value_checks import check_text

ReadResult = Callable[[str, bytes], Any]
"""Takes the id of a job and its result as JSON bytes, and returns what a caller gets."""
_ENDED_BY: Final[dict[State, tuple[type[JobFailed], str]]] = {
    State.REJECTED: (JobRejected, "was rejected"),
    State.DEAD: (JobDead, "is dead"),
    State.CANCELLED: (JobCancelled, "was cancelled"),
}


class Progress(NamedTuple):
    """The last report of a handler: a share from 0 to 1, None if it gave none, and a message."""

    share: float | None
    message: str


def read_json(job_id: str, raw: bytes) -> Any:
    """Return a result as plain data."""
    return decode(raw)


class JobHandle(Generic[ResultT_co]):
    """One job at the broker: what is known of it without asking.

    `last_state` is its state when this handle last read it: at first what the submission answered
    ("queued", "scheduled", "rejected"), or the state at which it was found.
    `existed` is whether the job was known before it was submitted through this handle, with the
    same type and data.
    `held_by` is the id of the job that holds its unique key, if it was rejected for that;
    `replaced` that of the waiting job that was cancelled for this one.
    """

    __slots__ = ("_read_result", "existed", "held_by", "id", "last_state", "replaced", "type")

    def __init__(
        self,
        id: str,
        type: str,
        last_state: str,
        *,
        existed: bool = False,
        held_by: str | None = None,
        replaced: str | None = None,
        read_result: ReadResult = read_json,
    ) -> None:
        self.id = id
        self.type = type
        self.last_state = last_state
        self.existed = existed
        self.held_by = held_by
        self.replaced = replaced
        self._read_result = read_result

    def __repr__(self) -> str:
        return f"Handle(id={self.id!r}, type={self.type!r}, last_state={self.last_state!r})"

    async def _read(self) -> JobDetail:
        detail = await (await job_service()).detail(self.id)
        self.last_state = detail.view.state.value
        return detail

    async def _state(self) -> str:
        return (await self._read()).view.state.value

    async def _progress(self) -> Progress | None:
        line = (await self._read()).last_progress
        return None if line is None else Progress(line.share, line.message)

    async def _why(self) -> str:
        return await (await job_service()).why(self.id)

    async def _cancel(self, reason: str) -> str:
        check_text("reason", reason, "'the office is closed'")
        return await (await job_service()).cancel(self.id, reason)

    async def _result(self, seconds: float | None) -> Any:
        check_timeout(seconds)
        detail = await self._read()
        if detail.view.state not in TERMINAL:
            detail = await self._end(seconds)
            self.last_state = detail.view.state.value
        if detail.view.state is not State.COMPLETED:
            _raise_failed(detail)
        return self._read_result(self.id, detail.result or b"null")

    async def _end(self, seconds: float | None) -> JobDetail:
        service = await job_service()
        try:
            async with asyncio.timeout(seconds) as limit:
                return await service.ends.end_of(self.id)
        except TimeoutError:
            if not limit.expired():
                raise
        state = await self._state()
        message = f"job {self.id} ({self.type}) did not end within {seconds:g} s: it is {state}"
        raise JobNotEnded(message, job_id=self.id, state=state)


def check_timeout(seconds: Any) -> None:
    """Raise BadInput for what is not a number of seconds from 0, or None."""
    if seconds is not None and not (type(seconds) in (int, float) and seconds >= 0):
        raise BadInput(f"timeout {seconds!r:.40} is not a number of seconds from 0, or None")


def _raise_failed(detail: JobDetail) -> NoReturn:
    view = detail.view
    error, ended = _ENDED_BY[view.state]
    by = f"by {view.by}" if view.by not in ("", view.reason) else ""
    causes = ", ".join(filter(None, (view.reason, by)))
    message = f"job {view.id} ({view.type}) {ended}" + (f" ({causes})" if causes else "")
    raise error(
        f"{message}: {view.detail}" if view.detail else message,
        job_id=view.id,
        type=view.type,
        reason=view.reason,
        by=view.by,
        detail=view.detail,
    )


HandleT = TypeVar("HandleT", bound=JobHandle[Any])


class Found(NamedTuple):
    """A job as it was found."""

    id: str
    type: str
    state: str


async def find(job_id: str) -> Found:
    """Return the job of an id; UnknownId if neither the broker nor the archive has it."""
    check_text("id", job_id, "'permit-17'")
    view = (await (await job_service()).detail(job_id)).view
    return Found(view.id, view.type, view.state.value)


async def find_all(where: str, limit: int) -> list[Found]:
    """Return the jobs that match a filter, as `JobService.page` does."""
    check_text("where", where, "'type:permit.apply state:dead'")
    return [
        Found(view.id, view.type, view.state.value)
        for view in await (await job_service()).page(where, limit)
    ]


class SubmittedJobs(NamedTuple):
    """What became of a submission: one answer for each job."""

    answers: Sequence[Enqueued]

    def handles(
        self, form: type[HandleT], jobs: Sequence[NewJob], read_result: ReadResult = read_json
    ) -> list[HandleT]:
        """Return the handles of the jobs, in their order."""
        return [
            form(
                job.id,
                job.type,
                answer.state.value,
                existed=answer.acceptance is Acceptance.EXISTS,
                held_by=answer.held_by,
                replaced=answer.replaced,
                read_result=read_result,
            )
            for job, answer in zip(jobs, self.answers, strict=True)
        ]


async def submit(jobs: Sequence[NewJob]) -> SubmittedJobs:
    """Submit jobs on the loop that the call belongs to; raises as `Job.enqueue` does."""
    return SubmittedJobs(await enqueue([job.envelope for job in jobs]))


async def submit_here(jobs: Sequence[NewJob]) -> SubmittedJobs:
    """Submit jobs from any running loop; raises as `Job.enqueue` does."""
    return SubmittedJobs(await enqueue_here([job.envelope for job in jobs]))
