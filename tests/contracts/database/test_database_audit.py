from __future__ import annotations

import pytest

from hms_svc.domain.views import AuditFault, AuditRecord
from hms_svc.persistence.database import SqlDatabase
from tests.contracts.database.conftest import Opener, Site
from tests.contracts.database.requests import NOON, effect


def record(subject: str) -> AuditRecord:
    return AuditRecord(at=NOON, actor="ada", action="job.retried", subject=subject, detail=b"{}")


async def sealed_head(database: SqlDatabase, rows: int) -> tuple[int, str]:
    await database.audit([record(f"job-{n}") for n in range(1, rows + 1)])
    head = await database.seal()
    assert head is not None
    return head


async def test_rows_are_listed_newest_first_by_cursor(database: SqlDatabase) -> None:
    await database.audit([record("one"), record("two"), record("three")])
    page = await database.audit_records(limit=2, cursor=None)
    rest = await database.audit_records(limit=2, cursor=str(page[-1].number))
    assert [row.subject for row in (*page, *rest)] == ["three", "two", "one"]
    assert {row.link for row in page} == {None}


async def test_rows_about_one_subject_are_listed_alone(database: SqlDatabase) -> None:
    await database.audit([record("one"), record("two"), record("one")])
    about = await database.audit_records(limit=0, cursor=None, subject="one")
    assert [row.number for row in about] == [3, 1]


async def test_the_seal_links_rows_without_gaps(database: SqlDatabase) -> None:
    await database.audit([record("one"), record("two")])
    first = await database.seal()
    await database.commit([effect("a")])
    second = await database.seal()
    rows = await database.audit_records(limit=0, cursor=None)
    assert [row.link for row in rows] == [3, 2, 1]
    assert first == (2, rows[1].digest)
    assert second == (3, rows[0].digest)


async def test_sealing_nothing_gives_none(database: SqlDatabase) -> None:
    assert await database.seal() is None
    await sealed_head(database, 1)
    assert await database.seal() is None


async def test_two_sealers_make_one_chain(another: Opener) -> None:
    first, second = await another(), await another()
    for round_ in range(5):
        await first.audit([record(f"{round_}-{n}") for n in range(20)])
        await first.seal()
        await second.seal()
    assert (
        await second.verify_audit(
            (100, (await first.audit_records(limit=1, cursor=None))[0].digest)
        )
        == []
    )


async def test_a_chain_of_many_pages_holds(database: SqlDatabase) -> None:
    head = await sealed_head(database, 2_500)
    assert await database.verify_audit(head) == []


async def test_rows_that_are_not_sealed_yet_are_no_fault(database: SqlDatabase) -> None:
    head = await sealed_head(database, 2)
    await database.audit([record("later")])
    assert await database.verify_audit(head) == []


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit SET subject = 'job-9' WHERE link = 3", AuditFault(3, "changed")),
        ("UPDATE audit SET detail = {bytes} WHERE link = 3", AuditFault(3, "changed")),
        ("UPDATE audit SET digest = 'x' WHERE link = 3", AuditFault(3, "changed")),
        ("DELETE FROM audit WHERE link = 3", AuditFault(3, "missing")),
        ("DELETE FROM audit WHERE link = 1", AuditFault(1, "missing")),
        ("DELETE FROM audit WHERE link = 5", AuditFault(5, "truncated")),
        ("DELETE FROM audit WHERE link > 2", AuditFault(5, "truncated")),
        ("DELETE FROM audit", AuditFault(5, "truncated")),
    ],
)
async def test_what_was_done_to_the_chain_is_found(
    database: SqlDatabase, site: Site, statement: str, fault: AuditFault
) -> None:
    head = await sealed_head(database, 5)
    await site.tamper(statement)
    assert await database.verify_audit(head) == [fault]


async def test_a_row_removed_before_the_seal_is_missed_where_numbers_have_no_gaps(
    database: SqlDatabase, site: Site
) -> None:
    await database.audit([record("one"), record("two"), record("three")])
    await site.tamper("DELETE FROM audit WHERE subject = 'two'")
    await database.seal()
    faults = [AuditFault(2, "missing")] if site.gapless else []
    assert await database.verify_audit(None) == faults


async def test_a_chain_written_anew_does_not_reach_the_published_head(
    database: SqlDatabase, site: Site
) -> None:
    head = await sealed_head(database, 3)
    await site.tamper("UPDATE audit SET subject = 'x', link = NULL WHERE link = 3")
    await database.seal()
    assert await database.verify_audit(None) == []
    assert await database.verify_audit(head) == [AuditFault(3, "truncated")]


async def test_a_transaction_that_was_undone_leaves_no_gap(database: SqlDatabase) -> None:
    await database.audit([record("one")])
    broken = AuditRecord(at=NOON, actor="ada", action="x", subject=None)  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"(?i)not.null"):
        await database.audit([record("two"), broken])
    await database.audit([record("three")])
    await database.seal()
    assert await database.verify_audit(None) == []
