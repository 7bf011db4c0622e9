"""Which types a process serves: named, matched by patterns, or all but some; and without the built-in ones."""

from __future__ import annotations

import pytest

from hms_svc import bootstrap
from hms_svc.domain.errors import BadInput
from hms_svc.sdk.registry import Registry
from hms_svc.settings import load_settings


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    for type in ("permit.apply", "permit.review", "document.render", "fee.charge"):
        found.job(type)(lambda: None)
    return found


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["fee.charge", "permit.apply"], ["permit.apply", "fee.charge"]),
        (["permit.*"], ["permit.apply", "permit.review"]),
        (["permit.*", "!*.review"], ["permit.apply"]),
        (["!document.render"], ["permit.apply", "permit.review", "fee.charge"]),
        (["!document.*", "!permit.*"], ["fee.charge"]),
    ],
)
def test_types_are_chosen_by_name_and_pattern(
    registry: Registry, names: list[str], expected: list[str]
) -> None:
    assert [each.type for each in registry.only(names)] == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["permit.applies"],
            "no handler for type 'permit.applies'; the types are: document.render, ",
        ),
        (["parks.*"], "no type matches 'parks.*'; the types are: "),
        (["!parks.sweep"], "no handler for type 'parks.sweep'"),
        (["permit.*", "!permit.*"], "permit.*, !permit.* leaves no type to serve"),
    ],
)
def test_a_name_that_chooses_nothing_is_refused(
    registry: Registry, names: list[str], message: str
) -> None:
    with pytest.raises(BadInput) as caught:
        registry.only(names)
    assert message in str(caught.value)


def test_the_built_in_types_of_producers_can_be_switched_off() -> None:
    environ = {"HMS_SVC_CONFIG": "", "HMS_SVC_BUILTIN_TYPES": "false"}
    served = bootstrap.application(load_settings(environ=environ).settings)
    assert sorted(each.type for each in served) == ["envelope.receive", "event.deliver"]
