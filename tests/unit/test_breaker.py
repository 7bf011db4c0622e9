"""Who does not answer is left alone: over a real HTTP server, by a clock of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from hms_svc.domain.errors import DeliveryFailed
from hms_svc.domain.outcome import Snooze
from hms_svc.services.breaker import LONGEST_ASKED_SECONDS, Breaker
from hms_svc.services.retry_after import retry_after_seconds
from hms_svc.services.webhook import Webhook
from tests.support.local_http import LocalHttp, local_http
from tests.unit.test_webhook import SECRET


class Receiver:
    """A receiver, and what tells it; `now` is in seconds."""

    def __init__(self, server: LocalHttp, timeout_seconds: float = 30.0) -> None:
        self.server = server
        self.now = 0.0
        self.put_off: list[Snooze] = []
        self.webhook = Webhook(
            server.url,
            secret=SECRET,
            allowed_hosts=("127.0.0.1",),
            timeout_seconds=timeout_seconds,
            breaker=Breaker(now=lambda: self.now),
        )

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
    receiver = Receiver(receiver.server, timeout_seconds=0.2)
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
        "500",
        "429",
        "204",
        "500",
        "429",
        "500",
        "later",
    ]


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


@pytest.mark.parametrize("status", [429, 503])
async def test_who_asks_to_be_left_alone_is(receiver: Receiver, status: int) -> None:
    receiver.server.first_statuses = [status]
    receiver.server.headers = {"retry-after": "120"}
    assert [await receiver.tell() for _ in range(3)] == [str(status), "later", "later"]
    assert all(120 <= later.for_seconds <= 125 for later in receiver.put_off)
    assert "127.0.0.1 has requested a pause of 120 s" in receiver.put_off[0].why
    receiver.now = 120.1
    assert await receiver.tell() == "200"


async def test_nobody_is_left_alone_for_ever(receiver: Receiver) -> None:
    receiver.server.status = 503
    receiver.server.headers = {"retry-after": "999999999"}
    assert [await receiver.tell() for _ in range(2)] == ["503", "later"]
    assert receiver.put_off[0].for_seconds <= LONGEST_ASKED_SECONDS + 5


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_other_answers_ask_for_nothing(receiver: Receiver, status: int) -> None:
    receiver.server.status = status
    receiver.server.headers = {"retry-after": "120"}
    assert [await receiver.tell() for _ in range(2)] == [str(status)] * 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        (" 30 ", 30),
        ("0", None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("9" * 5000, 10**9),
        ("٣", None),
        ("0000000005", 5),
        ("0" * 20, None),
        ("Thu, 01 Jan 1970 00:17:40 GMT", 60),
        ("Thursday, 01-Jan-70 00:17:40 GMT", 60),
        ("Thu Jan  1 00:17:40 1970", 60),
        ("Thu, 01 Jan 1970 00:16:40 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Thu, 99 Jan 1970 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after_seconds(text, 1000.0) == seconds
