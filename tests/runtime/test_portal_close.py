"""`hms_svc.close()` while calls are under way on the portal: none is lost, and none waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import hms_svc
from hms_svc import HmsError, Job, aio
from hms_svc.api.portal import portal
from tests.support.waiting import PATIENCE_SECONDS, wait_until

CALLS = 200


@pytest.fixture(autouse=True)
def own_portal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HMS_SVC_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HMS_SVC_CONFIG", "")
    monkeypatch.delenv("HMS_SVC_BROKER_URL", raising=False)
    hms_svc.close()
    yield
    hms_svc.close()


async def test_awaited_calls_are_done_before_or_after_it() -> None:
    calls = [asyncio.create_task(aio.Job("x.y", {"n": n}).enqueue()) for n in range(CALLS)]
    await asyncio.sleep(0)
    closing = threading.Thread(target=hms_svc.close)
    closing.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        late = [asyncio.create_task(aio.Job("x.y", {}).enqueue()) for _ in range(20)]
        assert await asyncio.gather(*calls, *late) == ["queued"] * (CALLS + 20)
    closing.join(PATIENCE_SECONDS)


def test_blocking_calls_of_other_threads_are_done_before_or_after_it() -> None:
    def submit(number: int) -> str:
        return Job("x.y", {"n": number}).enqueue()

    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(submit, number) for number in range(CALLS)]
        for _ in range(5):
            hms_svc.close()
        assert [call.result(PATIENCE_SECONDS) for call in calls] == ["queued"] * CALLS


def test_a_follower_that_waits_for_an_event_gets_an_error() -> None:
    failures: list[HmsError] = []

    def follow() -> None:
        try:
            with hms_svc.events() as stream:
                is_open.set()
                next(stream)
        except HmsError as error:
            failures.append(error)

    is_open = threading.Event()
    follower = threading.Thread(target=follow)
    follower.start()
    assert is_open.wait(PATIENCE_SECONDS)
    first = portal()
    wait_until("it waits", lambda: len(asyncio.all_tasks(first._loop)) > 0)
    hms_svc.close()
    follower.join(PATIENCE_SECONDS)
    assert not follower.is_alive()
    assert len(failures) == 1
