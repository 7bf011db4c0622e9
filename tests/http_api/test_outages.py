"""What was answered with 202 is there, whatever is cut or killed meanwhile."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.api import NOTICE, ApiService, ServiceMaker
from tests.support.redis_server import RedisMaker, RedisServer
from tests.support.waiting import until

JOB = {"type": "crew.notify", "data": NOTICE}
LONG = pytest.param(1000, marks=[pytest.mark.chaos, pytest.mark.timeout(300)])


async def known(service: ApiService) -> int:
    queues = await service.backend.inspection.queues()
    return sum(queue.counts.queued for queue in queues)


async def post_and_leave(service: ApiService, key: str) -> None:
    """Post a job, and be gone when the answer comes."""
    body = json.dumps(JOB).encode()
    head = (
        f"POST /jobs HTTP/1.1\r\nhost: 127.0.0.1:{service.port}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nidempotency-key: {key}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(head.encode() + body)
    assert await reader.read(1)  # the answer is on its way, and nobody hears it
    writer.transport.abort()


@pytest.mark.parametrize("posts", [40, LONG])
async def test_posts_cut_after_the_answer_and_repeated_under_their_key_are_each_one_job(
    any_service: ApiService, posts: int
) -> None:
    keys = [f"key-{number}" for number in range(posts)]
    for start in range(0, posts, 20):
        some = keys[start : start + 20]
        await asyncio.gather(*(post_and_leave(any_service, key) for key in some))
        answers = await asyncio.gather(
            *(any_service.post(JOB, idempotency_key=key) for key in some)
        )
        assert {answer.status_code for answer in answers} == {202}
        assert {answer.headers["idempotency-replayed"] for answer in answers} == {"true"}
    assert await known(any_service) == posts


class Producers:
    """Post without end, and keep a journal of what was answered with 202."""

    def __init__(self, service: ApiService) -> None:
        self._service = service
        self.journal: list[str] = []
        self.refused = 0
        self.stopping = False

    async def run(self) -> None:
        while not self.stopping:
            answer = await self._service.post()
            if answer.status_code == 202:
                self.journal.append(answer.json()["id"])
                continue
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2"), answer.text
            self.refused += 1
            await asyncio.sleep(0.01)

    async def outage(self, server: RedisServer) -> None:
        """Kill the broker in the middle, and go on until jobs are accepted again."""
        accepted, refused = len(self.journal), self.refused
        await self.reach(lambda: len(self.journal) > accepted + 20)
        server.kill()
        await self.reach(lambda: self.refused > refused)
        await asyncio.to_thread(server.start)
        accepted = len(self.journal)
        await self.reach(lambda: len(self.journal) > accepted + 20)

    async def reach(self, reached: object) -> None:
        async def holds() -> bool:
            assert callable(reached)
            return bool(reached())

        await until("the producers go on", holds)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=[pytest.mark.chaos])])
async def test_no_202_for_a_job_that_is_missing_after_the_broker_was_killed(
    make_service: ServiceMaker, make_redis: RedisMaker, kills: int
) -> None:
    server = make_redis(appendonly="always")
    service = await make_service(broker_url=server.url())
    producers = Producers(service)
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(producers.run())
        for _ in range(kills):
            await producers.outage(server)
        producers.stopping = True
    found = await service.backend.inspection.details(producers.journal)
    assert [detail for detail in found if detail is None] == []
    assert len(set(producers.journal)) == len(producers.journal)
