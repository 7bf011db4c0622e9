"""What a worker announces of a job carries the job's trace: on the bus, and to receivers."""

from __future__ import annotations

import json
from pathlib import Path

from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from hms_svc.domain.agencies import Receiver
from hms_svc.domain.deliveries import delivery_job
from hms_svc.domain.event import Event, service_event
from tests.support.command_line import Cli, drain

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
POTHOLE = {"user_id": "usr-1", "lat": 38.8977, "lon": -77.0365}
STRUCTURED = {"content-type": "application/cloudevents+json"}


def read(event: object) -> CloudEvent:
    """Read an event as the library of the standard does, which refuses what is none."""
    message = HTTPMessage(headers=STRUCTURED, body=json.dumps(event).encode())
    found = from_structured_event(message, JSONFormat())
    assert isinstance(found, CloudEvent)
    return found


def test_every_event_of_a_job_with_a_trace_carries_it(cli: Cli, tmp_path: Path) -> None:
    jobs = [
        {"id": "mine", "type": "pothole.report", "data": POTHOLE, "traceparent": TRACE},
        {"id": "plain", "type": "drill.run", "data": {}},
    ]
    cli("enqueue", "-", stdin=json.dumps(jobs))
    drain(tmp_path / "data")
    events = [read(row) for row in cli("events", "--json").rows]
    of_mine = {event.get_type(): event for event in events if event.get_subject() == "mine"}
    assert {"case.opened", "job.completed"} <= set(of_mine)
    assert {event.get_extension("traceparent") for event in of_mine.values()} == {TRACE}
    assert "hms:traceparent" not in str([event.get_data() for event in events])
    assert "hms:traceparent" not in cli("events").out
    [plain] = [event for event in events if event.get_subject() == "plain"]
    assert "traceparent" not in plain.get_attributes()
    [case] = cli("cases", "list", "--json").rows
    assert of_mine["case.opened"].get_data()["case_id"] == case["id"]  # type: ignore[index,call-overload]  # the data is any JSON


def test_a_receiver_is_sent_the_trace_of_what_it_is_told_of() -> None:
    event: Event = service_event("mine", "case.opened", "", {"n": 1}, 1_800_000_000_000, TRACE)
    receiver = Receiver(name="act", url="https://act.example/", secret="whsec_AAAA", types=("*",))
    data = delivery_job(receiver, event, "city", 1).payload()
    assert isinstance(data, dict)
    sent = read(data["event"])
    assert (sent.get_extension("traceparent"), sent.get_data()) == (TRACE, {"n": 1})
