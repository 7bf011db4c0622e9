"""Who does not answer is left alone: over a real HTTP server, by a clock of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from hms_svc.domain.errors import DeliveryFailed
from hms_svc.domain.outcome import Snooze
from hms_svc.services.breaker import Breaker
from hms_svc.services.webhook import Webhook
from tests.unit.local_http import LocalHttp, local_http
from tests.unit.test_webhook import SECRET


class Receiver:
    """A receiver, and what tells it; `now` is in seconds."""

    def __init__(self, server: LocalHttp) -> None:
        self.server = server
        self.now = 0.0
        self.put_off: list[Snooze] = []
        self.webhook = Webhook(
            server.url, secret=SECRET, allowed_hosts=("127.0.0.1",), timeout_seconds=0.2,
            breaker=Breaker(now=lambda: self.now),
        )  # fmt: skip

    async def tell(self) -> str:
        try:
            return str(await self.webhook.deliver("m", b"{}"))
        except DeliveryFailed as error:
            return str(error.status or "no answer")
        except Snooze as later:
            self.put_off.append(later)
            return "later"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with local_http() as server:
        yield Receiver(server)


async def test_after_three_tries_without_an_answer_none_is_made_for_a_while(
    receiver: Receiver,
) -> None:
    receiver.server.silent = True
    told = [await receiver.tell() for _ in range(6)]
    assert told == ["no answer"] * 3 + ["later"] * 3
    assert len(receiver.server.received) <= 3
    assert all(5 <= later.for_seconds <= 10 for later in receiver.put_off)
    assert "127.0.0.1 has not answered 3 times in a row" in receiver.put_off[0].why


async def test_then_one_try_decides_and_each_failure_doubles_the_pause(receiver: Receiver) -> None:
    receiver.server.status = 503
    assert [await receiver.tell() for _ in range(4)] == ["503"] * 3 + ["later"]
    for pause in (5, 10, 20, 40, 60, 60):
        receiver.now += pause - 0.1
        assert await receiver.tell() == "later"
        receiver.now += 0.2
        assert await receiver.tell() == "503"
    receiver.server.status = 204
    receiver.now += 60.1
    assert [await receiver.tell() for _ in range(5)] == ["204"] * 5


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
async def test_a_receiver_that_refuses_one_event_is_told_of_the_others(
    receiver: Receiver, status: int
) -> None:
    receiver.server.status = status
    assert [await receiver.tell() for _ in range(8)] == [str(status)] * 8


async def test_an_answer_in_between_begins_the_count_anew(receiver: Receiver) -> None:
    receiver.server.first_statuses = [500, 429, 204, 500, 429, 500]
    assert [await receiver.tell() for _ in range(7)] == [
        "500", "429", "204", "500", "429", "500", "later",
    ]  # fmt: skip


async def test_who_answers_slowly_is_tried_twice_at_a_time_until_it_is_quick_again() -> None:
    """Otherwise a receiver that takes nine seconds for each event would hold all slots for ever."""
    now = 0.0
    breaker = Breaker(now=lambda: now)

    def begin() -> ExitStack:
        stack = ExitStack()
        stack.enter_context(breaker.one_try("slow.example"))
        return stack

    first = [begin() for _ in range(5)]
    now = 9.0
    for each in first:
        each.close()
    running = [begin(), begin()]
    waits = []
    for _ in range(30):
        with pytest.raises(Snooze, match="takes 9 s to answer") as later:
            begin()
        waits.append(later.value.for_seconds)
    assert all(4.5 * turn <= wait <= 4.5 * turn + 1 for turn, wait in enumerate(waits[:13], 1))
    assert max(waits) <= 61, "those that wait look again within a minute"
    for each in running:
        each.close()
    for _ in range(4):
        begin().close()
    many = [begin() for _ in range(5)]
    for each in many:
        each.close()
