"""What people write by habit from elsewhere: it does what is meant, or is refused with what would be right."""

from __future__ import annotations

import pytest

from hms_svc.domain.errors import BadFilter
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.filter_terms import EXAMPLES, FIELDS
from hms_svc.domain.lifecycle import State
from tests.unit.test_filter import NOW, VIEW


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("state!=dead", True),
        ("state!=rejected", False),
        ("state!=dead,rejected", False),
        ("type!=pothole.*", False),
        ("-state!=rejected", True),
        ("error!~upstream", False),
        ("error!~downstream", True),
        ("data.ward!=8", True),
        ("attempts!=4", False),
        ('detail~"/3.1/"', False),
        ("detail~/3.1", False),
        ("data.street~/", False),
    ],
)
def test_unequal_is_what_does_not_fit(text: str, fits: bool) -> None:
    assert parse_filter(text).matches(VIEW, NOW) is fits


def test_unequal_is_served_by_the_index_of_states() -> None:
    found = parse_filter("state!=dead")
    assert found.states() == frozenset(State) - {State.DEAD}
    assert found.unserved() == ()


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("error~/time.*/", "not for a regular expression: write error~time.*, error:*time.**"),
        ("data.street~/S/", "write data.street~S"),
        ("error!~/x/", "not for a regular expression"),
        ("nosuch!=x", "no field 'nosuch'"),
        ("state!=nosuch", "state: must be one of "),
    ],
)
def test_what_the_language_has_not_is_refused_with_the_right_way(text: str, right: str) -> None:
    with pytest.raises(BadFilter) as refused:
        parse_filter(text)
    assert right in str(refused.value)


def test_every_field_has_an_example_that_can_be_read() -> None:
    assert {*FIELDS} - {*EXAMPLES} == {"attempt"}
    for field, (example, words) in EXAMPLES.items():
        assert words
        assert parse_filter(example).text.startswith(field.removesuffix("PATH"))
