"""Envelopes in and events out, with a real worker over both brokers."""

from __future__ import annotations

import json
import random

import pytest

from hms_svc.domain.agencies import Agencies, Receiver
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.signatures import sign
from hms_svc.operations.envelopes import EnvelopeIntake
from hms_svc.ports.broker import Acceptance
from hms_svc.ports.control import Act
from hms_svc.sdk.agencies_file import read_agencies
from hms_svc.services import builtin_registry
from tests.support.local_http import LocalHttp, local_http
from tests.support.waiting import until
from tests.support.worker import PLACE, HarnessMaker, WorkerHarness, result_of

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MAPPED = """
[[sender]]
name = "a2a"
source = "/a2a/*"
[[sender.map]]
event = "gov.city.pothole.*"
job = "pothole.report"
"""
HEADERS = {
    "ce-specversion": "1.0",
    "ce-id": "7",
    "ce-source": "/a2a/1",
    "ce-traceparent": TRACE,
    "ce-type": "gov.city.pothole.reported",
}


async def test_an_envelope_that_nothing_took_is_a_dead_letter_until_a_mapping_does(
    open_harness: HarnessMaker,
) -> None:
    body = json.dumps(PLACE).encode()
    async with open_harness(builtin_registry()) as harness:
        [kept] = EnvelopeIntake(Agencies(), harness.engines.clock).receive(HEADERS, body)
        await harness.engines.broker.enqueue([kept])
        harness.start()
        dead = (await harness.reaches(kept.id)).view
        assert (dead.state, dead.attempt) == (State.DEAD, 1)
        assert dead.detail.startswith("no mapping matches gov.city.pothole.reported of /a2a/1: ")
        [group] = await harness.engines.inspection.failures()
        assert group.pattern.startswith("no mapping matches gov.city.pothole.reported of …")

    mended = read_agencies(MAPPED, "agencies.toml")
    async with open_harness(builtin_registry(agencies=mended)) as harness:
        harness.start()
        await harness.act(Act.RETRY, kept.id)
        delivered = result_of(await harness.reaches(kept.id, State.COMPLETED))
        [direct] = EnvelopeIntake(mended, harness.engines.clock).receive(HEADERS, body)
        assert delivered == {"job_id": direct.id, "type": "pothole.report"}
        mapped = await harness.reaches(direct.id)
        assert result_of(mapped)["case_id"].startswith("case-")
        assert json.loads(mapped.envelope)["traceparent"] == TRACE
        [again] = await harness.engines.broker.enqueue([direct])
        assert again.acceptance is Acceptance.EXISTS
        [other] = EnvelopeIntake(mended, harness.engines.clock).receive(HEADERS, b"{}")
        [refused] = await harness.engines.broker.enqueue([other])
        assert refused.acceptance is Acceptance.CONFLICT


SECRET = "the-secret-of-act"


def to_act(told: LocalHttp, *types: str) -> Agencies:
    act = Receiver(name="act", url=told.url, secret=SECRET, types=types, allow_private=True)
    return Agencies(receivers=(act,))


async def delivery(harness: WorkerHarness) -> str:
    where = parse_filter("type:event.deliver")
    page = await harness.engines.inspection.page(where, limit=0, cursor=None)
    [job_id] = {job.id for job in page.jobs}  # one that moves meanwhile may be met in both states
    return job_id


async def test_a_receiver_is_told_of_a_case_once_however_often_it_fails(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.0)
    async with local_http() as told:
        told.first_statuses = [500, 500]
        agencies = to_act(told, "case.*")
        async with open_harness(builtin_registry(agencies=agencies)) as harness:
            harness.start(receivers=agencies.receivers, namespace="city")
            pothole = await harness.run(PLACE, type="pothole.report")
            await until("three attempts", lambda: len(told.received) >= 3)
            delivered = await harness.reaches(await delivery(harness))
            assert result_of(delivered) == {"status": 200}
            [opened] = [
                event.id
                for event in await harness.engines.bus.read(after=0, limit=100)
                if event.type == "case.opened"
            ]
    assert {sent.headers["webhook-id"] for sent in told.received} == {opened}
    sent = told.received[-1]
    assert sent.headers["content-type"] == "application/cloudevents+json"
    at = int(sent.headers["webhook-timestamp"])
    assert sent.headers["webhook-signature"] == sign(SECRET, opened, at, sent.body)
    event = json.loads(sent.body)
    assert (event["type"], event["subject"]) == ("case.opened", pothole.view.id)
    assert len(told.received) == 3


DELIVERY = {"receiver": "act", "event": {"id": "e-1", "type": "case.opened"}}


async def test_a_receiver_that_is_gone_is_not_asked_again(open_harness: HarnessMaker) -> None:
    async with local_http() as told:
        told.status = 410
        registry = builtin_registry(agencies=to_act(told, "*"))
        async with open_harness(registry) as harness:
            harness.start()
            gone = await harness.run(DELIVERY, type="event.deliver")
            removed = await harness.run({**DELIVERY, "receiver": "ops"}, type="event.deliver")
    for dead, words in ((gone, "act answered 410"), (removed, "ops is not in the agencies file")):
        assert (dead.view.state, dead.view.attempt) == (State.DEAD, 1)
        assert words in dead.view.detail
