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


def top_has(driver: ConsoleDriver, text: str) -> bool:
    return text in driver.lines()[0]


async def test_the_last_snapshot_stays_as_stale_and_recovers_by_itself(
    make_redis: RedisMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "LONGEST_WAIT_SECONDS", 0.1)
    server = make_redis(appendonly="always")
    settings = {"data_dir": str(tmp_path), "broker_url": server.url()}
    async with drive_console(settings) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.sees("pothole.report")
        await asyncio.to_thread(server.terminate)
        await driver.sees("STALE")
        lines = driver.lines()
        assert "STALE" in lines[0]
        assert any("pothole.report" in line for line in lines[1:-1])
        assert str(server.port) in lines[-1]
        seen = driver.console.store.snapshot.at
        await asyncio.to_thread(server.start)
        await driver.until("it polls again", lambda: driver.console.store.snapshot.at > seen)
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.until(
            "both are counted", lambda: driver.console.store.snapshot.queues[0].counts.queued == 2
        )
        await driver.until("all is well again", lambda: "STALE" not in driver.text())


@pytest.mark.parametrize("name", ["queue", "cases"])
async def test_the_console_reopens_files_that_were_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None, name: str
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "LONGEST_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(hms_svc.tui.store, "HEALTH_SECONDS", 0.0)
    async with drive_console({"data_dir": str(tmp_path)}) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.sees("pothole.report")
        before = await driver.operations()
        replaced(tmp_path / f"{name}.db")
        await driver.until(
            "the files are reopened",
            lambda: driver.console.store._operations not in {None, before},
        )
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.until(
            "both are counted", lambda: driver.console.store.snapshot.queues[0].counts.queued == 2
        )
        await driver.until("all is well again", lambda: "STALE" not in driver.text())


async def test_a_console_that_starts_without_the_database_shows_what_the_broker_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "REOPEN_SECONDS", 0.5)
    settings = {"data_dir": str(tmp_path)}
    (tmp_path / "cases.db").mkdir()
    async with drive_console(settings) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.sees("pothole.report")
        assert top_has(driver, "✗ sqlite")
        assert top_has(driver, "database down")
        await driver.press("6")
        await driver.sees("this requires the database")
        (tmp_path / "cases.db").rmdir()
        await driver.until("the database is open", lambda: not top_has(driver, "database down"))
        await driver.until(
            "the cases are asked for", lambda: "needs the database" not in driver.text()
        )


async def test_no_action_is_queued_while_the_broker_is_away_and_all_work_when_it_is_back(
    make_redis: RedisMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "LONGEST_WAIT_SECONDS", 0.1)
    server = make_redis()
    server.terminate()
    settings = {"data_dir": str(tmp_path), "broker_url": server.url()}
    async with drive_console(settings, waits=False) as driver:
        await driver.until("the problem is shown", lambda: driver.console.store.snapshot.trouble)
        await driver.press("e")
        await driver.sees("nothing was done")
        await asyncio.to_thread(server.start)
        await driver.until("the broker is there", lambda: driver.console.store.snapshot.at)
        assert len(driver.console.screen_stack) == 2
        await driver.press("e")
        await driver.opened("ChooseDialog")


async def test_an_unreachable_database_is_named_as_the_cause(
    make_redis: RedisMaker,
    postgres_server: PostgresServer,
    postgres_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fast_polls: None,
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "HEALTH_SECONDS", 0.0)
    home = postgres_server.home
    with Proxy(home.port, host=home.host, dialect=POSTGRESQL) as proxy:
        address = f"postgresql://{home.user}@{LOOPBACK}:{proxy.port}/{postgres_database}"
        settings = {
            "data_dir": str(tmp_path),
            "broker_url": make_redis().url(),
            "database_url": address,
        }
        async with drive_console(settings) as driver:
            [job_id] = await driver.enqueue("pothole.report", POTHOLE)
            await driver.press("6")
            await driver.sees("No case has been opened")
            await asyncio.to_thread(proxy.refuse)
            await driver.sees("✗ postgresql")
            await driver.until(
                "the query fails", lambda: driver.console.store.snapshot.query_trouble
            )
            for key, text in (("6", "STALE"), ("9", "no answer yet")):
                await driver.press(key)
                await driver.until(f"{text} is shown", partial(top_has, driver, text))
                top = driver.lines()[0]
                assert "● redis" in top
                assert "✗ postgresql" in top
                assert "database down" in top
            await driver.press("1")
            await driver.sees("pothole.report")
            await driver.enqueue("pothole.report", POTHOLE)
            await driver.until(
                "the overview stays live",
                lambda: driver.console.store.snapshot.queues[0].counts.queued == 2,
            )
            assert "STALE" not in driver.text()
            driver.console.navigation.follow(f"job:{job_id}")
            await driver.sees("case and audit log")
            await asyncio.to_thread(proxy.pass_through)
            await driver.press("escape", "6")
            await driver.until("it heals", lambda: "database down" not in driver.text())
            await driver.until("cases are there again", lambda: "STALE" not in driver.lines()[0])


async def test_an_unreachable_broker_leaves_the_cases_live(
    make_redis: RedisMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "LONGEST_WAIT_SECONDS", 0.1)
    server = make_redis()
    async with drive_console({"data_dir": str(tmp_path), "broker_url": server.url()}) as driver:
        await driver.press("6")
        await driver.sees("No case has been opened")
        await asyncio.to_thread(server.terminate)
        await driver.sees("broker down")
        assert "✗ redis" in driver.lines()[0]
        assert "● sqlite" in driver.lines()[0]
        seen = driver.console.store.snapshot.seen
        assert seen is not None
        await driver.until(
            "the cases are read again",
            lambda: (now := driver.console.store.snapshot.seen) is not None and now.at > seen.at,
        )
        assert "STALE" not in driver.text()
        await driver.press("1")
        await driver.sees("STALE")


async def test_the_age_in_the_top_line_advances_behind_a_dialog(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.press("e")
        await driver.opened("ChooseDialog")
        before = driver.console.store.snapshot.at
        await driver.until("it polls on", lambda: driver.console.store.snapshot.at > before)
        driver.console.store.set_frozen(frozen=True)
        console_screen = current_screen(driver.console)
        assert console_screen is not None
        await driver.until(
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
    async with drive_console({"data_dir": str(tmp_path), "broker_url": server.url()}) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.sees("pothole.report")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await driver.sees("STALE")
            await driver.sees("no answer in")
            assert any("pothole.report" in line for line in driver.lines()[1:-1])
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await driver.until("all is well again", lambda: "STALE" not in driver.text())


async def test_a_slow_broker_is_reported_as_slow_not_as_down(
    make_redis: RedisMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_polls: None
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "HEALTH_SECONDS", 0.0)
    with Proxy(make_redis().port) as proxy:
        url = f"redis://{LOOPBACK}:{proxy.port}/0"
        async with drive_console(
            {"data_dir": str(tmp_path), "broker_url": url}, size=(160, 40)
        ) as driver:
            await driver.enqueue("pothole.report", POTHOLE)
            proxy.delay(300)
            await driver.sees("broker slow")
            assert "broker down" not in driver.text()
            proxy.delay(0)
            await driver.until("it is fast again", lambda: "broker slow" not in driver.text())
