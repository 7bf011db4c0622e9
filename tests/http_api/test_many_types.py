"""Many types, and a database that hangs: views stay bounded and say what they leave off."""

from __future__ import annotations

import asyncio

import pytest

from hms_svc.operations import reads
from hms_svc.operations.tokens import Scope
from hms_svc.ports.broker import WorkerRegistration
from hms_svc.ports.database import DatabaseHealth
from tests.support.api import ApiService

SERVED = "zoo.feed"


@pytest.fixture
async def crowded(any_service: ApiService, monkeypatch: pytest.MonkeyPatch) -> ApiService:
    """Twelve types, of which a list has room for five; the last in their order is served."""
    monkeypatch.setattr(reads, "MOST_LISTED", 5)
    for number in range(11):
        answer = await any_service.post({"type": f"typo.{number:02}", "data": 1})
        assert answer.status_code == 202
    assert (await any_service.post({"type": SERVED, "data": 1})).status_code == 202
    lease_keeper = any_service.backend.broker.lease_keeper()
    worker = WorkerRegistration(
        id="w", host="h", pid=1, slots=4, busy=0, types=(SERVED,), started_at=1
    )
    await asyncio.to_thread(lease_keeper.register, worker)
    await asyncio.to_thread(lease_keeper.close)
    return any_service


@pytest.mark.parametrize("path", ["/status", "/queues"])
async def test_a_list_has_served_types_first_and_tells_how_many_it_leaves_off(
    crowded: ApiService, path: str
) -> None:
    told = (await crowded.client.get(path)).json()
    assert [queue["type"] for queue in told["queues"]] == [
        "typo.00",
        "typo.01",
        "typo.02",
        "typo.03",
        SERVED,
    ]
    assert told["types_left_off"] == 7


async def test_what_is_asked_of_one_type_is_answered_however_many_there_are(
    crowded: ApiService,
) -> None:
    answer = await crowded.post({"type": "typo.10", "data": 2})
    why = await crowded.client.get(f"/jobs/{answer.json()['id']}/why")
    assert "no live worker serves typo.10" in why.json()["why"]
    paused = await crowded.client.post("/queues/typo.10/pause", json={"intake": True})
    assert paused.status_code == 200
    assert (await crowded.post({"type": "typo.10", "data": 3})).status_code == 503


async def test_a_database_that_hangs_does_not_hold_up_who_does_not_need_it(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens are believed as they were, and the status says that the database does not answer."""
    token = await service.token(Scope.VIEW, Scope.PRODUCE)
    assert (await service.client.get("/status", headers=token)).status_code == 200
    database, hung = service.api.reads.database, asyncio.Event()

    async def hang() -> DatabaseHealth:
        await hung.wait()
        return DatabaseHealth("sqlite", ok=False)

    async def hang_too() -> list[object]:
        await hung.wait()
        return []

    monkeypatch.setattr(database, "health", hang)
    monkeypatch.setattr(database.tokens, "all", hang_too)
    monkeypatch.setattr(reads, "PROBE_SECONDS", 0.05)
    for _ in range(3):
        assert (await service.post(**token)).status_code == 202
        told = (await service.client.get("/status", headers=token)).json()
        assert told["database"] == {"kind": "sqlite", "ok": False, "capacity": None}
    hung.set()
