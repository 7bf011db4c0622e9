"""A bench: the jobs of one application, run within a test on a real broker and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from inspect import isroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import msgspec

from hms_svc import bootstrap
from hms_svc.api.jobs import Job
from hms_svc.api.portal import Portal, lend
from hms_svc.api.service_here import is_job_awaited
from hms_svc.domain.errors import BadInput, HmsError
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import MAX_PRIORITY
from hms_svc.domain.verdict import Effect
from hms_svc.observability.application_logs import application_logging
from hms_svc.ports.control import Act
from hms_svc.runtime.inline_worker import EndedRun, InlineWorker
from hms_svc.runtime.scheduler import Scheduler
from hms_svc.runtime.worker_options import Engines
from hms_svc.sdk.captured_output import captured_output
from hms_svc.sdk.job_defaults import complete_declared, stamped
from hms_svc.sdk.open_resources import opened_resources
from hms_svc.sdk.payload import is_model, plain_data
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import find_job
from hms_svc.settings import load_settings
from hms_svc.testing.empty_files import make_files
from hms_svc.testing.records import (
    CaseRecord,
    JobRecord,
    Outcome,
    case_record,
    job_record,
    outcome_of,
    outcome_without_run,
)
from hms_svc.testing.surroundings import (
    BenchClock,
    BenchPolicy,
    own_environment,
    temporary_folder,
)

if TYPE_CHECKING:
    from hms_svc.api.declared_type import DeclaredType
    from hms_svc.sdk.job_type import JobType

Result = TypeVar("Result")
Resources = Mapping[Any, Any]
_ACTOR: Final = "bench"
MOST_RUNS: Final = 10_000
_PLACES: Final = frozenset({"broker_url", "database_url", "data_dir"})
_WAITING: Final = "state:queued,scheduled"


class Bench:
    """Runs the jobs of a registry within a test: `with Bench(registry) as bench:`.

    It has a broker and a database of its own in a temporary folder, empty at first. While the block
    runs, `Job`, declared types, handles, `dao`, `gov` and `sql.transaction` work on them in the whole process.
    Between the calls of the bench nothing runs: a test decides when jobs run, and how much time passes.

    `resources` has, by type, what takes the place of resources and settings of the application: the
    resource itself, or a function that opens it, as `registry.resource` takes it. What it does not replace is opened as declared.
    `settings` are settings of hms-svc, by name, such as `case_radius_m`.

    All calls block, and may also be made in a coroutine of a test. Raises what a worker would not start with:
    BadInput, BadSetting or ResourceFailed.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        resources: Resources | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._registry = registry
        self._replaced = {
            type: given if isroutine(given) else _returning(given)
            for type, given in (resources or {}).items()
        }
        self._given = dict(settings or {})
        for name in _PLACES & self._given.keys():
            raise BadInput(f"settings {name}: the bench has a broker and a database of its own")
        self._clock = BenchClock()
        self._policy = BenchPolicy()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = stack.enter_context(temporary_folder())
            own = {"data_dir": str(folder), "actor": _ACTOR, "sqlite_synchronous": "NORMAL"}
            variables = {"HMS_SVC_DATA_DIR": str(folder), "HMS_SVC_ACTOR": _ACTOR}
            stack.enter_context(own_environment(variables))
            self._settings = load_settings({**own, **self._given}, environ={}).settings
            self._portal = Portal(self._settings, self._clock, self._policy)
            stack.callback(self._portal.close)
            stack.enter_context(lend(self._portal))
            self._open()
            stack.callback(self._close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def run(self, type: DeclaredType[Any, Any, Any] | str, payload: Any, **options: Any) -> Outcome:
        """Enqueue one job, run it at once, before all that wait, and return what became of it.

        The job passes all that a worker takes it through: payload model, middleware, validators,
        governance, handler and settlement. `options` are those of `hms_svc.Job`. The payload is not
        validated before. A job that is not ready, because of a delay or a limit, does not run: `state` says so.
        """
        declared = self._declared(type)
        job = Job(declared.type, _data(payload), **options)
        job.envelope = msgspec.structs.replace(
            stamped(job.envelope, declared), priority=MAX_PRIORITY
        )
        return self._call(lambda: self._run(job))

    def enqueue(
        self, type: DeclaredType[Any, Any, Any] | str, payload: Any, **options: Any
    ) -> JobRecord:
        """Enqueue one job, as a program does that knows the type, and return it; it does not run yet.

        `options` are those of `hms_svc.Job`. Raises MalformedJob for a payload that the model refuses.
        """
        declared = self._declared(type)
        job = Job(declared.type, _data(payload), **options)
        job.envelope = complete_declared(job.envelope, declared)
        job.enqueue()
        return self.job(job.id)

    def drain(self) -> list[Outcome]:
        """Run all jobs that are ready, and those that become ready by it, and return the outcomes of the runs.

        Raises AssertionError after 10,000 runs: jobs that enqueue jobs without end would run forever.
        They run one after the other, in the order in which a worker claims them. While a handler waits
        for the result of another job, or has run for more than about a second, others run beside it.
        """
        return self._call(self._drain)

    def advance(self, seconds: float) -> None:
        """Let time pass: jobs that are due by then are ready, and so are the ticks of schedules.

        Nothing runs by that; call `drain`. Of each schedule there are as many runs as after an outage.
        """
        self._call(lambda: self._advance(seconds))

    def kill_before_settlement(self) -> None:
        """Kill the worker at the end of its next job: after the handler has returned, before that is recorded.

        What the job has written and enqueued stays. That `run` or `drain` ends with the kill; the next
        `drain` runs the job again, as another worker would.
        """
        self._worker.kill_next = True

    def allow(self, action: str) -> None:
        """Let governance allow an action. This is so for each action until something else is set."""
        self._policy.set(action, Effect.ALLOW, "")

    def hold(self, action: str, reason: str = "held by the test") -> None:
        """Let governance hold an action: its job waits for `approve`."""
        self._policy.set(action, Effect.HOLD, reason)

    def deny(self, action: str, reason: str = "denied by the test") -> None:
        """Let governance deny an action: its job is rejected."""
        self._policy.set(action, Effect.DENY, reason)

    def approve(self, job: str | JobRecord | Outcome) -> None:
        """Approve a held job, as an operator does; it is ready then."""
        job_id = job if isinstance(job, str) else job.id
        self._call(lambda: self._act(Act.APPROVE, job_id))

    def job(self, id: str) -> JobRecord:
        """Return a job by its id; AssertionError if there is none."""
        found = self._call(lambda: self._details([id]))
        if not found:
            raise AssertionError(f"there is no job {id!r}; {self._listed(self.jobs())}")
        return found[0]

    def jobs(self, where: str = "") -> list[JobRecord]:
        """Return the jobs that match a filter, such as `type:permit.apply state:dead`, oldest first."""
        return self._call(lambda: self._find(where))

    def enqueued(self, type: DeclaredType[Any, Any, Any] | str | None = None) -> list[JobRecord]:
        """Return the jobs that wait for a run, queued or scheduled, oldest first; of one type if it is given."""
        waiting = self.jobs(_WAITING)
        name = None if type is None else _name_of(type)
        return [job for job in waiting if name in (None, job.type)]

    def only_enqueued(self, type: DeclaredType[Any, Any, Any] | str) -> JobRecord:
        """Return the one job of a type that waits for a run; AssertionError if it is not exactly one."""
        waiting = self.enqueued(type)
        if len(waiting) != 1:
            raise AssertionError(
                f"{len(waiting)} jobs of type {_name_of(type)} wait for a run, not 1; "
                f"{self._listed(self.jobs())}"
            )
        return waiting[0]

    def cases(self) -> list[CaseRecord]:
        """Return all cases, oldest first."""
        return self._call(self._cases)

    def _declared(self, type: DeclaredType[Any, Any, Any] | str) -> JobType:
        name = _name_of(type)
        declared = self._registry.get(name)
        if declared is None:
            known = ", ".join(sorted(each.type for each in self._registry))
            raise BadInput(f"the bench has no type {name!r}; its types are: {known or 'none'}")
        return declared

    def _listed(self, jobs: list[JobRecord]) -> str:
        shown = "".join(
            f"\n  {job.type} {job.id} is {job.state}, data {job.data!r:.80}" for job in jobs
        )
        return f"the jobs are:{shown}" if jobs else "there are no jobs"

    def _open(self) -> None:
        async def begin() -> tuple[asyncio.Task[None], asyncio.Event]:
            opened, stop = asyncio.Event(), asyncio.Event()
            task = asyncio.create_task(self._serve(opened, stop), name="bench")
            waits = asyncio.create_task(opened.wait())
            await asyncio.wait({task, waits}, return_when=asyncio.FIRST_COMPLETED)
            waits.cancel()
            if task.done():
                await task
            return task, stop

        self._serving, self._stop = self._portal.submit(begin()).result()

    def _close(self) -> None:
        async def end() -> None:
            self._stop.set()
            await self._serving
            await asyncio.get_running_loop().shutdown_default_executor()

        self._portal.submit(end()).result()

    async def _serve(self, opened: asyncio.Event, stop: asyncio.Event) -> None:
        """Have the resources open until the end: opened and closed by one task, as in a worker."""
        await make_files(self._settings)
        backend = await self._portal.backend()
        database = await self._portal.open_database()
        async with opened_resources(self._registry, {}, self._replaced) as bound:
            self._engines = Engines(
                backend.broker,
                backend.inspection,
                backend.control,
                backend.bus,
                database,
                self._policy,
                self._registry,
                self._clock,
                None,
                bound,
            )
            options = bootstrap.worker_options(self._settings, worker_id=_ACTOR)
            self._worker = InlineWorker(self._engines, options, is_job_awaited=is_job_awaited)
            try:
                opened.set()
                await stop.wait()
            finally:
                self._worker.close()

    def _call(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        if find_job() is not None:
            raise HmsError("a job of the bench calls the bench: call it in the test, between runs")
        return self._portal.submit(work(), is_bounded=False).result()

    async def _run(self, job: Job) -> Outcome:
        await self._engines.broker.enqueue([job.envelope])
        with self._kept_output():
            runs = await self._worker.work({job.type}, until=job.id)
        for ended in runs:
            if ended.job_id == job.id:
                return await self._outcome(ended)
        [record] = await self._details([job.id])
        return outcome_without_run(record)

    async def _drain(self) -> list[Outcome]:
        with self._kept_output():
            runs = await self._worker.work(most=MOST_RUNS)
        if len(runs) >= MOST_RUNS:
            raise AssertionError(
                f"{len(runs)} jobs have run, and there may be more without end; the last one is "
                f"{runs[-1].type} {runs[-1].job_id}"
            )
        return [await self._outcome(ended) for ended in runs]

    @contextmanager
    def _kept_output(self) -> Iterator[None]:
        """Keep what jobs print and log with them; it reaches the test's own streams and handlers, too."""
        settings = self._settings
        with (
            application_logging(settings.log_level, settings.log_format),
            captured_output(pass_on=True),
        ):
            yield

    async def _outcome(self, ended: EndedRun) -> Outcome:
        ids = dict.fromkeys(each.case_id for each in ended.effects)
        cases = [await self._engines.database.cases.get(case_id) for case_id in ids]
        found = tuple(case_record(case) for case in cases if case is not None)
        return outcome_of(ended, found, self._clock.now_ms())

    async def _advance(self, seconds: float) -> None:
        engines = self._engines
        scheduler = Scheduler(engines.broker, engines.registry, engines.clock)
        await scheduler.run_once()
        self._clock.advance(seconds)
        await scheduler.run_once()

    async def _act(self, act: Act, job_id: str) -> None:
        await (await self._portal.jobs()).act(act, job_id, "")

    async def _details(self, ids: list[str]) -> list[JobRecord]:
        found = await self._engines.inspection.details(ids)
        now = self._clock.now_ms()
        return [job_record(detail, now) for detail in found if detail is not None]

    async def _find(self, where: str) -> list[JobRecord]:
        page = await self._engines.inspection.page(parse_filter(where), limit=0, cursor=None)
        views = list(reversed(page.jobs))  # within a millisecond the sort keeps this order
        views.sort(key=lambda view: view.enqueued_at)
        return await self._details([view.id for view in views])

    async def _cases(self) -> list[CaseRecord]:
        found, _ = await self._engines.database.cases.page(
            status=None, kind=None, limit=0, cursor=None
        )
        return [case_record(case) for case in reversed(found)]


def _returning(resource: Any) -> Callable[[], Any]:
    def given() -> Any:
        return resource

    return given


def _name_of(type: DeclaredType[Any, Any, Any] | str) -> str:
    return type if isinstance(type, str) else type.type


def _data(payload: Any) -> Any:
    return plain_data(payload) if is_model(payload) else payload
