"""Types take turns; with weights they get shares in proportion, and an urgent one does not wait for its turn."""

from __future__ import annotations

from collections import Counter

import pytest

from hms_svc.brokers.type_turns import TypeTurns
from hms_svc.ports.broker import ServedType


def types_of(**weights: int) -> tuple[ServedType, ...]:
    return tuple(ServedType(type, 1, weight=weight) for type, weight in weights.items())


def claim(
    turns: TypeTurns, types: tuple[ServedType, ...], ready: Counter[str], limit: int = 1
) -> list[str]:
    """Claim as a broker does: from each type in the given order as many as there are."""
    claimed: list[str] = []
    asked = turns.order(types)
    for served in asked:
        number = min(limit - len(claimed), ready[served.type])
        claimed += [served.type] * number
        ready[served.type] -= number
    turns.note(asked, claimed, limit)
    return claimed


def test_without_weights_each_claim_begins_with_another_type() -> None:
    turns, types = TypeTurns(), types_of(a=1, b=1, c=1)
    assert ["".join(each.type for each in turns.order(types)) for _ in range(4)] == [
        "bca",
        "cab",
        "abc",
        "bca",
    ]


@pytest.mark.parametrize("limit", [1, 4])
def test_types_that_always_have_jobs_get_shares_by_their_weights(limit: int) -> None:
    turns, types, ready = (
        TypeTurns(),
        types_of(a=6, b=3, c=1),
        Counter(dict.fromkeys("abc", 10_000)),
    )
    got = Counter(type for _ in range(1000 // limit) for type in claim(turns, types, ready, limit))
    assert abs(got["a"] - 600) <= limit
    assert abs(got["b"] - 300) <= limit
    assert abs(got["c"] - 100) <= limit


def test_an_urgent_job_is_claimed_next_whatever_went_before() -> None:
    turns, types = TypeTurns(), types_of(bulk=1, other=1, urgent=100)
    ready = Counter({"bulk": 10_000, "other": 10_000})
    for round_number in range(50):
        for _ in range(round_number):
            claim(turns, types, ready)
        ready["urgent"] += 1
        assert claim(turns, types, ready) == ["urgent"]


def test_a_type_that_was_idle_saves_nothing_up() -> None:
    turns, types = TypeTurns(), types_of(a=2, b=1)
    ready = Counter({"a": 10_000})
    for _ in range(500):
        claim(turns, types, ready)
    ready["b"] = 10_000
    got = Counter(type for _ in range(300) for type in claim(turns, types, ready))
    assert abs(got["a"] - 200) <= 2


def test_others_are_not_kept_waiting_for_ever_by_an_urgent_type() -> None:
    turns, types = TypeTurns(), types_of(bulk=1, urgent=100)
    ready = Counter({"bulk": 100, "urgent": 10_000})
    got = Counter(type for _ in range(1010) for type in claim(turns, types, ready))
    assert 9 <= got["bulk"] <= 11
