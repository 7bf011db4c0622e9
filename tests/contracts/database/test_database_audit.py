from __future__ import annotations

import pytest

from hms_svc.domain.audit_heads import AuditHead, HeadSigner, KeptHeads, judge
from hms_svc.domain.audit_query import ROWS_EXAMINED_BY_PAGE, AuditQuery
from hms_svc.domain.views import AuditRecord
from hms_svc.persistence.database import SqlDatabase
from tests.support.database_engines import Opener, Site
from tests.support.database_requests import NOON, effect


def record(subject: str) -> AuditRecord:
    return AuditRecord(at=NOON, actor="ada", action="job.retried", subject=subject, detail=b"{}")


async def sealed_head(database: SqlDatabase, rows: int) -> tuple[int, str]:
    await database.audit.append([record(f"job-{n}") for n in range(1, rows + 1)])
    head = await database.audit.seal()
    assert head is not None
    return head


Head = tuple[int, str] | None


async def faults_of(database: SqlDatabase, *heads: Head) -> list[tuple[int, str]]:
    """Verify the chain against published heads, the newest last; return link and kind of each fault."""
    kept = [AuditHead(link=head[0], digest=head[1], at=NOON) for head in heads if head]
    chain = await database.audit.verify([head.link for head in kept])
    found = list(chain.faults)
    if kept:
        held = KeptHeads(newest=kept[-1], daily=tuple(kept[:-1]))
        found += judge(held, chain, HeadSigner("default"))
    return [(fault.link, fault.fault) for fault in found]


async def test_rows_are_listed_newest_first_by_cursor(database: SqlDatabase) -> None:
    await database.audit.append([record("one"), record("two"), record("three")])
    page = await database.audit.records(limit=2, cursor=None)
    rest = await database.audit.records(limit=2, cursor=str(page[-1].number))
    assert [row.subject for row in (*page, *rest)] == ["three", "two", "one"]
    assert {row.link for row in page} == {None}


async def test_rows_about_one_subject_are_listed_alone(database: SqlDatabase) -> None:
    await database.audit.append([record("one"), record("two"), record("one")])
    about = await database.audit.records(AuditQuery(subject="one"), limit=0, cursor=None)
    assert [row.number for row in about] == [3, 1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (AuditQuery(actor="ada"), ["4", "2", "1"]),
        (AuditQuery(actor="-worker:*"), ["4", "2", "1"]),
        (AuditQuery(actor="worker:*", action="case.opened"), ["3"]),
        (AuditQuery(action="job.*"), ["4", "2", "1"]),
        (AuditQuery(action="-job.cancel"), ["3", "1"]),
        (AuditQuery(folded=True), ["3", "2", "1"]),
        (AuditQuery(actor="a%"), []),
        (AuditQuery(actor="Ad*"), []),
        (AuditQuery(actor="ad*", action="-JOB.*"), ["4", "2", "1"]),
    ],
)
async def test_rows_are_found_by_actor_and_action_and_those_in_a_batch_left_out(
    database: SqlDatabase, query: AuditQuery, found: list[str]
) -> None:
    shown = [
        ("ada", "job.retry", b"{}"),
        ("ada", "job.cancel", b'{"note":"\\"in_batch\\":true"}'),
        ("worker:one", "case.opened", b"{}"),
        ("ada", "job.cancel", b'{"batch":"b","in_batch":true}'),
    ]
    await database.audit.append(
        [
            AuditRecord(at=NOON, actor=actor, action=action, subject=str(number), detail=detail)
            for number, (actor, action, detail) in enumerate(shown, 1)
        ]
    )
    page = await database.audit.page(query, limit=10, cursor=None)
    assert ([row.subject for row in page.records], page.cursor) == (found, None)
    assert await database.audit.records(query, limit=0, cursor=None) == list(page.records)


async def test_a_page_ends_after_a_bounded_look_and_its_cursor_goes_on(
    database: SqlDatabase,
) -> None:
    await database.audit.append([record("first")])
    await database.audit.append([record("more")] * ROWS_EXAMINED_BY_PAGE)
    query = AuditQuery(actor="-nobody", action="job.retried")
    rare = AuditQuery(actor="bob")
    assert len((await database.audit.page(query, limit=3, cursor=None)).records) == 3
    page = await database.audit.page(rare, limit=3, cursor=None)
    assert (page.records, page.cursor) == ((), "2")
    assert (await database.audit.page(rare, limit=3, cursor=page.cursor)).cursor is None


async def test_the_seal_links_rows_without_gaps(database: SqlDatabase) -> None:
    await database.audit.append([record("one"), record("two")])
    first = await database.audit.seal()
    await database.effects.commit([effect("a")])
    second = await database.audit.seal()
    rows = await database.audit.records(limit=0, cursor=None)
    assert [row.link for row in rows] == [3, 2, 1]
    assert first == (2, rows[1].digest)
    assert second == (3, rows[0].digest)


async def test_sealing_nothing_gives_none(database: SqlDatabase) -> None:
    assert await database.audit.seal() is None
    await sealed_head(database, 1)
    assert await database.audit.seal() is None


async def test_two_sealers_make_one_chain(another: Opener) -> None:
    first, second = await another(), await another()
    for round_ in range(5):
        await first.audit.append([record(f"{round_}-{n}") for n in range(20)])
        await first.audit.seal()
        await second.audit.seal()
    [newest] = await first.audit.records(limit=1, cursor=None)
    assert await faults_of(second, (100, newest.digest)) == []


async def test_a_chain_of_many_pages_holds(database: SqlDatabase) -> None:
    head = await sealed_head(database, 2_500)
    assert await faults_of(database, head) == []


async def test_rows_that_are_not_sealed_yet_are_no_fault(database: SqlDatabase) -> None:
    head = await sealed_head(database, 2)
    await database.audit.append([record("later")])
    assert await faults_of(database, head) == []


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit SET subject = 'job-9' WHERE link = 3", (3, "changed")),
        ("UPDATE audit SET detail = {bytes} WHERE link = 3", (3, "changed")),
        ("UPDATE audit SET digest = 'x' WHERE link = 3", (3, "changed")),
        ("DELETE FROM audit WHERE link = 3", (3, "missing")),
        ("DELETE FROM audit WHERE link = 1", (1, "missing")),
        ("DELETE FROM audit WHERE link = 5", (5, "truncated")),
        ("DELETE FROM audit WHERE link > 2", (5, "truncated")),
        ("DELETE FROM audit", (5, "truncated")),
    ],
)
async def test_what_was_done_to_the_chain_is_found(
    database: SqlDatabase, site: Site, statement: str, fault: tuple[int, str]
) -> None:
    head = await sealed_head(database, 5)
    await site.tamper(statement)
    assert await faults_of(database, head) == [fault]


async def test_a_row_removed_before_the_seal_is_missed_where_numbers_have_no_gaps(
    database: SqlDatabase, site: Site
) -> None:
    await database.audit.append([record("one"), record("two"), record("three")])
    await site.tamper("DELETE FROM audit WHERE subject = 'two'")
    await database.audit.seal()
    faults = [(2, "missing")] if site.gapless else []
    assert await faults_of(database) == faults


async def test_a_chain_written_anew_does_not_reach_the_published_head(
    database: SqlDatabase, site: Site
) -> None:
    head = await sealed_head(database, 3)
    await site.tamper("UPDATE audit SET subject = 'x', link = NULL WHERE link = 3")
    await database.audit.seal()
    assert await faults_of(database) == []
    assert await faults_of(database, head) == [(3, "rewritten")]


async def test_a_transaction_that_was_undone_leaves_no_gap(database: SqlDatabase) -> None:
    await database.audit.append([record("one")])
    broken = AuditRecord(at=NOON, actor="ada", action="x", subject=None)  # type: ignore[arg-type]  # the wrong type is the point
    with pytest.raises(Exception, match=r"(?i)not.null"):
        await database.audit.append([record("two"), broken])
    await database.audit.append([record("three")])
    await database.audit.seal()
    assert await faults_of(database) == []


async def test_heads_of_earlier_days_say_how_far_the_record_is_as_published(
    database: SqlDatabase, site: Site
) -> None:
    heads = [await sealed_head(database, 2) for _ in range(4)]
    await site.tamper("UPDATE audit SET digest = 'x' WHERE link >= 5")
    chain = await database.audit.verify([link for link, _ in heads])
    kept = [AuditHead(link=link, digest=digest, at=NOON) for link, digest in heads]
    [fault] = judge(
        KeptHeads(newest=kept[-1], daily=tuple(kept[:-1])), chain, HeadSigner("default")
    )
    assert (fault.link, fault.fault) == (6, "rewritten")
    assert "up to link 4 the record is as published" in fault.text


async def test_the_end_of_the_chain_and_digests_of_its_links_are_given(
    database: SqlDatabase,
) -> None:
    empty = await database.audit.sealed_chain([1])
    assert (empty.link, empty.digest, empty.digests) == (0, "", {})
    link, digest = await sealed_head(database, 3)
    chain = await database.audit.sealed_chain([2, 3, 4])
    rows = {row.link: row.digest for row in await database.audit.records(limit=0, cursor=None)}
    assert (chain.link, chain.digest) == (link, digest)
    assert chain.digests == {2: rows[2], 3: rows[3]}
