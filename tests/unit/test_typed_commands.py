"""Commands and filters that are typed in the console: how they are completed, read and refused."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.domain.errors import BadInput
from hms_svc.tui.commands import ALIASES
from hms_svc.tui.completion import complete_command, complete_filter, read_command


@pytest.mark.parametrize(
    ("text", "grown"),
    [
        ("sta", "state:"),
        ("state:de", "state:dead"),
        ("state:dead,rej", "state:dead,rejected"),
        ("-typ", "-type:"),
        ("(state:q", "(state:queued"),
        ("type:po", "type:pothole.report"),
        ("", None),
        ("type:zzz", None),
        ("nosuch", None),
    ],
)
def test_a_filter_is_completed_by_fields_states_and_types(text: str, grown: str | None) -> None:
    assert next(iter(complete_filter(text, ["pothole.report"])), None) == grown


@pytest.mark.parametrize(
    ("text", "grown"),
    [
        ("ret", "retry"),
        ("pause po", "pause pothole.report"),
        ("theme l", "theme light"),
        ("retry state:d", "retry state:dead"),
        ("zzz", None),
        ("fail", "failures"),
        ("jobs state:d", "jobs state:dead"),
        ("dl", "dlq"),
    ],
)
def test_a_command_is_completed_by_name_and_argument(text: str, grown: str | None) -> None:
    assert next(iter(complete_command(text, ["pothole.report"])), None) == grown


def test_a_typed_command_takes_ids_a_filter_or_a_type_with_a_reason() -> None:
    ids = read_command("retry a-1 b-2").target
    assert ids is not None
    assert ids.ids == ("a-1", "b-2")
    where = read_command("cancel state:queued type:x").target
    assert where is not None
    assert where.where == "state:queued type:x"
    paused = read_command("pause crew.notify the crew is away")
    assert paused.target is not None
    assert (paused.target.ids, paused.argument) == (("crew.notify",), "the crew is away")


@given(st.text(max_size=40))
def test_nothing_typed_breaks_the_command_line(text: str) -> None:
    with contextlib.suppress(BadInput):
        typed, name = read_command(text).command.name, text.split(maxsplit=1)[0]
        assert typed == ALIASES.get(name, (name, ""))[0]


@pytest.mark.parametrize(
    ("text", "name", "argument"),
    [
        ("failures", "go-failures", ""),
        ("dlq", "go-failures", ""),
        ("held", "go-held", ""),
        ("jobs state:dead age>1h", "go-jobs", "state:dead age>1h"),
        ("q", "quit", ""),
        ("dead", "go-jobs", "state:dead"),
        ("dead type:x", "go-jobs", "state:dead type:x"),
        ("retrying", "go-jobs", "state:retrying"),
        ("go-held", "go-held", ""),
        ("h", "help", ""),
    ],
)
def test_common_names_of_commands_are_understood(text: str, name: str, argument: str) -> None:
    typed = read_command(text)
    assert (typed.command.name, typed.target, typed.argument) == (name, None, argument)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cases state:dead", "cases takes no argument; jobs takes a filter: jobs state:dead"),
        ("jobs nosuch:x", "no field 'nosuch'"),
        ("falures", "did you mean failures?"),
        ("zzz", "did you mean help?"),
    ],
)
def test_an_invalid_command_names_what_is_right(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        read_command(text)


def test_all_completions_are_returned_in_order() -> None:
    assert complete_filter("state:re", []) == ["state:retrying", "state:rejected"]
    assert complete_filter("type:", ["a.b", "c.d"]) == ["type:a.b", "type:c.d"]
    assert complete_filter("", []) == []
