"""The bench of the test kit, on the real embedded engines."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import hms_svc
from hms_svc import (
    ActionDenied,
    BadInput,
    BadSetting,
    BlockingTransaction,
    DeadLetter,
    HmsError,
    Job,
    MalformedJob,
    Registry,
    RetryPolicy,
    RunningJob,
    Transaction,
    ValidationFailed,
    aio,
    dao,
    sql,
)
from hms_svc.domain.errors import ResourceFailed
from hms_svc.testing import Bench
from tests.testing import permits
from tests.testing.permits import Application, Granted, Registrar, Settings, apply, registry, review

FEE = {Settings: Settings(fee=7)}


@pytest.fixture
def bench() -> Iterator[Bench]:
    permits.opened.clear()
    permits.charged.clear()
    with Bench(registry, resources=FEE) as opened:
        yield opened


def test_a_job_runs_with_its_whole_chain(bench: Bench) -> None:
    outcome = bench.run(apply, Application(parcel="17"))
    assert outcome.get() == {"permit": "P-17"}
    assert (outcome.state, outcome.attempt, outcome.error) == ("completed", 1, None)
    assert outcome.log.startswith("applied at real\nprinted\n")
    assert outcome.log.endswith(" WARNING permits: logged\n")
    assert [(job.type, job.data) for job in outcome.enqueued] == [
        ("permit.review", {"parcel": "17"})
    ]
    assert [event.type for event in outcome.events] == ["job.completed"]
    assert bench.job(outcome.id).unique_key == "17"


def test_a_type_may_be_named(bench: Bench) -> None:
    assert bench.run("permit.apply", {"parcel": "17"}).get() == {"permit": "P-17"}
    with pytest.raises(
        BadInput, match=r"the bench has no type 'permit.applies'; its types are: permit"
    ):
        bench.run("permit.applies", {})


def test_a_payload_that_the_model_refuses_is_rejected(bench: Bench) -> None:
    outcome = bench.run(apply, {"storeys": "many"})
    assert (outcome.state, outcome.reason, outcome.enqueued) == ("rejected", "payload", ())
    assert "parcel" in outcome.detail
    with pytest.raises(MalformedJob, match="parcel"):
        bench.enqueue(apply, {"storeys": "many"})


def test_a_refusal_of_a_validator_is_its_own_exception(bench: Bench) -> None:
    outcome = bench.run(apply, Application(parcel="17", storeys=9))
    assert (outcome.state, outcome.by) == ("rejected", "is_low")
    assert isinstance(outcome.error, ValidationFailed)
    with pytest.raises(ValidationFailed, match="too high"):
        outcome.get()


def test_an_exception_of_the_handler_can_be_raised_again(bench: Bench) -> None:
    outcome = bench.run("permit.charge", None)
    assert (outcome.state, outcome.reason) == ("retrying", "error")
    assert outcome.due_in is not None
    assert 0 < outcome.due_in <= 60
    with pytest.raises(ConnectionError, match="no bank, attempt 1") as raised:
        outcome.get()
    assert raised.traceback[-1].name == "charge"


def test_an_outcome_without_an_error_of_its_own_says_what_it_is(bench: Bench) -> None:
    assert isinstance(bench.run("permit.end", "dead").error, DeadLetter)
    bench.hold("permit.letter", "a person signs")
    held = bench.run("permit.letter", {"to": "17"})
    timed_out = bench.run("permit.slow", None)
    assert (timed_out.state, timed_out.reason, timed_out.error) == ("dead", "timeout", None)
    with pytest.raises(
        AssertionError, match=r"permit.slow\) is dead: timeout, ran longer than 0.1 s"
    ):
        timed_out.get()
    assert "a person signs" in held.described()


def test_governance_answers_as_the_test_sets_it(bench: Bench) -> None:
    assert bench.run("permit.letter", {"to": "17"}).get() == 7
    bench.deny("permit.letter", "no paper")
    denied = bench.run("permit.letter", {"to": "17"})
    assert (denied.state, denied.reason) == ("rejected", "governance")
    assert isinstance(denied.error, ActionDenied)
    bench.hold("permit.letter")
    held = bench.run("permit.letter", {"to": "17"})
    assert held.state == "held"
    assert bench.drain() == []
    bench.approve(held)
    assert [each.get() for each in bench.drain()] == [7]
    bench.allow("permit.letter")
    assert bench.run("permit.letter", {"to": "17"}).state == "completed"


def test_an_action_that_the_handler_requests_is_vetted(bench: Bench) -> None:
    bench.deny("permit.case")
    outcome = bench.run("permit.case", "x")
    assert (outcome.state, outcome.cases, bench.cases()) == ("rejected", (), [])


def test_cases_and_events_of_a_run_are_shown(bench: Bench) -> None:
    outcome = bench.run("permit.case", "pothole")
    [case] = outcome.cases
    assert (case.id, case.job_id, case.status) == (outcome.result, outcome.id, "open")
    assert case.data["note"] == "pothole"
    assert bench.cases() == [case]
    assert {event.type for event in outcome.events} == {
        "job.completed",
        "case.opened",
        "permit.noted",
    }


def test_a_drain_runs_what_is_ready_and_what_follows(bench: Bench) -> None:
    first = bench.enqueue(apply, Application(parcel="1"))
    assert (first.state, first.priority, first.unique_key) == ("queued", 3, "1")
    assert bench.only_enqueued(apply).id == first.id
    ran = bench.drain()
    assert [(each.type, each.state) for each in ran] == [
        ("permit.apply", "completed"),
        ("permit.review", "completed"),
    ]
    letter = bench.only_enqueued("permit.letter")
    assert letter.state == "scheduled"
    assert letter.due_in is not None
    assert 3590 < letter.due_in <= 3600
    assert bench.drain() == []


def test_time_moves_when_the_test_says_so(bench: Bench) -> None:
    bench.run(review, {"parcel": "1"})
    bench.run("permit.charge", None)
    bench.advance(61)
    [again] = bench.drain()
    assert (again.type, again.attempt) == ("permit.charge", 2)
    bench.advance(3600)
    assert {each.type for each in bench.drain()} == {"permit.charge", "permit.letter"}
    assert [job.state for job in bench.jobs("type:permit.charge")] == ["dead"]


def test_delays_count_from_the_time_of_the_bench(bench: Bench) -> None:
    bench.advance(86_400)
    bench.drain()
    Job("permit.review", {"parcel": "1"}, delay=timedelta(seconds=60)).enqueue()
    assert bench.drain() == []
    bench.advance(60)
    assert [each.state for each in bench.drain()] == ["completed"]


def test_a_schedule_has_a_tick_when_its_time_has_passed(bench: Bench) -> None:
    assert bench.enqueued() == []
    bench.advance(86_400)
    [tick] = bench.drain()
    assert tick.get() == "it is night"


def test_a_limit_lets_jobs_in_as_time_moves(bench: Bench) -> None:
    for _ in range(3):
        bench.enqueue("permit.limited", None)
    assert len(bench.drain()) == 1
    assert bench.run("permit.limited", None).state == "queued"
    bench.advance(60)
    assert len(bench.drain()) == 1
    assert len(bench.enqueued("permit.limited")) == 2


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_time_does_not_move_back(bench: Bench, seconds: float) -> None:
    with pytest.raises(BadInput, match="expected more than 0 seconds"):
        bench.advance(seconds)


def test_a_killed_worker_has_its_job_redelivered(bench: Bench) -> None:
    bench.kill_before_settlement()
    killed = bench.run("permit.careful", None)
    assert (killed.killed, killed.state, len(killed.cases)) == (True, "queued", 1)
    [again] = bench.drain()
    assert (again.id, again.state, again.cases) == (killed.id, "completed", killed.cases)
    assert {event.type for event in again.events} == {"case.opened", "job.completed"}
    assert permits.charged == [killed.id, killed.id]
    assert len(bench.cases()) == 1


def test_a_job_of_a_killed_worker_waits_for_the_next_drain(bench: Bench) -> None:
    bench.kill_before_settlement()
    killed = bench.run("permit.careless", "first")
    assert bench.run("permit.careless", "second").get() == 2
    assert bench.only_enqueued("permit.careless").id == killed.id
    assert [each.get() for each in bench.drain()] == [3]


def test_jobs_without_end_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Registry()

    @own.job("own.again")
    def again(job: RunningJob) -> None:
        Job("own.again", None).enqueue()

    monkeypatch.setattr("hms_svc.testing.bench.MOST_RUNS", 20)
    with Bench(own) as bench:
        bench.enqueue("own.again", None)
        with pytest.raises(AssertionError, match="20 jobs have run, and there may be more without"):
            bench.drain()


def test_kept_steps_are_there_after_a_kill(bench: Bench) -> None:
    bench.kill_before_settlement()
    assert bench.run("permit.stepped", None).killed
    assert [each.get() for each in bench.drain()] == [1]
    assert len(permits.charged) == 1


def test_an_isolated_handler_runs_here(bench: Bench) -> None:
    assert bench.run("permit.render", None).get() == os.getpid()


def test_a_handler_that_is_not_idempotent_is_seen_after_a_kill(bench: Bench) -> None:
    bench.enqueue("permit.careless", None)
    bench.kill_before_settlement()
    assert [each.killed for each in bench.drain()] == [True]
    assert [each.get() for each in bench.drain()] == [2]


def test_a_job_runs_before_those_that_wait(bench: Bench) -> None:
    waiting = [bench.enqueue(review, {"parcel": str(n)}, priority=9) for n in range(3)]
    outcome = bench.run(review, {"parcel": "now"})
    assert outcome.get() == "reviewed"
    assert [job.id for job in bench.enqueued(review)] == [job.id for job in waiting]


def test_a_process_that_gets_no_cpu_for_a_while_begins_no_job_beside_another() -> None:
    stalled = Registry()
    order: list[str] = []

    @stalled.job("permit.stall")
    async def stall(job: RunningJob) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time
        loop.time = lambda: before() + 1.2  # type: ignore[method-assign]  # as after a stall
        order.append("begun")
        for _ in range(20):
            await asyncio.sleep(0.001)
        order.append("ended")

    with Bench(stalled) as bench:
        for _ in range(2):
            bench.enqueue("permit.stall", None)
        bench.drain()
    assert order == ["begun", "ended"] * 2


def test_a_retry_waits_for_the_test_however_short_its_delay_is() -> None:
    flaky = Registry()

    @flaky.job("permit.fails", retry=RetryPolicy(9, backoff=lambda attempt, error: 0.000_1))
    async def fails(job: RunningJob) -> None:
        raise OSError("no server")

    @flaky.job("permit.slow")
    async def slow(job: RunningJob) -> None:
        await asyncio.sleep(0.01)

    with Bench(flaky) as bench:
        bench.enqueue("permit.fails", None, priority=9)
        bench.enqueue("permit.slow", None)
        assert [each.state for each in bench.drain()] == ["retrying", "completed"]
        bench.advance(1)
        assert [each.state for each in bench.drain()] == ["retrying"]


@pytest.mark.parametrize("type", ["permit.wait", "permit.wait_plain"])
def test_a_handler_may_wait_for_another_job(bench: Bench, type: str) -> None:
    assert bench.run(type, None).get() == "reviewed"


def test_a_job_that_cannot_run_says_so(bench: Bench) -> None:
    later = bench.run(review, {"parcel": "1"}, delay=timedelta(seconds=5))
    assert (later.state, later.attempt) == ("scheduled", 0)
    bench.enqueue(apply, Application(parcel="1"))
    twice = bench.run(apply, Application(parcel="1"), unique_key="1")
    assert (twice.state, twice.reason) == ("rejected", "unique")


def test_resources_are_replaced_by_type_and_closed() -> None:
    events: list[str] = []

    async def fake(settings: Settings) -> AsyncIterator[Registrar]:
        events.append(f"opened for {settings.fee}")
        yield Registrar("fake")
        events.append("closed")

    permits.opened.clear()
    with Bench(registry, resources={**FEE, Registrar: fake}) as bench:
        assert "applied at fake\n" in bench.run(apply, {"parcel": "1"}).log
        assert events == ["opened for 7"]
    assert events == ["opened for 7", "closed"]
    with Bench(registry, resources={**FEE, Registrar: Registrar("given")}) as bench:
        assert "applied at given\n" in bench.run(apply, {"parcel": "1"}).log
    assert permits.opened == []


def test_what_a_worker_would_not_start_with_is_raised() -> None:
    broken = Registry()

    @broken.resource
    def door() -> Iterator[Registrar]:
        yield Registrar(Path("/nowhere/at/all").read_text())

    @broken.job("door.open")
    def open_door(job: RunningJob, door: Registrar) -> None:
        pass

    with pytest.raises(BadSetting, match=r"apps.permits.fee is missing"), Bench(registry):
        pass
    with pytest.raises(
        BadInput, match=r"no resource of type int to replace; there are: .*Settings"
    ):
        Bench(registry, resources={**FEE, int: 1}).__enter__()
    with pytest.raises(ResourceFailed, match="FileNotFoundError"), Bench(broken):
        pass


def test_settings_of_hms_svc_may_be_given() -> None:
    with Bench(registry, resources=FEE, settings={"case_radius_m": 5000}) as bench:
        assert bench.run("permit.case", "first").state == "completed"
        assert not dao.case_exists(38.91, -77.0, kind="permit", radius_m=25)
        assert dao.case_exists(38.91, -77.0, kind="permit")
    with pytest.raises(BadInput, match="settings data_dir: the bench has a broker and a database"):
        Bench(registry, settings={"data_dir": "/elsewhere"})
    with pytest.raises(BadSetting, match="case_radius"):
        Bench(registry, settings={"case_radius": 5}).__enter__()


def test_the_public_calls_go_to_the_bench(bench: Bench) -> None:
    assert Job("permit.review", {"parcel": "1"}).enqueue() == "queued"
    handle = apply.enqueue_blocking(Application(parcel="2"))
    dao.insert_case({"lat": 3.0, "lon": 3.0}, kind="pothole")
    hms_svc.close()
    assert hms_svc.jobs.get(handle.id).state() == "queued"
    assert len(bench.enqueued()) == 2
    assert len(bench.cases()) == 1
    bench.drain()
    assert handle.result() == Granted(permit="P-2")


def test_nothing_is_left_of_a_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMS_SVC_CONFIG", "")
    monkeypatch.setenv("HMS_SVC_DATA_DIR", str(tmp_path))
    threads = set(threading.enumerate())
    with Bench(registry, resources=FEE) as first:
        folder = Path(os.environ["HMS_SVC_DATA_DIR"])
        first.run("permit.case", "x")
        first.deny("permit.case")
        first.enqueue(review, {"parcel": "1"})
        assert folder.is_dir()
        assert folder != tmp_path
    assert not folder.exists()
    assert os.environ["HMS_SVC_DATA_DIR"] == str(tmp_path)
    assert [
        thread for thread in threading.enumerate() if thread not in threads and thread.is_alive()
    ] == []
    with Bench(registry, resources=FEE) as second:
        assert (second.jobs(), second.cases()) == ([], [])
        assert second.run("permit.case", "x").state == "completed"
    assert list(tmp_path.iterdir()) == []


async def test_a_coroutine_of_a_test_uses_it_too(bench: Bench) -> None:
    handle = await apply.enqueue(Application(parcel="5"))
    await aio.Job("permit.review", {"parcel": "6"}).enqueue()
    assert len(bench.enqueued()) == 2
    await asyncio.to_thread(bench.drain)
    assert await handle.result() == Granted(permit="P-5")


def test_failed_assertions_list_the_jobs(bench: Bench) -> None:
    with pytest.raises(
        AssertionError, match=r"0 jobs of type permit.apply wait for a run, not 1; there are no"
    ):
        bench.only_enqueued(apply)
    bench.enqueue(review, {"parcel": "1"})
    with pytest.raises(
        AssertionError, match=r"no job 'x'; the jobs are:\n  permit.review .* is queued, data"
    ):
        bench.job("x")


def test_a_handler_cannot_use_the_bench() -> None:
    own = Registry()

    @own.job("own.drain")
    def drain(job: RunningJob) -> None:
        opened.drain()

    with Bench(own) as opened:
        outcome = opened.run("own.drain", None)
        assert isinstance(outcome.error, HmsError)
        assert "call it in the test, between runs" in outcome.detail


def test_a_transaction_stands_after_a_kill_and_its_jobs_follow() -> None:
    own, written = Registry(), []

    @own.job("permit.grant")
    async def grant(job: RunningJob) -> int:
        async def write(tx: Transaction) -> int:
            written.append(job.id)
            await tx.execute("create table permits (id text)")
            tx.enqueue(Job("permit.review", None))
            return await tx.execute("insert into permits values ($1)", job.id)

        return await job.transaction(write)

    own.job("permit.review")(lambda job: None)
    with Bench(own) as bench:
        bench.kill_before_settlement()
        assert bench.run("permit.grant", None).killed
        outcomes = bench.drain()
    assert sorted(outcome.type for outcome in outcomes) == ["permit.grant", "permit.review"]
    assert {outcome.get() for outcome in outcomes} == {1, None}
    assert len(written) == 1


def test_a_transaction_outside_of_a_job_is_the_tests_own() -> None:
    registry = Registry()
    done: list[Any] = []

    @registry.job("permit.apply")
    def apply(job: RunningJob) -> None:
        done.append(job.data)

    def write(tx: BlockingTransaction) -> str:
        tx.execute("create table applications (parcel text)")
        tx.enqueue(Job("permit.apply", {"parcel": "A-2"}, id="p-A-2"))
        return "asked"

    def fail(tx: BlockingTransaction) -> None:
        write(tx)
        raise LookupError("no")

    with Bench(registry) as bench:
        with pytest.raises(LookupError):
            sql.transaction(fail)
        assert bench.enqueued() == []
        assert sql.transaction(write) == "asked"
        assert [job.id for job in bench.enqueued()] == ["p-A-2"]
        [outcome] = bench.drain()
        assert outcome.state == "completed"
    assert done == [{"parcel": "A-2"}]
