"""Envelopes in and events out, with a real worker over both brokers."""

from __future__ import annotations

import json

from hms_svc.domain.agencies import Agencies
from hms_svc.domain.lifecycle import State
from hms_svc.handling.agencies_file import read_agencies
from hms_svc.operations.envelopes import EnvelopeDesk
from hms_svc.ports.broker import Acceptance
from hms_svc.ports.control import Act
from hms_svc.services import builtin_registry

from .conftest import PLACE, FloorMaker, result_of

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
    "ce-specversion": "1.0", "ce-id": "7", "ce-source": "/a2a/1", "ce-traceparent": TRACE,
    "ce-type": "gov.city.pothole.reported",
}  # fmt: skip


async def test_an_envelope_that_nothing_took_is_a_dead_letter_until_a_mapping_does(
    open_floor: FloorMaker,
) -> None:
    body = json.dumps(PLACE).encode()
    async with open_floor(builtin_registry()) as floor:
        [kept] = EnvelopeDesk(Agencies(), floor.engines.clock).receive(HEADERS, body)
        await floor.engines.broker.enqueue([kept])
        floor.start()
        dead = (await floor.reaches(kept.id)).view
        assert (dead.state, dead.attempt) == (State.DEAD, 1)
        assert dead.detail.startswith("no mapping takes gov.city.pothole.reported of /a2a/1: ")
        [group] = await floor.engines.inspection.failures()
        assert group.pattern.startswith("no mapping takes gov.city.pothole.reported of …")

    mended = read_agencies(MAPPED, "agencies.toml")
    async with open_floor(builtin_registry(agencies=mended)) as floor:
        floor.start()
        await floor.act(Act.RETRY, kept.id)
        delivered = result_of(await floor.reaches(kept.id, State.COMPLETED))
        [direct] = EnvelopeDesk(mended, floor.engines.clock).receive(HEADERS, body)
        assert delivered == {"job_id": direct.id, "type": "pothole.report"}
        mapped = await floor.reaches(direct.id)
        assert result_of(mapped)["case_id"].startswith("case-")
        assert json.loads(mapped.envelope)["traceparent"] == TRACE
        [again] = await floor.engines.broker.enqueue([direct])
        assert again.acceptance is Acceptance.EXISTS
        [other] = EnvelopeDesk(mended, floor.engines.clock).receive(HEADERS, b"{}")
        [refused] = await floor.engines.broker.enqueue([other])
        assert refused.acceptance is Acceptance.CONFLICT
