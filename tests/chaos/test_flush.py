"""Every key of the broker removed in the middle of a run: the same workers go on."""

from __future__ import annotations

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.checker import read_journal
from tests.chaos.pairs import on_fleet
from tests.chaos.site import Site
from tests.support.redis_server import RedisServer


@on_fleet
def test_after_a_flush_the_same_workers_do_what_comes(
    site: Site, redis_server: RedisServer
) -> None:
    served = site.serve("--processes", "2", app=APP)
    site.enqueue("named:chaos.case", 10)
    site.enqueue("chaos.endless", 5)
    served.wait_until("cases are open", lambda: site.count(State.COMPLETED, "chaos.case") == 10)
    served.wait_until("jobs are in hand", lambda: site.count(State.PROCESSING) == 5)
    before, workers = site.jobs("chaos.case"), served.workers()
    served.wait_until("the announcements are out", lambda: not waiting(site))
    redis_server.flush()
    site.journal.unlink()
    site.enqueue("named:chaos.case", 10)
    site.enqueue("distinct", 20)
    site.enqueue("push:chaos.slow_case", 20)
    served.wait_until("all is done", lambda: site.count(State.COMPLETED) == 10 + 20 + 20 + 20)
    assert served.workers() == workers
    fence = max(job.fence for job in before)
    assert min(job.fence for job in site.jobs()) > fence
    assert [job.case_id for job in site.jobs("chaos.case")] == [job.case_id for job in before]
    site.stop()
    report = site.check()
    announced = {f"I3: {job.id}: 1 cases, 0 case.opened" for job in before}
    assert set(report.faults) == announced, "more is wrong than that events went with the bus"
    assert report.acknowledged == report.cases == 50
    assert len(read_journal(site.journal)) == 50


def waiting(site: Site) -> int:
    return len(site.database.rows("SELECT 1 FROM outbox WHERE published_at IS NULL"))
