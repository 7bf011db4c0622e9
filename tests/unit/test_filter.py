"""The filter language: what fits, what can be narrowed, and what does not parse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.domain.errors import BadFilter
from hms_svc.domain.filter import EVERYTHING, parse_filter
from hms_svc.domain.filter_terms import FIELDS
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobView

NOW = 1_800_000_000_000
VIEW = JobView(
    id="job-42",
    type="pothole.report",
    state=State.REJECTED,
    attempt=4,
    enqueued_at=NOW - 2 * 3_600_000,
    reason="duplicate",
    by="duplicate",
    detail="open case case-7 stands 3.1 m away",
    data=b'{"ward":7,"depth":2.5,"street":"Sutter St","tags":["wet","deep"],"urgent":true,"x":null,"a":{"b":"2026-01-02"}}',
    priority=5,
    worker="host-1",
    failure="TimeoutError: upstream timeout",
    case_id="case-9",
    unique_key="k1",
    cause="0a1b2c3d4e5f",
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "state:rejected",
        "state:dead,rejected",
        "type:pothole.report",
        "type:pothole.*",
        "type:crew.notify,pothole.repor?",
        "id:job-42",
        "id:job-*",
        "id~B-4",
        "reason:duplicate by:dup*",
        "validator:duplicate",
        "-validator:identity",
        "NOT validator:identity AND state:rejected",
        "error~TIMEOUT",
        "error:TimeoutError",
        "detail~'3.1 m away'",
        'detail~"case-7"',
        "worker:host-1",
        "case:case-9 unique_key:k1",
        "cause:0a1b2c3d4e5f cause:0a1b* cause~2C3D",
        "data.ward:7",
        "data.ward>6 data.ward<=7",
        "data.depth:2.5",
        "data.street:Sutter*",
        'data.street:"Sutter St"',
        "data.street~sutter",
        "data.tags.1:deep",
        "data.urgent:true",
        "data.x:null",
        "data.a.b>2026-01-01",
        "attempts>3 attempt:4 attempts<=4",
        "age>1h age<1d",
        "priority>-1",
        "suspect:no",
        "timeout",
        "CASE-7",
        "(state:dead OR state:rejected) -type:crew.*",
        "nothing OR (job-42 (wet OR away))",
        "--job-42",
    ],
)
def test_fits(text: str) -> None:
    assert parse_filter(text).matches(VIEW, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "state:dead",
        "type:pothole",
        'type:crew.* OR id:"job-*"',
        "validator:identity",
        "data.ward:8",
        'data.ward:"7"',
        "data.nowhere:7",
        "data.tags.9:deep",
        "data.tags:deep",
        "data.street>5x data.ward>abc",
        "age>3h",
        "suspect:yes",
        "-(state:rejected)",
        "sutter",
    ],
)
def test_does_not_fit(text: str) -> None:
    assert not parse_filter(text).matches(VIEW, NOW)


def test_data_that_is_no_json_fits_no_data_term() -> None:
    view = JobView(
        id="x",
        type="t",
        state=State.DEAD,
        attempt=0,
        enqueued_at=NOW,
        reason="malformed",
        by="",
        detail="",
        data=b"\xff{",
    )
    assert not parse_filter("data.ward:7").matches(view, NOW)


@pytest.mark.parametrize(
    ("text", "states", "types", "ids"),
    [
        ("", None, None, None),
        ("state:dead type:a.*,b", {State.DEAD}, ("a.*", "b"), None),
        ("state:dead OR type:a", None, None, None),
        ("state:dead,queued state:queued", {State.QUEUED}, None, None),
        ("validator:identity", {State.REJECTED}, None, None),
        ("id:a,b", None, None, ("a", "b")),
        ("id:a OR id:b", None, None, ("a", "b")),
        ("id:a*", None, None, None),
        ("type:a type:a*,b*", None, ("a",), None),
        ("-type:a", None, None, None),
        (
            "-(state:dead OR -state:queued,dead)",
            {State.QUEUED},
            None,
            None,
        ),
    ],
)
def test_narrows(
    text: str, states: set[State] | None, types: tuple[str, ...] | None, ids: tuple[str, ...] | None
) -> None:
    where = parse_filter(text)
    assert (where.states(), where.types(), where.ids()) == (states, types, ids)


@pytest.mark.parametrize(
    ("text", "causes"),
    [
        ("cause:0a1b2c3d4e5f", ("0a1b2c3d4e5f",)),
        ("state:dead (cause:b,a OR cause:c)", ("a", "b", "c")),
        ("-cause:a", None),
        ("cause:a OR state:dead", None),
        ("cause:a*", None),
        ('cause:"" state:dead', None),
        ("cause:a -state:dead,rejected", ("a",)),
        ("cause:a -state:dead,rejected,retrying", ()),
    ],
)
def test_narrows_to_causes(text: str, causes: tuple[str, ...] | None) -> None:
    assert parse_filter(text).causes() == causes


@pytest.mark.parametrize(
    ("text", "unserved"),
    [
        ("", ()),
        ("state:dead type:pothole.* id:a,b cause:0a1b2c3d4e5f", ()),
        ("cause:0a1b2c3d4e5f state:dead type:x age>1h", ("state:dead", "type:x", "age>1h")),
        ("cause:0a1b2c3d4e5f -state:queued", ()),
        ("state:dead (cause:a OR type:x)", ("cause:a", "type:x")),
        ("-state:queued (state:dead OR state:held) (id:a OR id:b)", ()),
        ("state:dead data.ward:7 error~timeout", ("data.ward:7", "error~timeout")),
        ('"a b" age>1h -type:x id:a*', ('"a b"', "age>1h", "type:x", "id:a*")),
        ("validator:identity", ("validator:identity",)),
        ("state:dead OR type:a", ("state:dead", "type:a")),
        ("-(state:dead type:a)", ("state:dead", "type:a")),
        ("(state:dead smith OR state:held)", ("smith",)),
    ],
)
def test_tells_which_terms_no_index_serves(text: str, unserved: tuple[str, ...]) -> None:
    assert parse_filter(text).unserved() == unserved


@pytest.mark.parametrize(
    ("text", "position", "word"),
    [
        ("(state:dead", 0, "never closed"),
        ("id:\udc80", 3, "is not text in UTF-8"),
        ("state:dead)", 10, "has no matching"),
        ("state:", 6, '""'),
        ("a state:gone", 2, "queued"),
        ("colour:red", 0, "no field 'colour'"),
        ("type:Pothole", 0, "pattern"),
        ("a OR", 4, "a term is missing"),
        ("OR a", 0, "term"),
        ('"a', 0, "quote"),
        ("age>soon", 0, "90s"),
        ("age:1h", 0, "age takes >"),
        ("attempts>many", 0, "whole number"),
        ("suspect:maybe", 0, "yes or no"),
        ("data..x:1", 0, "path"),
        ("-", 1, "a term is missing"),
    ],
)
def test_says_where_and_what_would_be_right(text: str, position: int, word: str) -> None:
    with pytest.raises(BadFilter) as caught:
        parse_filter(text)
    assert caught.value.position == position
    assert word in str(caught.value)


def test_blank_is_everything() -> None:
    assert parse_filter(" \n") is EVERYTHING


def position_of_fault(text: str) -> int:
    try:
        where = parse_filter(text)
    except BadFilter as fault:
        return fault.position
    where.matches(VIEW, NOW)
    return 0


_PIECES = st.sampled_from(
    [
        *(f"{field}{op}" for field in FIELDS for op in (":", "~", ">", "<=")),
        "(",
        ")",
        "-",
        " OR ",
        " AND ",
        "NOT ",
        '"',
        "'",
        "\\",
        " ",
        "*",
        ",",
        "dead",
        "1h",
        "7",
        "data.a.0:",
        "x",
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=25).map("".join)))
def test_parser_raises_nothing_but_bad_filter(text: str) -> None:
    assert 0 <= position_of_fault(text) <= len(text)


@pytest.mark.parametrize(
    "text", ["(" * 5000, "-" * 3000 + "a", "a" * 5000, "(" * 39 + "a" + ")" * 39]
)
def test_long_and_deep_text_is_refused_or_read(text: str) -> None:
    assert 0 <= position_of_fault(text) <= len(text)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(list(State))), min_size=1, max_size=5))
def test_what_is_left_out_by_narrowing_does_not_match(terms: list[tuple[bool, State]]) -> None:
    text = " ".join(("-" if no else "") + f"state:{state}" for no, state in terms)
    where = parse_filter(text)
    states = where.states()
    assert states is not None
    assert (VIEW.state in states) is where.matches(VIEW, NOW)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("not state:dead", "write NOT"),
        ("state:dead or state:held", "write OR"),
        ("state=dead", "write state:dead"),
    ],
)
def test_a_slip_that_would_act_on_other_jobs_is_refused(text: str, hint: str) -> None:
    with pytest.raises(BadFilter, match=hint):
        parse_filter(text)
