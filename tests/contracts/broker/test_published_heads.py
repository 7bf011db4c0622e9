"""The audit log compared with its published heads, on every broker: which changes are found, by whom, and when."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from hms_svc import bootstrap
from hms_svc.domain.audit_heads import DAY_MS, AuditHead, HeadSigner, event_of, head_of
from hms_svc.domain.audit_query import AuditQuery
from hms_svc.domain.errors import BadInput, Refused
from hms_svc.domain.event import AUDIT_SEALED, Event
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import AuditRecord
from hms_svc.operations.audit_chain import AuditChain
from hms_svc.operations.service import make_operations
from hms_svc.persistence.audit_walk import chained
from hms_svc.ports.database import Database
from hms_svc.runtime.audit_sealer import AuditSealer
from hms_svc.settings import Settings
from tests.support.broker_engines import BrokerHarness, ManualClock

KEY = "a key of this installation"


class Record:
    """One installation: a broker, a database, its sealers, and somebody who can write to the database."""

    def __init__(
        self, harness: BrokerHarness, database: Database, settings: Settings, clock: ManualClock
    ) -> None:
        self.harness = harness
        self.bus = harness.bus
        self.database = database
        self.settings = settings
        self.clock = clock

    def sealer(self, key: str = "") -> AuditSealer:
        signer = HeadSigner(self.settings.namespace, key)
        return AuditSealer(self.database.audit, self.bus, self.clock, signer)

    def operator(self, key: str = "", *, read_only: bool = False) -> AuditChain:
        return make_operations(
            replace(self.settings, audit_key=key),
            broker=self.harness.broker,
            inspection=self.harness.inspection,
            control=self.harness.control,
            bus=self.bus,
            database=self.database,
            clock=self.clock,
            read_only=read_only,
        ).audit

    async def act(self, count: int) -> None:
        rows = [
            AuditRecord(at=self.clock.wall, actor="ada", action="job.retry", subject=f"job-{n}")
            for n in range(count)
        ]
        await self.database.audit.append(rows)

    async def newest(self) -> AuditHead:
        head = (await self.bus.audit_anchor.heads()).newest
        assert head is not None
        return head

    async def findings(self, key: str = "") -> list[tuple[int, str]]:
        return [(fault.link, fault.fault) for fault in await self.operator(key).verify()]

    async def quiet_week(self) -> None:
        self.clock.wall += 8 * DAY_MS
        await self.harness.control.trim(limit=5000)

    async def announced(self) -> list[Event]:
        events = await self.bus.read(after=0, limit=1000)
        return [event for event in events if event.type == AUDIT_SEALED]

    def cut(self, last: int) -> None:
        with closing(sqlite3.connect(self.settings.database.path)) as connection, connection:
            connection.execute("DELETE FROM audit WHERE link > ?", (last,))

    def chain_anew(self, first: int) -> None:
        """Rewrite rows from a link on, and make a chain of them that holds by itself."""
        with closing(sqlite3.connect(self.settings.database.path)) as connection, connection:
            connection.execute("UPDATE audit SET actor = 'nobody' WHERE link >= ?", (first,))
            rows = connection.execute(
                "SELECT number, at, actor, action, subject, detail FROM audit ORDER BY link"
            ).fetchall()
            digest = ""
            for number, at, actor, action, subject, detail in rows:
                digest = chained(
                    digest,
                    AuditRecord(
                        number=number,
                        at=at,
                        actor=actor,
                        action=action,
                        subject=subject,
                        detail=detail,
                    ),
                )
                connection.execute("UPDATE audit SET digest = ? WHERE number = ?", (digest, number))


@pytest.fixture
async def record(
    harness: BrokerHarness, settings: Settings, clock: ManualClock
) -> AsyncIterator[Record]:
    database = bootstrap.database(settings, clock)
    await database.open()
    try:
        yield Record(harness, database, settings, clock)
    finally:
        await database.close()


async def test_an_installation_is_witnessed_from_its_first_row(record: Record) -> None:
    assert await record.findings() == []
    sealer = record.sealer()
    await record.act(3)
    await sealer.run_once()
    await record.act(2)
    await sealer.run_once()
    head = await record.newest()
    assert (head.link, head.unproven) == (5, 0)
    assert [head_of(event) for event in await record.announced()][-1] == head
    assert await record.findings() == []


async def test_workers_that_start_together_leave_nothing_unproven(record: Record) -> None:
    one, other = record.sealer(), record.sealer()
    await record.act(3)
    for sealer in (one, other, one, other):
        await sealer.run_once()
        await record.act(1)
    assert (await record.newest()).unproven == 0
    assert await record.findings() == []


async def test_rows_without_any_head_are_a_finding_that_says_what_to_do(record: Record) -> None:
    await record.act(2)
    await record.database.audit.seal()
    [fault] = await record.operator().verify()
    assert (fault.link, fault.fault) == (2, "no head")
    assert "hms-svc serve" in fault.text


@pytest.mark.parametrize("forgery", ["chained anew", "cut off"])
async def test_a_forgery_shows_when_the_bus_has_forgotten_the_head(
    record: Record, forgery: str
) -> None:
    sealer = record.sealer()
    await sealer.run_once()
    await record.act(6)
    await sealer.run_once()
    await record.quiet_week()
    assert await record.announced() == []
    assert await record.findings() == []
    if forgery == "cut off":
        record.cut(2)
        assert await record.findings() == [(6, "truncated")]
    else:
        record.chain_anew(3)
        assert await record.findings() == [(6, "rewritten")]


async def test_the_head_is_published_again_once_a_day_by_however_many_workers(
    record: Record,
) -> None:
    sealers = [record.sealer(), record.sealer()]
    await record.act(2)
    for sealer in sealers:
        await sealer.run_once()
    await record.quiet_week()
    for sealer in sealers * 3:
        await sealer.run_once()
    [event] = await record.announced()
    assert head_of(event) == await record.newest()
    assert event.at == record.clock.wall
    kept = await record.bus.audit_anchor.heads()
    assert [head.link for head in kept.all] == [2, 2]


@pytest.mark.parametrize("forgery", ["chained anew", "cut off"])
async def test_a_sealer_publishes_nothing_over_a_head_that_its_chain_has_not(
    record: Record, forgery: str, caplog: pytest.LogCaptureFixture
) -> None:
    sealer = record.sealer()
    await sealer.run_once()
    await record.act(6)
    await sealer.run_once()
    published = await record.newest()
    if forgery == "cut off":
        record.cut(2)
    else:
        record.chain_anew(3)
    await record.act(1)
    with caplog.at_level(logging.ERROR, "hms_svc.runtime"):
        for each in (sealer, record.sealer()):
            await each.run_once()
            await record.act(9)
            await each.run_once()
    assert await record.newest() == published
    assert "hms-svc audit accept" in caplog.text
    assert (await record.database.audit.sealed_chain([])).link > 6, "rows are sealed on"
    found = {fault for _, fault in await record.findings()} - {"missing"}
    assert found == {"contradicted", "rewritten"}


async def test_a_record_that_was_rewritten_for_a_while_stays_in_doubt(record: Record) -> None:
    sealer = record.sealer()
    await sealer.run_once()
    await record.act(6)
    await sealer.run_once()
    path = Path(record.settings.database.path)
    with closing(sqlite3.connect(path)) as connection, connection:
        [(digest,)] = connection.execute("SELECT digest FROM audit WHERE link = 6")
        connection.execute("UPDATE audit SET digest = 'x' WHERE link = 6")
    await record.sealer().run_once()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE audit SET digest = ? WHERE link = 6", (digest,))
    assert await record.findings() == [(6, "contradicted")]


async def test_a_broker_that_lost_its_heads_witnesses_from_then_on(record: Record) -> None:
    await record.act(4)
    await record.database.audit.seal()
    sealer = record.sealer()
    for _ in range(2):
        await sealer.run_once()
        await record.act(1)
    assert (await record.newest()).unproven == 4
    [fault] = await record.operator().verify()
    assert (fault.link, fault.fault) == (4, "unproven")
    assert "compare the database with a backup" in fault.text
    await record.operator().accept(note="compared with the copy of Monday")
    await sealer.run_once()
    assert (await record.newest()).unproven == 0
    assert await record.findings() == []


async def test_the_head_on_the_bus_of_an_older_program_is_taken(record: Record) -> None:
    await record.act(3)
    link, digest = await record.database.audit.seal() or (0, "")
    older = AuditHead(link=link, digest=digest, at=record.clock.wall)
    await record.bus.publish([event_of(older, f"{link}:{digest}")])
    assert await record.findings() == []
    await record.sealer().run_once()
    assert (await record.newest()).unproven == 0
    record.cut(1)
    assert await record.findings() == [(3, "truncated")]


async def test_accepting_is_on_record_and_begins_anew(record: Record) -> None:
    sealer = record.sealer()
    await sealer.run_once()
    await record.act(4)
    await sealer.run_once()
    record.clock.wall += DAY_MS
    await record.act(4)
    await sealer.run_once()
    record.chain_anew(6)
    await record.sealer().run_once()
    assert {fault for _, fault in await record.findings()} == {"contradicted", "rewritten"}
    await record.operator().accept(note="it was me")
    assert await record.findings() == []
    kept = await record.bus.audit_anchor.heads()
    assert [head.link for head in kept.all] == [4, 8], "what the chain contains stays"
    rows = await record.database.audit.records(AuditQuery(subject="audit"), limit=2, cursor=None)
    assert [row.action for row in rows] == ["audit.accept", "audit.accept"]
    assert b"link 8: rewritten" in rows[1].detail
    await sealer.run_once()
    assert (await record.newest()).link == 10


async def test_accepting_wants_a_note_and_is_refused_to_readers(record: Record) -> None:
    with pytest.raises(BadInput, match="--reason"):
        await record.operator().accept(note=" ")
    with pytest.raises(Refused, match="read-only"):
        await record.operator(read_only=True).accept(note="x")


async def test_heads_are_signed_where_there_is_a_key(record: Record) -> None:
    sealer = record.sealer(KEY)
    await sealer.run_once()
    await record.act(2)
    await sealer.run_once()
    head = await record.newest()
    assert HeadSigner(record.settings.namespace, KEY).has_signed(head)
    [event] = await record.announced()
    assert head_of(event) == head
    assert event.to_cloudevent("default")["time"] == to_rfc3339(head.at)
    assert await record.findings(KEY) == []
    assert await record.findings() == [], "without the key, signatures are not looked at"
    assert (2, "wrong signature") in await record.findings("another key of 16")


@pytest.mark.parametrize(
    "forged",
    [{"link": 3}, {"digest": "x"}, {"at": 1_800_000_000_001}, {"unproven": 1}, {"signature": "ab"}],
)
async def test_a_head_that_was_changed_does_not_bear_its_signature(
    record: Record, forged: dict[str, object]
) -> None:
    signer = HeadSigner("default", KEY)
    head = signer.sign(AuditHead(link=2, digest="d", at=1_800_000_000_000))
    assert signer.has_signed(head)
    assert not signer.has_signed(replace(head, **forged))
    assert not HeadSigner("other", KEY).has_signed(head)


async def test_a_key_may_come_later(record: Record) -> None:
    sealer = record.sealer()
    await record.act(2)
    await sealer.run_once()
    record.clock.wall += DAY_MS
    await record.act(2)
    await sealer.run_once()
    assert await record.findings(KEY) == [(4, "not yet signed")]
    await record.sealer(KEY).run_once()
    assert await record.findings(KEY) == [(4, "not yet signed")]
    await record.operator(KEY).accept(note="the key is new")
    await record.sealer(KEY).run_once()
    assert await record.findings(KEY) == []
    assert [bool(head.signature) for head in (await record.bus.audit_anchor.heads()).all] == [True]
    assert bool((await record.announced())[-1].payload()["signature"])  # type: ignore[index,call-overload]  # the payload is any JSON


async def test_a_process_without_the_key_publishes_nothing_over_a_signed_head(
    record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    await record.act(2)
    await record.sealer(KEY).run_once()
    signed = await record.newest()
    await record.act(2)
    with caplog.at_level(logging.ERROR, "hms_svc.runtime"):
        await record.sealer().run_once()
    assert await record.newest() == signed
    assert "audit_key" in caplog.text
    with pytest.raises(Refused, match="audit_key"):
        await record.operator().accept(note="x")
    await record.sealer(KEY).run_once()
    assert (await record.newest()).link == 4


async def test_an_unsigned_head_after_a_signed_one_is_found_and_not_signed_over(
    record: Record,
) -> None:
    """Whoever can write to broker and database, but has no key."""
    sealer = record.sealer(KEY)
    await sealer.run_once()
    await record.act(4)
    await sealer.run_once()
    record.clock.wall += DAY_MS
    record.chain_anew(2)
    chain = await record.database.audit.sealed_chain([])
    before = await record.newest()
    forged = AuditHead(link=chain.link, digest=chain.digest, at=record.clock.wall)
    assert await record.bus.audit_anchor.replace(forged, [before], over=before)
    await record.act(1)
    await record.sealer(KEY).run_once()
    assert await record.newest() == forged
    assert {fault for _, fault in await record.findings(KEY)} == {"rewritten", "unsigned"}


async def test_a_new_key_is_accepted(record: Record) -> None:
    await record.act(2)
    await record.sealer(KEY).run_once()
    other = "another key of 16"
    await record.operator(other).accept(note="a new key")
    assert await record.findings(other) == []


async def test_a_broker_of_one_process_is_named_as_the_reason(record: Record) -> None:
    fleeting = Record(
        record.harness,
        record.database,
        replace(record.settings, broker_url="memory://"),
        record.clock,
    )
    await record.act(1)
    [fault] = await fleeting.operator().verify()
    assert (fault.fault, "memory://" in fault.text) == ("no head", True)


@pytest.mark.parametrize("said", [b"{}", b"[]", b"\xff", b'{"link":"1","digest":2}'])
async def test_an_event_that_announces_no_head_is_none(record: Record, said: bytes) -> None:
    await record.act(1)
    event = Event(id="x", type=AUDIT_SEALED, subject="audit", at=1, data=said)
    await record.bus.publish([event])
    assert await record.findings() == [(0, "no head")]
