"""Causes of failures: what is taken out of a message, what stays, and what makes two causes one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.domain.causes import CAUSE_ID, FailureCause, cause_of, other_causes, pattern_of
from hms_svc.domain.lifecycle import State


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("took 30.5 s (attempt 3 of 5)", "took # s (attempt # of #)"),
        ("case-0193-ab and case-abc are open", "# and # are open"),
        ("id 0193a8b2-7c1e-7abc-9def-0123456789ab is lost", "id # is lost"),
        ("at 2026-01-02T03:04:05.123Z and 2026-01-02 03:04", "at # and #"),
        ("no file '/tmp/x.json'", "no file …"),
        ("cannot read /var/lib/a.txt: [Errno 2]", "cannot read …: [Errno #]"),
        ("C:\\photos\\a.jpg is missing", "… is missing"),
        ('POST https://a.b/c?d=1 gave "no"', "POST … gave …"),
        ("bob.smith+x@city.gov is unknown", "… is unknown"),
        ("10.0.0.1:6379 refused", "# refused"),
        ("[1, 2, 3] is not [1, 2]", "[#] is not [#]"),
        ("deadbeefcafe is no facade", "# is no facade"),
        ("lon -122.4194 or +7", "lon # or +#"),
        ("can't say and/or don't know", "can't say and/or don't know"),
        ("not UTF-8 at byte 7", "not UTF-8 at byte #"),
        ("data.photos.0.url", "data.photos.#.url"),
        ("\n  first   words\nsecond line", "first words"),
        ("", ""),
    ],
)
def test_variables_are_taken_out(message: str, pattern: str) -> None:
    assert pattern_of(message) == pattern


@given(st.text(max_size=3000))
def test_a_pattern_is_one_short_line(message: str) -> None:
    pattern = pattern_of(message)
    assert len(pattern) <= 200
    assert "\n" not in pattern


def test_only_the_beginning_of_a_long_message_is_read() -> None:
    assert pattern_of("began" + " " * 100_000 + "ended") == "began"


def dead(
    reason: str = "error", by: str = "handler", detail: str = "", failure: str = ""
) -> FailureCause:
    return cause_of(State.DEAD, "t", reason=reason, by=by, detail=detail, failure=failure)


def test_errors_of_one_class_and_pattern_are_one_cause_wherever_they_were_raised() -> None:
    one = dead(by="handler", detail="took 1 s (attempt 1 of 3)", failure="Timeout: took 1 s")
    two = dead(by="identity", detail="x", failure="Timeout: took 2 s")
    assert one == two
    assert (one.by, one.error, one.pattern) == ("", "Timeout", "took # s")


@pytest.mark.parametrize(
    "other",
    [
        dead(reason="timeout", failure="Timeout: took 1 s"),
        dead(failure="OSError: took 1 s"),
        dead(failure="Timeout: gave up"),
        dead(detail="took 1 s"),
        cause_of(State.DEAD, "u", reason="error", by="", detail="", failure="Timeout: took 1 s"),
    ],
)
def test_another_reason_class_pattern_or_type_is_another_cause(other: FailureCause) -> None:
    assert other.id != dead(failure="Timeout: took 1 s").id


def test_what_a_handler_gave_up_is_told_apart_by_its_words() -> None:
    assert dead(detail="photo 7 is broken").pattern == "photo # is broken"


@pytest.mark.parametrize("reason", ["expired", "no_handler", "lost", "crashed", "id_conflict"])
def test_some_reasons_say_enough(reason: str) -> None:
    assert dead(reason, "runtime", "about job-7").id == dead(reason, "runtime", "about others").id


def test_a_validator_is_one_cause_and_a_payload_one_for_each_field() -> None:
    def rejected(reason: str, by: str, detail: str) -> FailureCause:
        return cause_of(State.REJECTED, "t", reason=reason, by=by, detail=detail, failure="")

    assert rejected("duplicate", "duplicate", "a") == rejected("duplicate", "duplicate", "b")
    assert rejected("governance", "r1", "a") != rejected("governance", "r2", "a")
    fields = {
        rejected("payload", "Report", f"data.{field}: too large (given {number})").pattern
        for field in ("depth", "photos.0.url")
        for number in (1, 2)
    }
    assert fields == {"data.depth", "data.photos.#.url"}


def test_ids_are_short_and_the_other_causes_of_a_type_have_one() -> None:
    others = other_causes(State.DEAD, "t")
    assert CAUSE_ID.fullmatch(others.id)
    assert others.id != other_causes(State.REJECTED, "t").id
