"""A declared job type: its handler, and the jobs of its type."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, Generic, TypedDict, Unpack

from hms_svc.api.type_variables import HandlerT_co, PayloadT, ResultT_co
from hms_svc.domain.errors import MalformedJob
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.payload import is_model, plain_data
from hms_svc.sdk.storable_text import writable

if TYPE_CHECKING:
    from hms_svc.api.awaitable_handle import Handle as AwaitableHandle
    from hms_svc.api.handle import Handle
    from hms_svc.api.handle_calls import ReadResult
    from hms_svc.api.jobs import Job


class SharedOptions(TypedDict, total=False):
    """The options of `hms_svc.Job` that many jobs can share."""

    delay: timedelta | None
    not_before: datetime | None
    expires_at: datetime | None
    priority: int | None
    max_attempts: int | None
    traceparent: str | None
    tracestate: str | None
    meta: dict[str, Any] | None


class JobOptions(SharedOptions, total=False):
    """The options of `hms_svc.Job`."""

    id: str | None
    unique_key: str | None


class DeclaredType(Generic[PayloadT, ResultT_co, HandlerT_co]):
    """A job type that `Registry.job` has declared: called, it is the handler.

    A payload is an instance of the declared model, or the data of one; plain JSON data if no model is
    declared. It is validated before anything is enqueued, as the worker will validate it, and the unique key
    and the priority that the type declares are set; MalformedJob names the field and its value.
    """

    def __init__(self, declared: JobType) -> None:
        self._declared = declared
        update_wrapper(self, declared.handler, updated=())

    @property
    def __call__(self) -> HandlerT_co:
        """The handler."""
        handler: Any = self._declared.handler
        called: HandlerT_co = handler
        return called

    def __repr__(self) -> str:
        return f"<job type {self.type} of {self._declared.place}>"

    @property
    def type(self) -> str:
        """The name of the type."""
        return self._declared.type

    def job(self, payload: PayloadT | dict[str, Any], **options: Unpack[JobOptions]) -> Job:
        """Return a job of this type that is not enqueued yet. Raises MalformedJob or MalformedJson."""
        from hms_svc.api.jobs import Job
        from hms_svc.sdk.job_defaults import complete_declared

        job = Job(self.type, self._data(payload), **options)
        job.envelope = complete_declared(job.envelope, self._declared)
        return job

    async def enqueue(
        self, payload: PayloadT | dict[str, Any], **options: Unpack[JobOptions]
    ) -> AwaitableHandle[ResultT_co]:
        """Enqueue a job of this type, and return its handle once it is durable.

        Raises MalformedJob or MalformedJson for an invalid payload or option, IdConflict if the id belongs
        to another job, and BrokerUnavailable.
        """
        [handle] = await self._enqueue_here([self.job(payload, **options)])
        return handle

    async def enqueue_all(
        self, payloads: Iterable[PayloadT | dict[str, Any]], **options: Unpack[SharedOptions]
    ) -> list[AwaitableHandle[ResultT_co]]:
        """Enqueue a job for each payload, 5,000 per commit, and return their handles in this order.

        All have the same options. Nothing is enqueued if a payload is invalid.
        """
        return await self._enqueue_here(self._jobs("enqueue_all", payloads, options))

    def enqueue_blocking(
        self, payload: PayloadT | dict[str, Any], **options: Unpack[JobOptions]
    ) -> Handle[ResultT_co]:
        """Enqueue a job of this type as `enqueue` does, and block until it is durable."""
        [handle] = self._enqueue([self.job(payload, **options)], "enqueue")
        return handle

    def enqueue_all_blocking(
        self, payloads: Iterable[PayloadT | dict[str, Any]], **options: Unpack[SharedOptions]
    ) -> list[Handle[ResultT_co]]:
        """Enqueue a job for each payload as `enqueue_all` does, and block until all are durable."""
        jobs = self._jobs("enqueue_all_blocking", payloads, options)
        return self._enqueue(jobs, "enqueue_all")

    def _jobs(
        self,
        call: str,
        payloads: Iterable[PayloadT | dict[str, Any]],
        options: SharedOptions,
    ) -> list[Job]:
        from hms_svc.api.new_job import all_of

        given = all_of(f"{self._name}.{call}", "payloads", payloads)
        return [self.job(payload, **options) for payload in given]

    async def _enqueue_here(self, jobs: list[Job]) -> list[AwaitableHandle[ResultT_co]]:
        from hms_svc.api.awaitable_handle import Handle
        from hms_svc.api.handle_calls import submit_here

        submitted = await submit_here(jobs)
        return submitted.handles(Handle, jobs, self._read_result)

    def _enqueue(self, jobs: list[Job], counterpart: str) -> list[Handle[ResultT_co]]:
        from hms_svc.api.handle import Handle
        from hms_svc.api.handle_calls import submit
        from hms_svc.api.portal import block

        submitted = block(lambda: submit(jobs), f"{self._name}.{counterpart}")
        return submitted.handles(Handle, jobs, self._read_result)

    @property
    def _name(self) -> str:
        return getattr(self, "__name__", self.type)

    @cached_property
    def _read_result(self) -> ReadResult:
        from hms_svc.api.result_types import result_reader

        return result_reader(self._declared.handler)

    def _data(self, payload: Any) -> Any:
        model = self._declared.payload
        if model is None or not is_model(payload):
            return payload
        if not isinstance(payload, model):
            given = type(payload).__name__
            message = f"data: expected {model.__name__}, the payload of {self.type}; got {given}"
            raise MalformedJob(message, "data")
        try:
            return plain_data(payload)
        except Exception as error:
            raised = f"{type(error).__name__}: {writable(error)[:200]}"
            message = f"data: {model.__name__} cannot be written as JSON: {raised}"
            raise MalformedJob(message, "data") from error
