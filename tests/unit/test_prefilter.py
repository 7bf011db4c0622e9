"""When a filter has a cheap condition that every match meets."""

from __future__ import annotations

import pytest

from hms_svc.domain.filter import parse_filter
from hms_svc.domain.prefilter import MOST_CHECKS, AllOf, AnyOf, FieldCheck, Numbers, Texts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "state:dead type:a.*",
        "id:a,b error~timeout",
        "batch:b",
        "type:a.* type:b.*",
        "data.n:1 OR state:dead",
        "-data.n:*7*",
        "data.n~''",
        "detail:'a\0b'",
        " OR ".join(f"data.n:{number}" for number in range(MOST_CHECKS + 1)),
    ],
)
def test_there_is_none_where_it_would_not_help(text: str) -> None:
    assert parse_filter(text).prefilter(0) is None


def test_the_terms_that_cannot_be_checked_are_left_out() -> None:
    assert parse_filter("state:dead priority>4 -detail:a*b").prefilter(0) == FieldCheck(
        "priority", Numbers(5, 2**62)
    )


def test_a_denied_alternative_denies_each_part() -> None:
    assert parse_filter("-(reason:a OR detail~É OR by:b*)").prefilter(0) == AllOf(
        (
            FieldCheck("reason", Texts("in", ("a",), negated=True)),
            FieldCheck("by", Texts("prefix", ("b",), negated=True)),
        )
    )


def test_a_class_of_errors_begins_the_text() -> None:
    assert parse_filter("error:Timeout age>2s").prefilter(5000) == AllOf(
        (
            AnyOf(
                (
                    FieldCheck("failure", Texts("in", ("Timeout",))),
                    FieldCheck("failure", Texts("prefix", ("Timeout:",))),
                )
            ),
            FieldCheck("enqueued_at", Numbers(-(2**62), 2999)),
        )
    )
