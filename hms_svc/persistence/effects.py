"""Effects of jobs: decided for a whole group, then written with a few statements."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import Connection, LargeBinary, cast, literal, null, select, union_all

from hms_svc.domain import failpoints
from hms_svc.domain.strict_json import encode_sorted
from hms_svc.domain.views import AuditRecord
from hms_svc.persistence import analytics, audit, outbox, transactions
from hms_svc.persistence.engine import Engine, Lock
from hms_svc.persistence.fences import highest_fence, raise_fences
from hms_svc.persistence.nearby_cases import (
    NearbyCases,
    OpenCase,
    read_nearby,
    wanted_cells,
)
from hms_svc.persistence.permissions import read_permissions, write_permissions
from hms_svc.persistence.places import cell_of
from hms_svc.persistence.statements import Query, among, insert_rows, write_together
from hms_svc.persistence.tables import cases, job_effects
from hms_svc.ports.clock import Clock
from hms_svc.ports.stores import EffectRequest, PlaceQuery, RefusedEffect, StoredEffect
from hms_svc.ports.transactions import TransactionRequest, Write

Answer: TypeAlias = StoredEffect | RefusedEffect
CASE_OPENED: Final = "case.opened"
_OF_CASES: Final = select(
    cases.c.number, cases.c.job_id, cases.c.key, cases.c.id, cases.c.digest, cases.c.vetted
).where(among(cases.c.job_id))
_EFFECTS: Final = Query(_OF_CASES)
_RECALLED: Final = Query(
    union_all(
        _OF_CASES.add_columns(cast(null(), LargeBinary).label("value")),
        select(
            job_effects.c.number,
            job_effects.c.job_id,
            job_effects.c.key,
            literal("").label("id"),
            literal("").label("digest"),
            job_effects.c.vetted,
            job_effects.c.value,
        ).where(among(job_effects.c.job_id)),
    )
)
"""Cases, whose value is null, and transactions: one round trip."""
_INSERT = insert_rows(
    cases,
    *("id", "job_id", "key", "digest", "vetted", "kind", "status", "lat", "lon", "open_cell"),
    *("user_id", "urgency", "opened_at", "closed_at", "data"),
)


class SqlEffects:
    """Implements ports.stores.EffectStore."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def commit(self, requests: Sequence[EffectRequest]) -> list[Answer]:
        if not requests:
            return []
        lock, clock = self._engine.lock, self._clock
        return await self._engine.write(lambda on: _commit(on, requests, clock, lock))

    async def transact(self, request: TransactionRequest, write: Write) -> Answer:
        begin, end = transactions.begin, transactions.end
        clock = self._clock
        return await self._engine.transact(
            lambda on: begin(on, request, clock),
            write,
            lambda on, written: end(on, request, written, clock.now_ms()),
            seconds=request.seconds,
        )

    async def recall(self, claims: Sequence[tuple[str, int]]) -> list[tuple[StoredEffect, ...]]:
        if not claims:
            return []
        now = self._clock.now_ms()
        return await self._engine.write_apart(lambda on: _recall(on, claims, now))

    async def highest_fence(self) -> int:
        return await self._engine.read(highest_fence)


def _commit(
    connection: Connection, requests: Sequence[EffectRequest], clock: Clock, lock: Lock
) -> list[Answer]:
    """Decide each request in order, and write the accepted ones."""
    queries = [_place_of(request) for request in requests]
    of_each, wanted = wanted_cells(queries)
    claims = [(request.job_id, request.fence) for request in requests if request.fence]
    fences = raise_fences(connection, claims, clock.now_ms())
    lock(connection, sorted(set().union(*wanted.values())))
    group = _Group(
        fences,
        _read_effects(connection, {request.job_id for request in requests}),
        read_nearby(connection, wanted),
        clock.lease_ms(),
    )
    answers = [group.decide(*parts) for parts in zip(requests, queries, of_each, strict=True)]
    _write(connection, group.accepted)
    if failpoints.armed is not None:
        failpoints.reached("effect.within")
    return answers


def _recall(
    connection: Connection, claims: Sequence[tuple[str, int]], at: int
) -> list[tuple[StoredEffect, ...]]:
    raise_fences(connection, claims, at)
    found: defaultdict[str, list[StoredEffect]] = defaultdict(list)
    rows = _RECALLED.run(connection, values={job_id for job_id, _ in claims})
    rows.sort(key=lambda row: (row[-1] is not None, row[0]))
    for _, job_id, key, id, digest, vetted, value in rows:
        found[job_id].append(
            _case_effect(job_id, key, id, digest, vetted)
            if value is None
            else transactions.committed_effect(job_id, key, vetted, value)
        )
    return [tuple(found[job_id]) for job_id, _ in claims]


class _Group:
    """One group of requests: what was stored before it, and what it adds."""

    def __init__(
        self,
        fences: dict[str, int],
        stored: dict[str, dict[str, StoredEffect]],
        nearby: NearbyCases,
        lease_now: int,
    ) -> None:
        self._fences = fences
        self._stored = stored
        self._nearby = nearby
        self._lease_now = lease_now
        self.accepted: list[tuple[EffectRequest, int | None]] = []

    def decide(
        self, request: EffectRequest, query: PlaceQuery | None, cells: Sequence[int]
    ) -> Answer:
        if self._has_lost(request):
            return RefusedEffect("fence")
        existing = self._stored.get(request.job_id, {}).get(request.key)
        if existing is not None:
            same = existing.digest == request.digest
            return existing if same else RefusedEffect("conflict", existing.case_id)
        if query and (rival := self._nearby.nearest(query, cells)):
            return RefusedEffect("duplicate", rival.case_id, rival.distance_m)
        return self._accept(request, query)

    def _has_lost(self, request: EffectRequest) -> bool:
        if 0 < request.fence < self._fences.get(request.job_id, 0):
            return True
        return request.valid_until is not None and self._lease_now >= request.valid_until

    def _accept(self, request: EffectRequest, query: PlaceQuery | None) -> StoredEffect:
        effect = StoredEffect(
            request.job_id, request.key, request.case.id, request.digest, request.vetted
        )
        self._stored.setdefault(request.job_id, {})[request.key] = effect
        cell = None
        if query:
            cell = cell_of(query.lat, query.lon)
            rival = OpenCase(cell, request.case.id, request.job_id, query.lat, query.lon)
            self._nearby.add(query.kind, rival)
        self.accepted.append((request, cell))
        return msgspec.structs.replace(effect, fresh=True)


def _place_of(request: EffectRequest) -> PlaceQuery | None:
    case = request.case
    if case.lat is None or case.lon is None:
        return None
    return PlaceQuery(case.kind, case.lat, case.lon, request.radius_m, request.job_id)


def _read_effects(connection: Connection, job_ids: set[str]) -> dict[str, dict[str, StoredEffect]]:
    stored: dict[str, dict[str, StoredEffect]] = {}
    # Sorted by number here: with ORDER BY, PostgreSQL may read the whole table in that order.
    for _, job_id, *columns in sorted(_EFFECTS.run(connection, values=job_ids), key=itemgetter(0)):
        effect = _case_effect(job_id, *columns)
        stored.setdefault(job_id, {})[effect.key] = effect
    return stored


def _case_effect(job_id: str, key: str, id: str, digest: str, vetted: str) -> StoredEffect:
    return StoredEffect(job_id, key, id, digest, read_permissions(vetted))


def _write(connection: Connection, accepted: Sequence[tuple[EffectRequest, int | None]]) -> None:
    requests = [request for request, _ in accepted]
    messages: list[outbox.Message] = []
    opened: Counter[tuple[str, int]] = Counter()
    for request in requests:
        messages += [*request.events, *request.follow_ups]
        opened.update(analytics.of_case("cases.opened", request.case.kind, request.case.opened_at))
    parts = [
        (_INSERT, [_case_row(request, cell) for request, cell in accepted]),
        audit.insertion([_audit_record(request) for request in requests]),
        outbox.insertion(messages),
        analytics.increments(opened),
    ]
    write_together(connection, parts)


def _case_row(request: EffectRequest, cell: int | None) -> tuple[Any, ...]:
    case = request.case
    return (
        case.id,
        request.job_id,
        request.key,
        request.digest,
        write_permissions(request.vetted),
        case.kind,
        case.status.value,
        case.lat,
        case.lon,
        cell,
        case.user_id,
        case.urgency,
        case.opened_at,
        case.closed_at,
        case.data,
    )


def _audit_record(request: EffectRequest) -> AuditRecord:
    case = request.case
    detail = {"fence": request.fence, "job_id": request.job_id, "kind": case.kind}
    return AuditRecord(
        at=case.opened_at,
        actor=request.actor,
        action=CASE_OPENED,
        subject=case.id,
        detail=encode_sorted(detail),
    )
