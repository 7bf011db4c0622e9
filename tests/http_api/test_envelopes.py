"""Envelopes come in through the HTTP server, in every mode, once."""

from __future__ import annotations

import asyncio
import base64
import codecs
import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from hms_svc.domain.ids import derived_id
from hms_svc.domain.signatures import sign
from hms_svc.operations.producer_fields import producer_fields, sender_facts
from hms_svc.operations.reads import FullJob
from hms_svc.operations.tokens import Scope
from hms_svc.tui.job_page import job_page
from hms_svc.tui.snapshot import FullJobSeen
from tests.support.api import NOTICE, ApiService, ServiceMaker
from tests.support.command_line import make_cli

SECRET = "whsec_" + base64.b64encode(b"the secret of a2a").decode()
AGENCIES = f"""
[[sender]]
name = "a2a"
source = "/a2a/*"
[[sender.map]]
event = "gov.notice.*"
job = "crew.notify"

[[sender]]
name = "signed"
source = "/signed/*"
secret = "{SECRET}"
[[sender.map]]
event = "*"
job = "crew.notify"
"""


@pytest.fixture
async def service(make_service: ServiceMaker, tmp_path: Path) -> ApiService:
    file = tmp_path / "agencies.toml"
    file.write_text(AGENCIES)
    return await make_service(agencies_file=file)


def event(id: str = "7", source: str = "/a2a/city", type: str = "gov.notice.new") -> CloudEvent:
    attributes = {"id": id, "source": source, "type": type, "specversion": "1.0"}
    return CloudEvent({**attributes, "datacontenttype": "application/json"}, NOTICE)


async def send(service: ApiService, message: HTTPMessage, **headers: str) -> Any:
    named = {**message.headers, **{name.replace("_", "-"): v for name, v in headers.items()}}
    return await service.client.post("/envelopes", content=message.body, headers=named)


def batch(*events: CloudEvent) -> HTTPMessage:
    bodies = [json.loads(to_structured_event(each).body) for each in events]
    headers = {"content-type": "application/cloudevents-batch+json"}
    return HTTPMessage(headers=headers, body=json.dumps(bodies).encode())


async def test_the_same_event_in_every_mode_is_one_job(service: ApiService) -> None:
    answers = [
        await send(service, to_binary_event(event())),
        await send(service, to_structured_event(event())),
        await send(service, batch(event(), event("8"))),
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    first, second, third = (answer.json()["jobs"] for answer in answers)
    assert [first[0]["exists"], second[0]["exists"]] == [False, True]
    assert {first[0]["id"], second[0]["id"]} == {third[0]["id"]}
    assert [job["exists"] for job in third] == [True, False]
    assert len(await service.claim()) == 2


async def test_an_event_is_known_also_when_its_job_has_gone(service: ApiService) -> None:
    await send(service, to_binary_event(event()))
    [job] = await service.claim()
    await service.settle(job)
    await service.backend.control.forget([job.job.id])
    answer = await send(service, to_structured_event(event()))
    assert (answer.status_code, answer.json()["jobs"][0]["exists"]) == (202, True)
    assert await service.claim() == []


async def test_the_same_data_in_another_order_is_the_same(service: ApiService) -> None:
    first = CloudEvent(event().get_attributes(), {"case_id": "c", "kind": "tree", "urgency": 1})
    other = CloudEvent(event().get_attributes(), {"urgency": 1.0, "kind": "tree", "case_id": "c"})
    assert (await send(service, to_structured_event(first))).status_code == 202
    assert (await send(service, to_structured_event(other))).json()["jobs"][0]["exists"] is True


async def test_beside_one_that_is_refused_the_others_are_known_all_the_same(
    service: ApiService,
) -> None:
    await send(service, to_structured_event(event("1")))
    await service.settle((await service.claim())[0])
    other = CloudEvent(event("1").get_attributes(), {"case_id": "case-2"})
    assert (await send(service, batch(other, event("2")))).status_code == 409
    [job] = await service.claim()
    await service.settle(job)
    await service.backend.control.forget([job.job.id])
    answer = await send(service, to_structured_event(event("2")))
    assert answer.json()["jobs"][0]["exists"] is True


async def test_one_id_with_other_data_is_refused(service: ApiService) -> None:
    await send(service, to_structured_event(event()))
    other = CloudEvent(event().get_attributes(), {"case_id": "case-2"})
    assert (await send(service, to_structured_event(other))).status_code == 409


async def test_what_no_mapping_takes_is_kept_for_an_operator(service: ApiService) -> None:
    answer = await send(service, to_structured_event(event(type="gov.tree.fell")))
    [job] = answer.json()["jobs"]
    assert (answer.status_code, job["type"]) == (202, "envelope.receive")


async def test_a_sender_with_a_secret_must_sign(service: ApiService) -> None:
    message = to_structured_event(event(source="/signed/one"))
    assert (await send(service, message)).status_code == 401
    now = int(time.time())
    signature = sign(SECRET, "m-1", now, message.body)
    headers = {"webhook_id": "m-1", "webhook_timestamp": str(now)}
    answer = await send(service, message, **headers, webhook_signature=signature)
    assert answer.status_code == 202
    forged = sign(SECRET[:-4] + "AAA=", "m-1", now, message.body)
    assert (await send(service, message, **headers, webhook_signature=forged)).status_code == 401


async def test_a_signature_covers_all_that_is_used_of_a_request(service: ApiService) -> None:
    """In binary mode it would leave out id, source and type."""
    message = to_binary_event(event(source="/signed/one"))
    now = int(time.time())
    signature = sign(SECRET, "m-1", now, message.body)
    headers = {"webhook_id": "m-1", "webhook_timestamp": str(now), "webhook_signature": signature}
    for id in ("7", "8"):
        answer = await send(service, message, **headers, ce_id=id)
        assert (answer.status_code, answer.json()["title"]) == (401, "not signed")
        assert "must use structured (application/cloudevents+json) or batch mode" in answer.text
    structured = to_structured_event(event(source="/signed/one"))
    headers["webhook_signature"] = sign(SECRET, "m-1", now, structured.body)
    other = {"content-type": "application/json", "ce-id": "9", "ce-source": "/signed/one"}
    as_binary = HTTPMessage(
        headers={**other, "ce-type": "gov.notice.new", "ce-specversion": "1.0"},
        body=structured.body,
    )
    assert (await send(service, as_binary, **headers)).status_code == 401
    assert (await send(service, structured, **headers)).status_code == 202
    assert len(await service.claim()) == 1


async def test_nobody_can_come_before_an_envelope_with_its_id(service: ApiService) -> None:
    id = derived_id("envelope", "/a2a/city", "7")
    assert (await service.post({"id": id, "type": "x.y", "data": 1})).status_code == 422
    answer = await send(service, to_structured_event(event()))
    assert (answer.status_code, answer.json()["jobs"][0]["id"]) == (202, id)


@pytest.mark.parametrize(
    ("headers", "body", "told"),
    [
        ({"content-type": "application/cloudevents+json"}, b"{}", "specversion"),
        (
            {"content-type": "application/cloudevents+json"},
            b'{"specversion":"0.3","id":"1","source":"a","type":"b"}',
            "0.3",
        ),
        ({"content-type": "application/json"}, b"{}", "ce-"),
        ({"content-type": "application/cloudevents+json"}, b"[1", "not JSON"),
        (
            {"content-type": "application/cloudevents+json"},
            codecs.BOM_UTF8 + b"{}",
            "begins with a byte-order mark",
        ),
        (
            {"content-type": "application/cloudevents+json"},
            "{}".encode("utf-16"),
            "it begins like UTF-16",
        ),
    ],
)
async def test_what_is_no_envelope_is_refused_and_the_attribute_named(
    service: ApiService, headers: dict[str, str], body: bytes, told: str
) -> None:
    answer = await service.client.post("/envelopes", content=body, headers=headers)
    assert answer.status_code in {400, 415, 422}
    assert told in answer.json()["detail"]


async def test_envelopes_need_the_scope_of_producers(service: ApiService) -> None:
    viewer = await service.token(Scope.VIEW)
    message = to_structured_event(event())
    assert (await send(service, message, **viewer)).status_code == 403


NOT_JSON: dict[str, tuple[str, Any]] = {
    "xml": ("application/xml", "<a>\u00e9</a>"),
    "text": ("text/plain", "a line\n"),
    "text in Latin-1": ("text/plain; charset=ISO-8859-1", "caf\u00e9"),
    "text in Unicode": ("text/plain; charset=utf-8", "\U0001f573 \u4e2d\u6587"),
    "octets": ("application/octet-stream", b"\x00\xff\x80"),
    "nothing": ("text/plain", ""),
}


@pytest.mark.parametrize("type", ["gov.notice.new", "gov.tree.fell"])
@pytest.mark.parametrize("kind", NOT_JSON)
async def test_data_that_are_not_json_are_one_job_in_every_mode(
    service: ApiService, kind: str, type: str
) -> None:
    content_type, data = NOT_JSON[kind]
    attributes = plainly(event(type=type)) | {"datacontenttype": content_type}
    raw = data if isinstance(data, bytes) else data.encode(charset_of(content_type))
    encoded = {**attributes, "data_base64": base64.b64encode(raw).decode()}
    plain = encoded if isinstance(data, bytes) else {**attributes, "data": data}
    structured, many = "application/cloudevents+json", "application/cloudevents-batch+json"
    of_binary = timeless(to_binary_event(CloudEvent(attributes, raw))).headers
    messages = [
        HTTPMessage(headers=of_binary, body=raw),
        HTTPMessage(headers={"content-type": structured}, body=json.dumps(plain).encode()),
        HTTPMessage(headers={"content-type": structured}, body=json.dumps(encoded).encode()),
        HTTPMessage(headers={"content-type": many}, body=json.dumps([encoded, plain]).encode()),
    ]
    answers = [await send(service, message) for message in messages]
    assert [answer.status_code for answer in answers] == [202] * 4, [a.text for a in answers]
    found = [job for answer in answers for job in answer.json()["jobs"]]
    assert len({job["id"] for job in found}) == 1
    assert [job["exists"] for job in found] == [False, True, True, True]
    other = HTTPMessage(headers=of_binary, body=raw + b"!")
    assert (await send(service, other)).status_code == 409


def plainly(event: CloudEvent) -> dict[str, Any]:
    """Return the attributes without a time, which the library makes anew for each event."""
    return {name: value for name, value in event.get_attributes().items() if name != "time"}


def timeless(message: HTTPMessage) -> HTTPMessage:
    headers = {name: value for name, value in message.headers.items() if name != "ce-time"}
    return HTTPMessage(headers=headers, body=message.body)


def charset_of(content_type: str) -> str:
    return content_type.partition("charset=")[2] or "utf-8"


async def test_a_text_that_its_charset_has_not_is_a_fault(service: ApiService) -> None:
    whole = {**plainly(event()), "datacontenttype": "text/plain;charset=us-ascii"}
    body = json.dumps({**whole, "data": "caf\u00e9"}).encode()
    headers = {"content-type": "application/cloudevents+json"}
    answer = await send(service, HTTPMessage(headers=headers, body=body))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "data")


async def test_json_is_what_no_content_type_says_also_where_no_mapping_takes_it(
    service: ApiService,
) -> None:
    whole = {**plainly(event(type="gov.tree.fell")), "data": NOTICE}
    bare = {name: value for name, value in whole.items() if name != "datacontenttype"}
    headers = {"content-type": "application/cloudevents+json"}
    for body in (whole, bare, {**bare, "datacontenttype": 'application/json; charset="UTF-8"'}):
        message = HTTPMessage(headers=headers, body=json.dumps(body).encode())
        assert (await send(service, message)).status_code == 202
    other = timeless(to_binary_event(event(type="gov.tree.fell")))
    assert (await send(service, other)).json()["jobs"][0]["exists"] is True


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_who_sent_an_event_is_shown_everywhere(service: ApiService) -> None:
    attributes = event().get_attributes() | {
        "subject": "ward 7",
        "time": dt.datetime(2026, 11, 28, 6, tzinfo=dt.UTC),
        "traceparent": TRACE,
        "priority": 5,
    }
    answer = await send(service, to_structured_event(CloudEvent(attributes, NOTICE)))
    job_id = answer.json()["jobs"][0]["id"]
    shown = (await service.client.get(f"/jobs/{job_id}")).json()
    assert (shown["traceparent"], shown["unknown_fields"]) == (TRACE, {})
    told = shown["meta"]["cloudevent"]
    assert (told["source"], told["id"], told["type"]) == ("/a2a/city", "7", "gov.notice.new")
    assert (told["subject"], told["time"]) == ("ward 7", "2026-11-28T06:00:00Z")
    assert told["extensions"]["priority"] == 5
    facts = {
        "sent by": "/a2a/city",
        "as event": "7",
        "event type": "gov.notice.new",
        "subject": "ward 7",
        "time": "2026-11-28T06:00:00Z",
        "priority": "5",
        "trace": TRACE,
    }
    detail, _ = await service.api.reads.detail(job_id)
    assert dict(sender_facts(producer_fields(detail))).items() >= facts.items()
    cli = make_cli(service.api.settings.data_dir)
    assert (await asyncio.to_thread(cli, "jobs", "show", job_id, "--json")).row["meta"] == shown[
        "meta"
    ]
    for_people = (await asyncio.to_thread(cli, "jobs", "show", job_id)).out
    console = job_page(
        FullJobSeen(FullJob(detail=detail, case=None, audit=(), archived=False), ""), 0
    )
    on_screen = "\n".join("".join(each.text for each in line) for line in console.lines)
    for name, value in facts.items():
        for text in (for_people, on_screen):
            assert any(
                line.split(maxsplit=len(name.split()))[-1:] == [value]
                for line in text.splitlines()
                if line.startswith(name)
            ), (name, text)


async def test_fields_that_nobody_knows_and_meta_are_shown(service: ApiService) -> None:
    job = {"type": "crew.notify", "data": NOTICE, "meta": {"who": "ravi"}, "colour": "red"}
    job_id = (await service.post({**job, "traceparent": TRACE})).json()["id"]
    shown = (await service.client.get(f"/jobs/{job_id}")).json()
    assert (shown["meta"], shown["unknown_fields"]) == ({"who": "ravi"}, {"colour": "red"})
    cli = make_cli(service.api.settings.data_dir)
    for_people = (await asyncio.to_thread(cli, "jobs", "show", job_id)).out
    assert all(text in for_people for text in ('"who": "ravi"', '"colour": "red"', TRACE))
