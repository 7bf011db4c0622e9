"""What services may announce, and which groups consumers may read in."""

from __future__ import annotations

import pytest

from hms_svc.domain.errors import BadInput
from hms_svc.domain.event import check_consumer_group, check_draft


@pytest.mark.parametrize("type", ["crew.sent", "case.moved", "jobs", "0", "a" * 128, "a-b_c.d"])
def test_a_service_announces_events_of_its_own_types(type: str) -> None:
    check_draft({"type": type, "data": {}}, 0)


@pytest.mark.parametrize(
    ("type", "told"),
    [
        (None, "event 3 has no type"),
        (5, "type 5 does not match"),
        ("", "type '' does not match"),
        ("Crew.Sent", "does not match"),
        (".x", "does not match"),
        ("a" * 129, "does not match"),
        ("x\ndata: {}", r"type 'x\\ndata: {}' does not match"),
        ("x\n", "does not match"),
        ("job.completed", "type job.completed is announced by hms-svc itself"),
        ("job.anything", "announced by hms-svc itself"),
        ("audit.sealed", "announced by hms-svc itself"),
        ("events.gap", "announced by hms-svc itself"),
        ("case.opened", "announced by hms-svc itself"),
        ("case.closed", "announced by hms-svc itself"),
        ("case.reopened", "announced by hms-svc itself"),
    ],
)
def test_a_type_that_is_none_or_ours_is_refused_and_named(type: object, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        check_draft({"type": type}, 3)


@pytest.mark.parametrize("key", [None, "", "a\nb", "k" * 256])
def test_a_key_is_a_short_text(key: str | None) -> None:
    check_draft({"type": "crew.sent", "key": key}, 0)


@pytest.mark.parametrize("key", [5, b"k", ["k"], "k" * 257, "\ud800", "\0"])
def test_a_key_that_is_none_is_refused(key: object) -> None:
    with pytest.raises(BadInput, match="event 3"):
        check_draft({"type": "crew.sent", "key": key}, 3)


@pytest.mark.parametrize("name", ["act", "receivers", "a:receiver:b", "Receiver:act"])
def test_consumers_name_their_groups(name: str) -> None:
    assert check_consumer_group(name) == name


@pytest.mark.parametrize("name", ["receiver:act", "receiver:", "", "a b", "a\n"])
def test_a_group_that_is_none_or_ours_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="group"):
        check_consumer_group(name)
