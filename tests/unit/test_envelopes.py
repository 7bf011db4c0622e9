"""Envelopes as other agencies' programs send them: made by the CloudEvents SDK, in all modes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from hms_svc.domain.agencies import Agencies
from hms_svc.domain.envelope_modes import read_envelopes
from hms_svc.domain.errors import BadInput, IdConflict, MalformedJob, NotSigned
from hms_svc.domain.ids import derived_id
from hms_svc.domain.job import Job
from hms_svc.domain.signatures import check_signature, sign
from hms_svc.domain.strict_json import decode
from hms_svc.operations.envelopes import EnvelopeIntake
from hms_svc.sdk.agencies_file import read_agencies

NOON = 1_767_225_600
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ATTRIBUTES = {
    "id": "7",
    "source": "/hms-a2a/straße",
    "type": "gov.city.pothole.reported",
    "subject": 'a "quoted" 100 % ☂',
    "time": datetime(2026, 1, 1, tzinfo=UTC),
    "datacontenttype": "application/json",
    "traceparent": TRACE,
}
POTHOLE = {"user_id": "usr-1", "lat": 38.9, "lon": -77.0}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
AGENCIES = """
[[sender]]
name = "hms-a2a"
source = "/hms-a2a/*"
[[sender.map]]
event = "gov.city.pothole.*"
job = "pothole.report"
"""
SIGNED = AGENCIES.replace(
    "[[sender.map]]", 'secrets = ["the-old-secret", "the-new-secret"]\n[[sender.map]]'
)


class Noon:
    def now_ms(self) -> int:
        return NOON * 1000

    def lease_ms(self) -> int:
        return 0


def operator(agencies: str = AGENCIES) -> EnvelopeIntake:
    return EnvelopeIntake(read_agencies(agencies, "agencies.toml"), Noon())


def event(data: Any = POTHOLE, **attributes: Any) -> CloudEvent:
    return CloudEvent({**ATTRIBUTES, **attributes}, data)


def batch_of(*events: BaseCloudEvent) -> HTTPMessage:
    each = [to_structured_event(event).body for event in events]
    return HTTPMessage(BATCH, b"[" + b",".join(each) + b"]")


def plain(**changes: Any) -> dict[str, Any]:
    """A CloudEvent as JSON; a change to None leaves the attribute out."""
    given = {"specversion": "1.0", "id": "7", "source": "/hms-a2a/1", "type": "gov.city.tree"}
    return {name: value for name, value in {**given, **changes}.items() if value is not None}


def receive(message: HTTPMessage, agencies: str = AGENCIES) -> list[Job]:
    headers = {name.lower(): value for name, value in message.headers.items()}
    return operator(agencies).receive(headers, message.body)


@pytest.mark.parametrize("mode", [to_structured_event, to_binary_event, batch_of])
def test_an_event_of_the_sdk_is_the_same_job_in_each_mode(
    mode: Callable[[CloudEvent], HTTPMessage],
) -> None:
    [job] = receive(mode(event()))
    assert job.id == derived_id("envelope", "/hms-a2a/straße", "7")
    assert (job.type, job.payload(), job.traceparent) == ("pothole.report", POTHOLE, TRACE)
    assert job.meta is not None
    assert decode(job.meta)["cloudevent"] == {
        "source": "/hms-a2a/straße",
        "id": "7",
        "type": "gov.city.pothole.reported",
        "subject": 'a "quoted" 100 % ☂',
        "time": "2026-01-01T00:00:00Z",
        "datacontenttype": "application/json",
        "extensions": {"traceparent": TRACE},
    }


@pytest.mark.parametrize("mode", [to_structured_event, to_binary_event])
def test_data_that_is_not_json_is_kept_in_base64(
    mode: Callable[[CloudEvent], HTTPMessage],
) -> None:
    [job] = receive(mode(event(b"\x00\xff", datacontenttype="image/png")))
    assert job.payload() == {"data_base64": "AP8="}


def test_what_no_mapping_takes_is_kept_whole() -> None:
    [job] = receive(to_binary_event(event(type="gov.city.tree", ward=7)))
    assert job.type == "envelope.receive"
    assert job.payload() == {
        "specversion": "1.0",
        "id": "7",
        "source": "/hms-a2a/straße",
        "type": "gov.city.tree",
        "subject": 'a "quoted" 100 % ☂',
        "time": "2026-01-01T00:00:00Z",
        "ward": "7",
        "data": POTHOLE,
    }
    [again] = receive(to_binary_event(event(type="gov.city.tree", ward=7, traceparent=TRACE[:-1])))
    assert (again.id, again.data) == (job.id, job.data), "a repetition has a trace of its own"


def test_a_batch_gives_one_job_for_each_distinct_event() -> None:
    jobs = receive(batch_of(event(), event(id="8", type="gov.city.tree"), event()))
    assert [job.type for job in jobs] == ["pothole.report", "envelope.receive"]
    assert receive(HTTPMessage(BATCH, b"[]")) == []
    with pytest.raises(IdConflict, match="id '7' of source '/hms-a2a/straße' occurs twice"):
        receive(batch_of(event(), event({**POTHOLE, "lat": 1.0})))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"id": None}, "id is missing: a CloudEvent requires specversion, id, source, type"),
        ({"source": ""}, "source '' is not a non-empty string"),
        ({"type": 7}, "type 7 is not a non-empty string"),
        ({"specversion": "0.3"}, "specversion '0.3' is not 1.0"),
        ({"time": "noon"}, "time 'noon' is not an RFC 3339 time"),
        ({"Ward": "7"}, "attribute name 'Ward' must be 1 to 64 characters of a-z and 0-9"),
        ({"ward": {}}, "ward is not a string, an integer or a boolean"),
        ({"ward": 7.5}, "ward is not a string, an integer or a boolean"),
        ({"subject": "x" * 1025}, "subject has 1025 characters; the limit is 1024"),
        ({"source": "/a\nb"}, "source '/a\\\\nb' has a control character"),
        ({"data_base64": "%"}, "data_base64 is not a string of base64"),
        ({"data_base64": "AA==", "data": 1}, "data and data_base64 are both given"),
        ({"data": "x" * 1024 * 1024}, "the envelope has 10486.. bytes as JSON; the limit is"),
    ],
)
def test_a_fault_names_the_attribute(changes: dict[str, Any], fault: str) -> None:
    whole = json.dumps(plain(**changes))
    with pytest.raises(MalformedJob, match=f"^{fault}") as caught:
        read_envelopes(STRUCTURED, whole.encode())
    assert caught.value.field in {*changes, "data"}
    with pytest.raises(MalformedJob, match=f"^event 2 of the batch: {fault}"):
        read_envelopes(BATCH, f"[{json.dumps(plain())},{whole}]".encode())


@pytest.mark.parametrize(
    ("headers", "body", "fault"),
    [
        ({"content-type": "application/json"}, b"{}", "not a CloudEvent: expected content-type"),
        ({"content-type": "application/cloudevents+avro"}, b"", "avro is neither"),
        (STRUCTURED, b"[]", "an envelope is a JSON object"),
        (STRUCTURED, b'{"id": 1, "id": 2}', "key 'id' occurs twice"),
        (BATCH, b"{}", "a batch is a JSON array"),
        (BATCH, json.dumps([plain()] * 1001).encode(), "a batch of 1001 events"),
        ({"ce-id": "%ff"}, b"", "ce-id is not percent-encoded UTF-8"),
        ({"ce-data": "1"}, b"", "ce-data is not an attribute"),
        ({"ce-data_base64": "1"}, b"", "ce-data_base64 is not an attribute"),
        ({"ce-id": "7"}, b'{"a": NaN}', "NaN is not a JSON number"),
    ],
)
def test_a_request_that_holds_no_envelope_is_refused(
    headers: dict[str, str], body: bytes, fault: str
) -> None:
    with pytest.raises(BadInput, match=fault):
        read_envelopes(headers, body)


def test_data_nested_beyond_our_limit_is_refused_in_binary_mode_too() -> None:
    headers = {f"ce-{name}": value for name, value in plain().items()}
    deepest = b"[" * 63 + b"]" * 63
    assert read_envelopes(headers, deepest)[0].data is not None
    with pytest.raises(BadInput, match="nested deeper than 64 levels"):
        read_envelopes(headers, b"[" + deepest + b"]")


def signed(body: bytes, secret: str, *, at: int = NOON, id: str = "msg-1") -> dict[str, str]:
    return {
        **STRUCTURED,
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v2,x v1,d3Jvbmc= {sign(secret, 'msg-1', at, body)}",
    }


@pytest.mark.parametrize("at", [NOON - 300, NOON + 300])
@pytest.mark.parametrize("secret", ["the-old-secret", "the-new-secret"])
def test_a_sender_signs_with_any_of_its_secrets(secret: str, at: int) -> None:
    body = to_structured_event(event()).body
    assert len(operator(SIGNED).receive(signed(body, secret, at=at), body)) == 1


BODY = to_structured_event(event()).body
RIGHT = signed(BODY, "the-new-secret")


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        (STRUCTURED, "webhook-id is missing: requests of sender hms-a2a must be signed"),
        ({**RIGHT, "webhook-signature": ""}, "webhook-signature is missing"),
        ({**RIGHT, "webhook-signature": "v1,é"}, "matches no secret of sender hms-a2a"),
        ({**RIGHT, "webhook-timestamp": "soon"}, "webhook-timestamp 'soon' is not a whole number"),
        (signed(BODY, "the-new-secret", at=NOON - 301), "is 301 s old; the limit is 300 s"),
        (signed(BODY, "the-new-secret", at=NOON + 301), "is 301 s ahead"),
        (signed(BODY, "another-secret"), "matches no secret"),
        (signed(BODY + b" ", "the-new-secret"), "matches no secret"),
        (signed(BODY, "the-new-secret", id="msg-2"), "matches no secret"),
    ],
)
def test_a_request_without_a_right_signature_is_refused(
    headers: dict[str, str], fault: str
) -> None:
    with pytest.raises(NotSigned, match=fault):
        operator(SIGNED).receive(headers, BODY)


def test_a_batch_satisfies_the_rule_of_each_of_its_senders() -> None:
    other = '[[sender]]\nname = "ops"\nsource = "/ops/*"\nsecret = "secret-of-ops"\n'
    message = batch_of(event(), event(source="/ops/1"))
    headers = {**signed(message.body, "the-new-secret"), **BATCH}
    with pytest.raises(NotSigned, match="sender ops"):
        operator(SIGNED + other).receive(headers, message.body)
    headers["webhook-signature"] += " " + sign("secret-of-ops", "msg-1", NOON, message.body)
    assert len(operator(SIGNED + other).receive(headers, message.body)) == 2


def test_the_check_agrees_with_the_published_example() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    [sender] = read_agencies(
        f'[[sender]]\nname = "a"\nsource = "*"\nsecret = "{secret}"', "a"
    ).senders
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    check_signature(sender, headers, b'{"test": 2432232314}', 1614265330_000)


def test_without_agencies_everything_is_kept() -> None:
    [job] = EnvelopeIntake(Agencies(), Noon()).receive(STRUCTURED, BODY)
    assert job.type == "envelope.receive"
