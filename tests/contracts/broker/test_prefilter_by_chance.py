"""What a broker checks where the records are changes no page: it shows what the plain filter matches."""

from __future__ import annotations

import json
import random
from typing import Any, Final

import pytest
from msgspec.structs import replace

from hms_svc.brokers import job_pages
from hms_svc.domain.filter import EVERYTHING, Filter, parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Failure
from hms_svc.domain.views import JobView
from tests.support.broker_engines import TYPE, BrokerHarness

JOBS, FILTERS = 60, 150
TEXTS: Final = (
    "",
    "timeout",
    "Timeout: of ward 7",
    "TIMEOUT",
    "ﬁle not found",
    "file:/a/b",
    "Kelvin",
    "\u212aelvin",
    "straße",
    "STRASSE",
    'a "quoted" one',
    "back\\slash",
    "two\nlines",
    "null",
    "true",
    "7",
    "7.0",
    "1e3",
    "2026-11-29",
    "é",
    "e\u0301",
    "[x]",
    "100%",
    "😀",
    "a*b?c",
    "x" * 2100,
)
NUMBERS: Final = (
    0,
    1,
    -1,
    7,
    7.0,
    7.5,
    -0.0,
    1000,
    1e3,
    0.1,
    0.30000000000000004,
    1e-320,
    1.7976931348623157e308,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    123456789.123456789,
)
VALUES: Final[tuple[Any, ...]] = (
    *TEXTS,
    *NUMBERS,
    None,
    True,
    False,
    [],
    {},
    ["timeout", 7],
    {"b": "timeout", "0": 7},
)
KEYS: Final = ("a", "b", "0", "ключ", "n-1")
PATHS: Final = (
    "a",
    "b",
    "a.b",
    "a.0",
    "a.1",
    "b.0.a",
    "0",
    "ключ",
    "n-1",
    "none",
    "a.٠",
    "a.0.0.0",
)
WORDS: Final = (
    "timeout",
    "Timeout*",
    "*out*",
    "t?meout",
    "7",
    "7.0",
    "07",
    "1e3",
    "1000",
    "0.1",
    "-1",
    "null",
    "true",
    "nu*",
    '""',
    '"7"',
    "'a \"quoted\" one'",
    "é",
    "É",
    "STRASSE",
    "ß",
    "kelvin",
    "fi",
    "file*",
    "*",
    "?",
    "x*",
    "2026-11-29",
    "2026-12*",
    '"two\nlines"',
    "back\\slash",
    "9223372036854775807",
    "1e999",
    "[x]",
    "😀",
    "a,7",
    '"a*b?c"',
    '"a\0b"',
    "e",
    "inf",
)
TEXT_FIELDS: Final = (
    "id",
    "reason",
    "by",
    "detail",
    "error",
    "worker",
    "unique_key",
    "case",
    "cause",
    "batch",
)


def draw_data(chance: random.Random) -> Any:
    if chance.random() < 0.1:
        return chance.choice(VALUES)
    data: dict[str, Any] = {
        key: chance.choice(VALUES) for key in chance.sample(KEYS, chance.randint(0, 3))
    }
    if chance.random() < 0.3:
        data["a"] = chance.choice(
            [[data.get("b"), chance.choice(VALUES)], {"b": chance.choice(VALUES)}]
        )
    if chance.random() < 0.05:
        data["b"] = "timeout" * 5000
    return data


def draw_term(chance: random.Random, jobs: list[JobView]) -> str:
    kind, word = chance.random(), chance.choice(WORDS)
    if kind < 0.5:
        operator = chance.choice([":", "~", "<", ">", "<=", ">=", "!=", "!~"])
        return f"data.{chance.choice(PATHS)}{operator}{word}"
    if kind < 0.75:
        field = chance.choice(TEXT_FIELDS)
        if chance.random() < 0.5:
            view = chance.choice(jobs)
            held = {"error": view.failure, "case": view.case_id}.get(field) or getattr(
                view, field, ""
            )
            held = str(held or "")[: chance.choice([3, 8, 5000])]
            word = chance.choice(['"{}"', '"{}"', "{}*"]).format(
                held.replace("\\", "").replace('"', "")
            )
            is_plain = held.isascii() and held.isprintable() and not set(held) & set(" ()'")
            if not is_plain or len(word) < 3:
                word = "x"
        return f"{field}{chance.choice([':', '~', '!=', '!~'])}{word}"
    if kind < 0.85:
        return word
    number = chance.choice(["attempts", "attempt", "priority"])
    choices = (
        f"{number}{chance.choice([':', '<', '>', '<=', '>='])}{chance.randint(-2, 3)}",
        f"age{chance.choice(['<', '>', '<=', '>='])}{chance.randint(0, 60)}s",
        f"suspect:{chance.choice(['yes', 'no'])}",
        "validator:timeout",
        f"state:{chance.choice(['dead', 'queued,rejected'])}",
        "type:a.*",
    )
    return chance.choice(choices)


def draw_filter(chance: random.Random, jobs: list[JobView], depth: int = 0) -> str:
    if depth == 3 or chance.random() < 0.5:
        return draw_term(chance, jobs)
    parts = [draw_filter(chance, jobs, depth + 1) for _ in range(chance.randint(2, 3))]
    found = f"({chance.choice([' ', ' OR ']).join(parts)})"
    return f"-{found}" if chance.random() < 0.3 else found


async def fill(harness: BrokerHarness, chance: random.Random) -> None:
    for number in range(JOBS):
        job = harness.job(
            type=chance.choice([TYPE, "a.b"]),
            priority=chance.choice([None, 0, 2, -1]),
            unique_key=chance.choice([None, f"Key {number} é", f"timeout-{number}"]),
        )
        spaced = chance.choice([None, 1])
        text = json.dumps(draw_data(chance), ensure_ascii=chance.random() < 0.3, indent=spaced)
        await harness.enqueue(replace(job, data=text.encode()))
        harness.clock.advance(chance.choice([0, 0, 1]))
    for claimed in await harness.claim(JOBS * 2 // 3, TYPE, "a.b"):
        ends = (State.DEAD, State.DEAD, State.REJECTED, State.RETRYING, State.COMPLETED, None)
        if (state := chance.choice(ends)) is None:
            continue
        texts = [chance.choice(TEXTS) for _ in range(4)]
        fields: dict[str, Any] = dict(zip(("reason", "by", "detail"), texts[:3], strict=True))
        if chance.random() < 0.7:
            fields["failure"] = Failure(texts[3] or "Timeout", chance.choice(TEXTS))
        case = {"case_id": f"case-{chance.choice(['a', 'é'])}"} if state is State.COMPLETED else {}
        result = {"result": b'{"reason":"timeout","detail":"x"}'} if chance.random() < 0.3 else {}
        due = {"due_at": harness.clock.now_ms() + 1000} if state is State.RETRYING else {}
        await harness.settle(claimed, state, **fields, **case, **result, **due)
        harness.clock.advance(chance.choice([0, 0, 1]))
    await harness.inspection.page(EVERYTHING, limit=0, cursor=None)


async def pages(harness: BrokerHarness, where: Filter, **sizes: int) -> tuple[list[JobView], int]:
    found: list[JobView] = []
    examined, cursor = 0, None
    while True:
        page = await harness.inspection.page(where, cursor=cursor, **sizes)
        found += page.jobs
        examined, cursor = examined + page.examined, page.cursor
        if cursor is None:
            return found, examined


@pytest.mark.parametrize("make_backend", ["sqlite", "redis"], indirect=True)
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.chaos) for seed in range(1, 20))]
)
async def test_pages_show_what_the_plain_filter_matches(
    harness: BrokerHarness, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    await fill(harness, chance)
    jobs, _ = await pages(harness, EVERYTHING, limit=0)
    assert len(jobs) == JOBS
    prefiltered = 0
    for _ in range(FILTERS):
        where = parse_filter(draw_filter(chance, jobs))
        now = harness.clock.now_ms()
        prefiltered += where.prefilter(now) is not None
        expected = [job for job in jobs if where.matches(job, now)]
        monkeypatch.setattr(job_pages, "WINDOW", chance.choice([1, 7, 1000]))
        limit, examine = chance.choice([(0, 0), (3, 0), (3, 10), (100, 7)])
        found, _ = await pages(harness, where, limit=limit, examine=examine)
        # A filter for ids or batches has an order of its own.
        assert sorted(job.id for job in found) == sorted(job.id for job in expected), where.text
    assert prefiltered > FILTERS // 4
