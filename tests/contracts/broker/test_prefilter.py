"""Records that cannot match a filter stay where they are, whatever its terms."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import pytest

from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.domain.filter import Filter, parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Failure
from hms_svc.domain.views import JobView
from tests.support.broker_engines import BrokerHarness

COUNT = 30


class Judged:
    """Counts the records to which filters are applied in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        judge = Filter.judge

        def counted(where: Filter, view: JobView, now_ms: int) -> tuple[bool, int]:
            self.count += 1
            return judge(where, view, now_ms)

        monkeypatch.setattr(Filter, "judge", counted)


@pytest.fixture
async def dead(harness: BrokerHarness) -> BrokerHarness:
    """Jobs that are dead for one reason, with payloads that differ."""
    jobs = [
        harness.job(
            {"n": number, "user": f"usr-{number}", "ok": True, "photos": [{"url": "a.jpg"}]},
            unique_key=f"key-{number}",
            priority=1,
        )
        for number in range(COUNT)
    ]
    await harness.enqueue(*jobs)
    for job in await harness.claim(COUNT):
        failure = Failure("ServiceTimeout", "no answer of ward 7")
        fields = {"reason": "error", "by": "handler", "detail": "gave up", "failure": failure}
        await harness.settle(job, State.DEAD, **fields)
    return harness


WHERE: Final = (
    "data.n<0",
    "data.n>=30",
    "data.n:77",
    "data.n:x",
    "data.user:nobody",
    "data.user:nobody*",
    "data.user:*nobody*",
    "data.user~NOBODY",
    "data.user<a",
    "data.ok:false",
    "data.none:1",
    "data.photos.0.url:b.jpg",
    "-data.ok:true",
    "data.ok!=true",
    "-data.n>=0",
    "-data.photos.0.url:a.jpg",
    "nowhere",
    "-gave",
    "id~zz",
    "id:zz*",
    "reason:timeout",
    "-reason:error",
    "by:rule*",
    "by!=handler",
    "detail~nowhere",
    "detail!~GAVE",
    "error~nowhere",
    "error:Timeout",
    "error!=ServiceTimeout",
    "-error:Service*",
    "worker:factory*",
    "unique_key:nobody",
    "-unique_key:key-*",
    "case:case-*",
    "cause:zz*",
    "batch~ward",
    "attempts>3",
    "priority!=1",
    "age>1h",
    "suspect:yes",
    "validator:duplicate",
    "(data.n<0 OR error~nowhere)",
    "-(data.n>=0 OR detail~gave)",
    "data.n<0 " + " ".join(f"-data.x:{number}" for number in range(10)),
)
"""Filters that no job of `dead` matches."""


async def test_a_page_judges_only_records_that_may_match(
    dead: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = Judged(monkeypatch)
    for where in WHERE:
        judged.count = 0
        page = await dead.inspection.page(
            parse_filter(f"state:dead {where}"), limit=10, cursor=None
        )
        assert (page.jobs, page.cursor) == ((), None), where
        if not where.startswith("validator"):
            assert page.examined == COUNT, where
        # The last record of a slice is always judged, as is a number at the very bound.
        assert judged.count <= 2, where


async def test_what_may_match_is_found_among_many(
    dead: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = Judged(monkeypatch)
    where = parse_filter("state:dead data.n<3 error~ANSWER")
    page = await dead.inspection.page(where, limit=2, cursor=None)
    rest = await dead.inspection.page(where, limit=2, cursor=page.cursor)
    assert sorted(job.data[5:6] for job in (*page.jobs, *rest.jobs)) == [b"0", b"1", b"2"]
    assert rest.cursor is None
    assert page.examined + rest.examined >= COUNT
    assert judged.count <= 6


async def test_a_payload_too_large_to_check_is_left_to_the_filter(harness: BrokerHarness) -> None:
    large = harness.job({"text": "é" * 20_000, "n": 5})
    await harness.enqueue(harness.job({"n": 6}), large, harness.job({"n": 7}))
    page = await harness.inspection.page(parse_filter("data.n:5"), limit=10, cursor=None)
    assert [job.id for job in page.jobs] == [large.id]


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("checks", "most"), [(1, 1000), (16, 62)])
async def test_a_statement_with_many_checks_of_the_payload_examines_fewer_records(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch, checks: int, most: int
) -> None:
    windows: list[int] = []
    fetch = QueueFile.fetch

    async def noted(file: QueueFile, statement: str, parameters: Any = ()) -> list[sqlite3.Row]:
        if "window" in parameters:
            windows.append(parameters["window"])
        return await fetch(file, statement, parameters)

    monkeypatch.setattr(QueueFile, "fetch", noted)
    await harness.enqueue(*(harness.job({"n": number}) for number in range(1300)))
    where = parse_filter(f"state:queued ({' OR '.join(f'data.n:no-{n}' for n in range(checks))})")
    page = await harness.inspection.page(where, limit=10, cursor=None)
    assert (page.jobs, page.examined, max(windows)) == ((), 1300, most)
