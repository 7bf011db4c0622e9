from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from hms_svc.domain.agencies import Sender
from hms_svc.domain.envelopes import read_envelope
from hms_svc.domain.errors import BadSetting
from hms_svc.domain.signatures import check_signature, sign
from hms_svc.sdk.agencies_file import load_agencies, read_agencies

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "agencies.md"
GOOD = """
[[sender]]
name = "hms-a2a"
source = "/hms-a2a/*"
secrets = ["whsec_b2xkLXNlY3JldA==", "the-new-secret"]
[[sender.map]]
event = "gov.city.pothole.closed"
job = "pothole.close"
[[sender.map]]
event = "gov.city.pothole.*"
job = "pothole.report"

[[sender]]
name = "anyone"
source = "*"

[[receiver]]
name = "act"
url = "https://act.example/hook"
secret = "a-long-secret"
types = ["case.*", "job.dead"]
"""
SENDER = '[[sender]]\nname = "a2a"\nsource = "/a2a/*"\n'
RECEIVER = '[[receiver]]\nname = "act"\nurl = "https://act.example"\nsecret = "a-long-secret"\n'


def test_the_first_sender_and_the_first_mapping_that_fit_decide(tmp_path: Path) -> None:
    file = tmp_path / "agencies.toml"
    file.write_text(GOOD)
    agencies = load_agencies(file)
    given = [
        ("/hms-a2a/7", "gov.city.pothole.closed"),
        ("/hms-a2a/7", "gov.city.pothole.reported"),
        ("/hms-a2a/7", "gov.city.tree"),
        ("/other", "gov.city.pothole.reported"),
    ]
    found = [agencies.job_type_of(*each) for each in given]
    assert found == ["pothole.close", "pothole.report", None, None]
    stranger = agencies.sender_of("/other")
    assert stranger is not None
    assert (stranger.name, stranger.secrets) == ("anyone", ())
    [act] = agencies.receivers
    assert [act.takes(type) for type in ("case.opened", "job.dead", "job.held")] == [
        True,
        True,
        False,
    ]


def test_without_a_file_there_are_none() -> None:
    assert load_agencies(None).sender_of("/hms-a2a/7") is None


def test_secrets_are_not_shown() -> None:
    shown = repr(read_agencies(GOOD, "agencies.toml"))
    assert "hms-a2a" in shown
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[sender]", r"not TOML: .*line 1"),
        (
            '[[sender]]\nname="a"\nsource="/a"\n[[sender.map]]\nevent="*"\njob="event.deliver"',
            r"sender 1: map 1: job 'event.deliver' is wrong: .*not one reserved for hms-svc",
        ),
        ("[[senders]]\n", r"unknown key 'senders'; did you mean sender"),
        ("sender = 1\n", r"sender must be a list of tables, each \[\[…sender\]\]"),
        (
            '[[sender]]\nname = "A"\n',
            r"sender 1: name 'A' is wrong: expected a name such as hms-act",
        ),
        ('[[sender]]\nname = "a"\n', r"sender 1: source is missing: expected a glob such as"),
        (SENDER + SENDER, r"sender 2: name 'a2a' is used by two senders"),
        (SENDER + 'secret = "short"\n', r"sender 1: secret is wrong: expected a secret of 8"),
        (
            SENDER + "secrets = []\n",
            r"sender 1: secrets is wrong: expected a list, of each a secret",
        ),
        (SENDER + 'secret = "whsec_%%%"\n', r"sender 1: a secret must be base64 after whsec_"),
        (
            SENDER + 'secret = "a-long-secret"\nsecrets = ["a-long-secret"]\n',
            r"sender 1: secret and secrets are both given",
        ),
        (
            SENDER + '[[sender.map]]\nevent = "x"\njob = "Pothole"\n',
            r"sender 1: map 1: job 'Pothole' is wrong: expected a job type such as pothole.report",
        ),
        (RECEIVER, r"receiver 1: types is missing: expected a list of globs such as"),
        (RECEIVER + "types = [1]\n", r"receiver 1: types 1 is wrong: expected a list of globs"),
        (RECEIVER.replace("https", "ftp"), r"receiver 1: url ftp://act.example is not an http"),
        (
            RECEIVER + 'types = ["*"]\nallow_private = "yes"\n',
            r"receiver 1: allow_private 'yes' is wrong: expected true or false",
        ),
    ],
)
def test_a_fault_is_told_with_file_place_and_what_would_be_right(text: str, fault: str) -> None:
    with pytest.raises(BadSetting, match=rf"^agencies\.toml: {fault}") as caught:
        read_agencies(text, "agencies.toml")
    assert "short" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="the agencies file cannot be read"):
        load_agencies(tmp_path)


def blocks_of_the_document(language: str, document: Path = DOCUMENT) -> list[str]:
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_file_in_the_document_can_be_used() -> None:
    [example] = blocks_of_the_document("toml")
    agencies = read_agencies(example, "agencies.toml")
    assert agencies.job_type_of("/hms-a2a/city", "gov.city.pothole.reported") == "pothole.report"
    assert [each.name for each in agencies.receivers] == ["act"]


def test_the_check_in_the_document_agrees_with_how_we_sign() -> None:
    written: dict[str, Any] = {}
    exec(blocks_of_the_document("python")[0], written)
    exec(blocks_of_the_document("python", DOCUMENT.with_name("webhooks.md"))[0], written)
    now = int(time.time())
    headers = {"webhook-id": "e-1", "webhook-timestamp": str(now)}
    for secret in ("whsec_dGhlLXNlY3JldC1vZi1hY3Q=", "plainsecret"):
        headers["webhook-signature"] = sign(secret, "e-1", now, b"{}")
        assert written["is_signed"](secret, headers, b"{}")
        assert not written["is_signed"](secret, headers, b"[]")
        sender = Sender(name="them", source="*", secrets=(secret,))
        own = written["signed"](secret, "e-2", b"{}")
        check_signature(sender, own, b"{}", int(own["webhook-timestamp"]) * 1000)


def test_the_events_in_the_document_are_taken_unsigned_by_the_file_above_them() -> None:
    agencies = read_agencies(blocks_of_the_document("toml")[0], "agencies.toml")
    _, structured, batch = re.findall(r" -d '(.*?)'", blocks_of_the_document("sh")[0], re.DOTALL)
    for value in (json.loads(structured), *json.loads(batch)):
        event = read_envelope(value)
        sender = agencies.sender_of(event.source)
        assert sender is not None
        assert sender.secrets == ()
        assert agencies.job_type_of(event.source, event.type) == "pothole.report"
