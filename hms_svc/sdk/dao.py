"""The DAO: the only access to the case database, batched over all jobs of a worker."""

from __future__ import annotations

import asyncio
import hashlib
import reprlib
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from hms_svc.domain import failpoints
from hms_svc.domain.case import Case, CaseStatus
from hms_svc.domain.errors import (
    BadInput,
    DuplicateCase,
    EffectConflict,
    MalformedJob,
    NoActiveJob,
    Outage,
)
from hms_svc.domain.event import service_event
from hms_svc.domain.ids import RESERVED_PREFIX, new_job_id
from hms_svc.domain.ids import case_id as stable_case_id
from hms_svc.domain.job import Job
from hms_svc.domain.strict_json import (
    MAX_INTEGER,
    check_strict,
    decode,
    encode,
    encode_sorted,
)
from hms_svc.ports.clock import Clock
from hms_svc.ports.stores import (
    CaseStore,
    EffectRequest,
    EffectStore,
    NearCase,
    PlaceQuery,
    RefusedEffect,
    ReportCount,
    ReportStore,
    StoredEffect,
)
from hms_svc.sdk.attempt import Attempt
from hms_svc.sdk.batcher import Batcher
from hms_svc.sdk.effects import (
    check_follow_up,
    further_events,
    lease_lost,
    may_write,
    refuse_in_transaction,
)
from hms_svc.sdk.job_context import find_attempt, require_job
from hms_svc.sdk.own_thread import must_await
from hms_svc.sdk.uncancelled import to_the_end
from hms_svc.sdk.value_checks import check_text

Answer: TypeAlias = StoredEffect | RefusedEffect
CASE_OPENED = "case.opened"
HOUR_MS = 3_600_000


class Dao:
    """Lookups and inserts of the running job; concurrent calls share queries and commits.

    With `needs_job` it rejects callers without a job while a worker runs in this process.
    """

    def __init__(
        self,
        *,
        cases: CaseStore,
        reports: ReportStore,
        effects: EffectStore,
        clock: Clock,
        radius_m: float,
        actor: str,
        needs_job: bool = False,
    ) -> None:
        self._needs_job = needs_job
        self._clock = clock
        self._radius_m = radius_m
        self._actor = actor
        self._effects = effects
        self._near: Batcher[PlaceQuery, NearCase | None] = Batcher(cases.near)
        self._reports: Batcher[ReportCount, int] = Batcher(reports.count)
        self._commits: Batcher[EffectRequest, StoredEffect | RefusedEffect] = Batcher(
            effects.commit
        )

    async def nearest_case(
        self, lat: float, lon: float, *, kind: str | None = None, radius_m: float | None = None
    ) -> NearCase | None:
        """Return the nearest open case within the radius (metres), leaving out the job's own.

        Outside of a job the kind is `pothole` unless one is given. Raises
        NoActiveJob if there is no job and one is required.
        """
        job = self._job("dao.case_exists")
        if kind is not None:
            check_text("kind", kind, "'pothole'")
        if radius_m is not None and not (
            isinstance(radius_m, int | float)
            and not isinstance(radius_m, bool)
            and 0 <= radius_m <= sys.float_info.max
        ):
            raise BadInput(f"radius_m {reprlib.repr(radius_m)} is not a number of metres from 0")
        query = PlaceQuery(
            kind=kind or default_kind(job),
            lat=_degrees("lat", lat, 90),
            lon=_degrees("lon", lon, 180),
            radius_m=self._radius_m if radius_m is None else radius_m,
            not_of_job=job.id if job else "",
        )
        return await self._near.ask(query)

    async def case_exists(
        self, lat: float, lon: float, *, kind: str | None = None, radius_m: float | None = None
    ) -> bool:
        """Return whether an open case exists within the radius, leaving out the job's own."""
        return await self.nearest_case(lat, lon, kind=kind, radius_m=radius_m) is not None

    async def count_reports(self, user_id: str, *, within_ms: int = HOUR_MS) -> int:
        """Count this job as a report of the user; return how many distinct jobs have been counted."""
        refuse_in_transaction("dao.count_reports")
        job = find_attempt()
        if job is None:
            raise NoActiveJob("dao.count_reports counts the running job: call it inside one")
        now = self._clock.now_ms()
        return await self._reports.ask(ReportCount(user_id, job.id, now, now - within_ms))

    async def insert_case(
        self,
        data: Mapping[str, Any],
        key: str = "",
        events: Sequence[Mapping[str, Any]] = (),
        *,
        kind: str | None = None,
        urgency: int | None = None,
        follow_ups: Sequence[Job] = (),
    ) -> str:
        """Open a case, durably, once per (job id, key), and return its id.

        The case, its audit record, `case.opened`, the further `events` (each
        `{"type", "data"}`, optionally `"key"`) and `follow_ups` commit together.
        Raises DuplicateCase if an open case of the kind exists within the
        radius, EffectConflict if the key was used with other data, LeaseLost
        if this worker no longer owns the job, and the governance verdict if the action
        was denied, held or not answered; NoActiveJob in a validator and, if a job is required,
        outside of one. Outside of a job `kind` is required. The place is `lat` and
        `lon` of the data; without them no place is checked. A follow-up with
        the id `follow_up_id(job id, type)` is erased with its job.
        """
        refuse_in_transaction("dao.insert_case")
        job = self._job("dao.insert_case")
        if job is not None:
            may_write(job)
        elif kind is None:
            raise BadInput(
                "kind is missing: outside of a job there is no default; "
                "pass one, such as kind='pothole'"
            )
        events = _all_events(events)
        _check_case(data, key, kind, urgency)
        data = dict(data)
        check_strict(data)
        for follow_up in follow_ups:
            check_follow_up(follow_up, job)
        request = self._request(job, data, key, events, kind, urgency, follow_ups)
        if job is None:
            answer, cancelled = await to_the_end(self._commits.ask(request))
        else:
            answer, cancelled = await self._commit_for(job, partial(self._commits.ask, request))
        if isinstance(answer, StoredEffect):
            if cancelled:
                raise asyncio.CancelledError
            return answer.case_id
        raise _refusal(answer, request)

    def transaction(
        self, job: Attempt, function: Callable[[Any], Any], key: str = ""
    ) -> Coroutine[Any, Any, Any]:
        """Run a function in a transaction of the database, once per (job id, key); see RunningJob.transaction."""
        must_await("job.transaction", "dao.transaction")
        return self._transaction(job, function, key)

    async def _transaction(self, job: Attempt, function: Callable[[Any], Any], key: str) -> Any:
        refuse_in_transaction("transaction")
        may_write(job)
        if key in job.transactions:
            raise EffectConflict(
                f"job {job.id} has committed a transaction with the key {key!r} in this attempt: "
                "give each transaction of a handler a key of its own"
            )
        value = _committed(job, key)
        if value is None:
            value = await self._transact(job, function, key)
        job.transactions = (*job.transactions, key)
        return decode(value)

    async def _transact(self, job: Attempt, function: Callable[[Any], Any], key: str) -> bytes:
        from hms_svc.sdk.transactions import TransactionRun

        run = TransactionRun(job, function, self._clock)
        commit = partial(self._effects.transact, run.request(key), run.write)
        answer, cancelled = await self._commit_for(job, commit, run.stop)
        if cancelled:
            raise asyncio.CancelledError
        if isinstance(answer, RefusedEffect) or answer.value is None:
            raise lease_lost(job.id)
        return answer.value

    def _job(self, name: str) -> Attempt | None:
        job = find_attempt()
        if job is None and self._needs_job:
            require_job(name)
        return job

    async def _commit_for(
        self,
        job: Attempt,
        commit: Callable[[], Awaitable[Answer]],
        stop: Callable[[], None] = lambda: None,
    ) -> tuple[Answer, bool]:
        job.pending_commits += 1
        try:
            if failpoints.armed is not None:
                failpoints.reached("effect.before")
            with job.stage("commit"):
                answer, cancelled = await to_the_end(commit(), stop)
            if failpoints.armed is not None:
                failpoints.reached("effect.after")
        except Outage as outage:
            job.uncertain = outage
            raise
        finally:
            job.pending_commits -= 1
        if isinstance(answer, StoredEffect):
            job.effects = (*job.effects, answer)
        return answer, cancelled

    def _request(
        self,
        job: Attempt | None,
        data: dict[str, Any],
        key: str,
        events: Sequence[Mapping[str, Any]],
        kind: str | None,
        urgency: int | None,
        follow_ups: Sequence[Job],
    ) -> EffectRequest:
        now = self._clock.now_ms()
        job_id = job.id if job else f"{RESERVED_PREFIX}outside:{key or new_job_id()}"
        case = Case(
            id=stable_case_id(job_id, key),
            job_id=job_id,
            key=key,
            kind=kind or default_kind(job),
            lat=_place(data, "lat", 90),
            lon=_place(data, "lon", 180),
            user_id=data["user_id"] if isinstance(data.get("user_id"), str) else None,
            urgency=None if urgency is None else int(urgency),
            status=CaseStatus.OPEN,
            opened_at=now,
            data=encode(data),
        )
        if (case.lat is None) != (case.lon is None):
            raise MalformedJob(
                "a place needs both lat and lon", "lat" if case.lat is None else "lon"
            )
        trace = job.claimed.job.traceparent if job else None
        opened = service_event(job_id, CASE_OPENED, key, _announcement(case), now, trace)
        return EffectRequest(
            job_id=job_id,
            key=key,
            fence=job.claimed.token.fence if job else 0,
            digest=hashlib.sha256(encode_sorted([case.kind, data])).hexdigest(),
            case=case,
            radius_m=self._radius_m,
            actor=self._actor,
            events=(opened, *further_events(job, job_id, events, now)),
            follow_ups=tuple(job.carry_trace(follow_ups) if job else follow_ups),
            valid_until=job.lease_until if job else None,
            vetted=tuple(job.vetted[question] for question in sorted(job.vetted)) if job else (),
        )


def _committed(job: Attempt, key: str) -> bytes | None:
    """Return the value of a transaction that an earlier claim has committed, as JSON; else None."""
    for effect in job.effects:
        if effect.value is not None and effect.key == key:
            return effect.value
    return None


def _check_case(data: object, key: object, kind: object, urgency: object) -> None:
    """Raise BadInput for an argument of `insert_case` of another type than it declares."""
    if not isinstance(data, Mapping):
        kind_of = type(data).__name__
        raise BadInput(f"data is {kind_of}, not an object such as {{'lat': 38.9, 'lon': -77.03}}")
    check_text("key", key, "'second'")
    if kind is not None:
        check_text("kind", kind, "'pothole'")
    if urgency is not None and not (
        isinstance(urgency, int)
        and not isinstance(urgency, bool)
        and -MAX_INTEGER <= urgency < MAX_INTEGER
    ):
        raise BadInput(f"urgency {reprlib.repr(urgency)} is not a whole number, or None")


def _all_events(events: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return the events; raise BadInput for what is no list of objects, without showing what they contain."""
    refused = BadInput(f"events is {type(events).__name__}, not a list of {{'type': …, 'data': …}}")
    if isinstance(events, str | bytes | Mapping):
        raise refused
    try:
        every = tuple(events)
    except TypeError:
        raise refused from None
    for number, event in enumerate(every):
        if not isinstance(event, Mapping):
            raise BadInput(
                f"event {number} is {type(event).__name__}, not {{'type': …, 'data': …}}"
            )
    return every


def default_kind(job: Attempt | None) -> str:
    """Return the kind of case a job opens: its type without the last part, `pothole.report` → `pothole`."""
    if job is None:
        return "pothole"
    head, _, _ = job.type.rpartition(".")
    return head or job.type


def _announcement(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.id,
        "kind": case.kind,
        "lat": case.lat,
        "lon": case.lon,
        "urgency": case.urgency,
        "user_id": case.user_id,
    }


def _place(data: Mapping[str, Any], name: str, limit: int) -> float | None:
    value = data.get(name)
    return None if value is None else _degrees(name, value, limit)


def _degrees(name: str, value: object, limit: int) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not -limit <= value <= limit
    ):
        raise MalformedJob(f"{name} {value!r:.80} is not a number from -{limit} to {limit}", name)
    return float(value)


def _refusal(answer: RefusedEffect, request: EffectRequest) -> Exception:
    if answer.fault == "duplicate":
        return DuplicateCase(
            f"open case {answer.case_id} of kind {request.case.kind} is "
            f"{answer.distance_m:.1f} m away (within {request.radius_m:g} m)",
            case_id=answer.case_id,
        )
    if answer.fault == "conflict":
        return EffectConflict(
            f"job {request.job_id} has used the effect key {request.key!r} with other data"
        )
    return lease_lost(request.job_id)
