"""Outages of the broker and the database while the console runs."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest

import hms_svc.tui.store
from hms_svc.ports import answer_timeout
from hms_svc.tui.screens.base import current_screen
from hms_svc.tui.widgets.bar import Bar
from tests.dashboard.conftest import ConsoleMaker
from tests.runtime.test_replaced_files import replaced
from tests.support.console import POTHOLE, ConsoleDriver, drive_console
from tests.support.framing import POSTGRESQL
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import LOOPBACK, Proxy
from tests.support.redis_server import RedisMaker


def top_has(one: ConsoleDriver, text: str) -> bool:
    return text in one.lines()[0]


async def test_the_last_snapshot_stays_as_stale_and_recovers_by_itself(
    make_redis: RedisMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "LONGEST_WAIT_SECONDS", 0.1)
    server = make_redis(appendonly="always")
    settings = {"data_dir": str(tmp_path), "broker_url": server.url()}
    async with drive_console(settings) as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.sees("pothole.report")
        await asyncio.to_thread(server.terminate)
        await one.sees("STALE")
        lines = one.lines()
        assert "STALE" in lines[0]
        assert any("pothole.report" in line for line in lines[1:-1])
        assert str(server.port) in lines[-1]
        seen = one.console.store.snapshot.at
        await asyncio.to_thread(server.start)
        await one.until("it polls again", lambda: one.console.store.snapshot.at > seen)
        await one.enqueue("pothole.report", POTHOLE)
        await one.until(
            "both are counted", lambda: one.console.store.snapshot.queues[0].counts.queued == 2
        )
        await one.until("all is well again", lambda: "STALE" not in one.text())


@pytest.mark.parametrize("name", ["queue", "cases"])
async def test_the_console_reopens_files_that_were_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None, name: str
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "LONGEST_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(hms_svc.tui.store, "HEALTH_SECONDS", 0.0)
    async with drive_console({"data_dir": str(tmp_path)}) as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.sees("pothole.report")
        before = await one.operations()
        replaced(tmp_path / f"{name}.db")
        await one.until(
            "the files are open anew",
            lambda: one.console.store._operations not in {None, before},
        )
        await one.enqueue("pothole.report", POTHOLE)
        await one.until(
            "both are counted", lambda: one.console.store.snapshot.queues[0].counts.queued == 2
        )
        await one.until("all is well again", lambda: "STALE" not in one.text())


async def test_a_console_that_starts_without_the_database_shows_what_the_broker_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "REOPEN_SECONDS", 0.5)
    settings = {"data_dir": str(tmp_path)}
    (tmp_path / "cases.db").mkdir()
    async with drive_console(settings) as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.sees("pothole.report")
        assert top_has(one, "✗ sqlite")
        assert top_has(one, "database down")
        await one.press("6")
        await one.sees("this requires the database")
        (tmp_path / "cases.db").rmdir()
        await one.until("the database is open", lambda: not top_has(one, "database down"))
        await one.until("the cases are asked for", lambda: "needs the database" not in one.text())


async def test_no_action_is_queued_while_the_broker_is_away_and_all_work_when_it_is_back(
    make_redis: RedisMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "LONGEST_WAIT_SECONDS", 0.1)
    server = make_redis()
    server.terminate()
    settings = {"data_dir": str(tmp_path), "broker_url": server.url()}
    async with drive_console(settings, waits=False) as one:
        await one.until("the problem is shown", lambda: one.console.store.snapshot.trouble)
        await one.press("e")
        await one.sees("nothing was done")
        await asyncio.to_thread(server.start)
        await one.until("the broker is there", lambda: one.console.store.snapshot.at)
        assert len(one.console.screen_stack) == 2
        await one.press("e")
        await one.opened("ChooseDialog")


async def test_an_unreachable_database_is_named_as_the_cause(
    make_redis: RedisMaker, postgres_server: PostgresServer, postgres_database: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None,
) -> None:  # fmt: skip
    monkeypatch.setattr(hms_svc.tui.store, "HEALTH_SECONDS", 0.0)
    home = postgres_server.home
    with Proxy(home.port, host=home.host, dialect=POSTGRESQL) as proxy:
        address = f"postgresql://{home.user}@{LOOPBACK}:{proxy.port}/{postgres_database}"
        settings = {
            "data_dir": str(tmp_path), "broker_url": make_redis().url(), "database_url": address
        }  # fmt: skip
        async with drive_console(settings) as one:
            [job_id] = await one.enqueue("pothole.report", POTHOLE)
            await one.press("6")
            await one.sees("No case has been opened")
            await asyncio.to_thread(proxy.refuse)
            await one.sees("✗ postgresql")
            await one.until("the query fails", lambda: one.console.store.snapshot.query_trouble)
            for key, text in (("6", "STALE"), ("9", "waiting")):
                await one.press(key)
                await one.until(f"{text} is shown", partial(top_has, one, text))
                top = one.lines()[0]
                assert "● redis" in top
                assert "✗ postgresql" in top
                assert "database down" in top
            await one.press("1")
            await one.sees("pothole.report")
            await one.enqueue("pothole.report", POTHOLE)
            await one.until(
                "the overview stays live",
                lambda: one.console.store.snapshot.queues[0].counts.queued == 2,
            )
            assert "STALE" not in one.text()
            one.console.navigation.follow(f"job:{job_id}")
            await one.sees("case and audit trail")
            await asyncio.to_thread(proxy.pass_through)
            await one.press("escape", "6")
            await one.until("it heals", lambda: "database down" not in one.text())
            await one.until("cases are there again", lambda: "STALE" not in one.lines()[0])


async def test_an_unreachable_broker_leaves_the_cases_live(
    make_redis: RedisMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "LONGEST_WAIT_SECONDS", 0.1)
    server = make_redis()
    async with drive_console({"data_dir": str(tmp_path), "broker_url": server.url()}) as one:
        await one.press("6")
        await one.sees("No case has been opened")
        await asyncio.to_thread(server.terminate)
        await one.sees("broker down")
        assert "✗ redis" in one.lines()[0]
        assert "● sqlite" in one.lines()[0]
        seen = one.console.store.snapshot.seen
        assert seen is not None
        await one.until(
            "the cases are read again",
            lambda: (now := one.console.store.snapshot.seen) is not None and now.at > seen.at,
        )
        assert "STALE" not in one.text()
        await one.press("1")
        await one.sees("STALE")


async def test_the_age_in_the_top_line_advances_behind_a_dialog(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        await one.press("e")
        await one.opened("ChooseDialog")
        before = one.console.store.snapshot.at
        await one.until("it polls on", lambda: one.console.store.snapshot.at > before)
        one.console.store.set_frozen(frozen=True)
        console_screen = current_screen(one.console)
        assert console_screen is not None
        await one.until(
            "the top line shows it",
            lambda: "paused, " in console_screen.query_one("#top", Bar).render_line(0).text,
        )


async def test_a_hanging_broker_is_reported_and_recovers_by_itself(
    make_redis: RedisMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "LONGEST_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(answer_timeout, "ASK_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(answer_timeout, "PROBE_SECONDS", 0.1)
    server = make_redis()
    async with drive_console({"data_dir": str(tmp_path), "broker_url": server.url()}) as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.sees("pothole.report")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await one.sees("STALE")
            await one.sees("no answer in")
            assert any("pothole.report" in line for line in one.lines()[1:-1])
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await one.until("all is well again", lambda: "STALE" not in one.text())


async def test_a_slow_broker_is_reported_as_slow_not_as_down(
    make_redis: RedisMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "HEALTH_SECONDS", 0.0)
    with Proxy(make_redis().port) as proxy:
        url = f"redis://{LOOPBACK}:{proxy.port}/0"
        async with drive_console(
            {"data_dir": str(tmp_path), "broker_url": url}, size=(160, 40)
        ) as one:
            await one.enqueue("pothole.report", POTHOLE)
            proxy.delay(300)
            await one.sees("broker slow")
            assert "broker down" not in one.text()
            proxy.delay(0)
            await one.until("it is fast again", lambda: "broker slow" not in one.text())
