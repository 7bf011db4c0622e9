"""Webhooks and the libraries of standardwebhooks.com: they verify ours and sign to us; Retry-After is heeded."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.chaos.site import Site
from tests.interop.conftest import is_ready
from tests.interop.parts import part, python_part, run_node
from tests.interop.receivers import Answer, answering
from tests.support.proxy import LOOPBACK, free_port
from tests.support.serve_process import Served
from tests.support.waiting import wait_until

pytestmark = pytest.mark.interop

PAGE = Path(__file__).parents[2] / "docs/webhooks.md"
OURS = "whsec_" + base64.b64encode(b"what the crew knows").decode()
THEIRS = "whsec_" + base64.b64encode(b"what the sender knows").decode()
NOTICE = {"case_id": "case-1", "lat": 38.5, "lon": -77.0, "urgency": 7, "street": "Große Straße"}


class Sent(msgspec.Struct, frozen=True):
    """One delivery as its receiver saw it; `at` in monotonic seconds."""

    headers: dict[str, str]
    body: bytes
    at: float


class Receiver:
    """Remembers deliveries; the first of a kind are answered as told."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.first: list[Answer] = []
        self._lock = threading.Lock()

    def answer(self, headers: Mapping[str, str], body: bytes) -> Answer:
        with self._lock:
            self.sent.append(Sent(dict(headers), body, time.monotonic()))
            return self.first.pop(0) if self.first else (204, {}, b"")

    def of_kind(self, content_type: str) -> list[Sent]:
        with self._lock:
            return [each for each in self.sent if each.headers["content-type"] == content_type]


class Town:
    """A service that tells one receiver, as crew and as agency, and takes envelopes of one sender."""

    def __init__(self, url: str, served: Served, receiver: Receiver) -> None:
        self.url = url
        self.served = served
        self.receiver = receiver

    def notify(self) -> str:
        job = {"type": "crew.notify", "data": NOTICE}
        return str(httpx.post(f"{self.url}/jobs", json=job, timeout=30).json()["id"])

    def delivered(self, content_type: str, number: int = 1) -> list[Sent]:
        self.served.wait_until(
            f"{number} of {content_type}",
            lambda: len(self.receiver.of_kind(content_type)) >= number,
        )
        return self.receiver.of_kind(content_type)


@pytest.fixture
def town(site: Site, tmp_path: Path) -> Iterator[Town]:
    receiver, address = Receiver(), f"{LOOPBACK}:{free_port()}"
    with answering(receiver.answer) as url:
        agencies = tmp_path / "agencies.toml"
        agencies.write_text(
            f'[[receiver]]\nname = "act"\nurl = "{url}/events"\nsecret = "{OURS}"\n'
            'types = ["job.completed"]\nallow_private = true\n'
            f'[[sender]]\nname = "city"\nsource = "/city"\nsecret = "{THEIRS}"\n'
            '[[sender.map]]\nevent = "city.call"\njob = "crew.notify"\n'
        )
        served = site.serve(
            http=address,
            webhook_url=f"{url}/crew",
            webhook_secret=OURS,
            webhook_allowed_hosts=LOOPBACK,
            agencies_file=agencies,
        )
        served.wait_until("it is ready", lambda: is_ready(address))
        yield Town(f"http://{address}", served, receiver)


def both_kinds(town: Town) -> list[Sent]:
    """One delivery of each kind; their bodies are what the page says of them."""
    job_id = town.notify()
    [notice] = town.delivered("application/json")
    [event] = town.delivered("application/cloudevents+json")
    assert json.loads(notice.body) == {"type": "crew.notify", "data": NOTICE}
    assert notice.headers["webhook-id"] == job_id
    told = json.loads(event.body)
    assert event.headers["webhook-id"] == told["id"]
    assert {"specversion", "id", "source", "type", "subject", "time", "data"} <= set(told)
    assert (told["type"], told["subject"]) == ("job.completed", job_id)
    return [notice, event]


def signature_of(sent: Sent) -> dict[str, str]:
    return {name: sent.headers[name] for name in sent.headers if name.startswith("webhook-")}


def test_the_libraries_verify_what_we_sign(town: Town) -> None:
    library = python_part("standardwebhooks")
    for sent in both_kinds(town):
        assert library.Webhook(OURS).verify(sent.body, sent.headers) == json.loads(sent.body)
        with pytest.raises(library.WebhookVerificationError):
            library.Webhook(THEIRS).verify(sent.body, sent.headers)
        words = ("verify", OURS, json.dumps(signature_of(sent)), sent.body.decode())
        assert json.loads(run_node("webhooks.mjs", *words)) == json.loads(sent.body)


def test_the_ten_lines_of_the_page_verify_what_we_sign(town: Town, tmp_path: Path) -> None:
    python, script = re.findall(r"```(?:python|js)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(python, names)
    (tmp_path / "lines.mjs").write_text(
        script + "const [secret, headers, body] = process.argv.slice(2);\n"
        "console.log(isSigned(secret, JSON.parse(headers), Buffer.from(body)));\n"
    )

    def by_script(secret: str, headers: dict[str, str], body: bytes) -> bool:
        words = [
            part("node"),
            str(tmp_path / "lines.mjs"),
            secret,
            json.dumps(headers),
            body.decode(),
        ]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout == "true\n"

    for sent in both_kinds(town):
        headers = signature_of(sent)
        old = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 301)}
        rotated = {**headers, "webhook-signature": f"v1,é {headers['webhook-signature']}"}
        for is_signed in (names["is_signed"], by_script):
            assert is_signed(OURS, headers, sent.body)
            assert not is_signed(OURS, headers, sent.body + b" ")
            assert not is_signed("what the crew knows, not", headers, sent.body)
            assert not is_signed(OURS, old, sent.body)
            assert is_signed(OURS, rotated, sent.body)


def test_what_the_libraries_sign_is_taken(town: Town) -> None:
    library = python_part("standardwebhooks")

    def post(number: int, secret: str, *, by_node: bool = False) -> int:
        event = {"specversion": "1.0", "id": str(number), "source": "/city", "type": "city.call"}
        body = json.dumps({**event, "data": NOTICE})
        if by_node:
            headers = json.loads(run_node("webhooks.mjs", "sign", secret, f"m-{number}", body))
        else:
            now = dt.datetime.now(dt.UTC)
            headers = {
                "webhook-id": f"m-{number}",
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": library.Webhook(secret).sign(f"m-{number}", now, body),
            }
        headers["content-type"] = "application/cloudevents+json"
        answer = httpx.post(f"{town.url}/envelopes", content=body, headers=headers, timeout=30)
        return answer.status_code

    assert post(1, THEIRS) == 202
    assert post(2, THEIRS, by_node=True) == 202
    assert post(3, OURS) == 401
    assert len(town.delivered("application/json", 2)) == 2


def test_a_receiver_that_asks_for_time_has_it(town: Town) -> None:
    town.receiver.first = [(503, {"retry-after": "3"}, b"")]
    job_id = town.notify()
    told = f"{town.url}/jobs/{job_id}"
    wait_until("it waits", lambda: httpx.get(told, timeout=30).json()["state"] == "retrying")
    first, second = town.delivered("application/json", 2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == job_id
    assert second.at - first.at >= 3
    wait_until("it is done", lambda: httpx.get(told, timeout=30).json()["state"] == "completed")
