from __future__ import annotations

import random
from typing import Any

import pytest

from hms_svc.domain.errors import RuleFailed
from hms_svc.domain.strict_json import JsonValue
from hms_svc.governance import cel_engine, local
from hms_svc.governance.local import LocalPolicy
from hms_svc.governance.policy_file import read_policy
from hms_svc.governance.used_fields import used_fields
from hms_svc.ports.policy import Question

KNOWN: dict[str, set[str]] = {
    "true": set(),
    "job.attempt > 1": set(),
    "payload.a == 1": {"a"},
    "payload . a == 1 && payload\n.b.c == 2": {"a", "b"},
    "payload[\"a\"] == 1 || payload[ 'b c' ] == 2": {"a", "b c"},
    '"a" in payload && payload.a > 1': {"a"},
    '("a" in payload) ? payload.b == 1 : false': {"a", "b"},
    "type(payload) == map && has(payload.a) && has(payload.b.c)": {"a", "b"},
    'payload.a.startsWith("https://") // payload == {}': {"a"},
    '"payload.exists(k, true)" == payload.a': {"a"},
    'payload.a in ["x", payload.b]': {"a", "b"},
    'job.type == "a" && "x" in payload.b': {"b"},
}
ANY = [
    'payload == {"a": 1}',
    "size(payload) > 1",
    "payload.size() > 1",
    "payload.exists(k, k == 'a')",
    "payload[job.type] == 1",
    'payload["a" + "b"] == 1',
    '"a" + "b" in payload',
    'job.type == "a" in payload',
    '"a" in payload == true',
    "job.type in payload",
    "[payload].exists(each, each.a == 1)",
    "[1].exists(payload, payload == 1)",
    '[{"a": 1}].exists(payload, payload.a == 1)',
    'payload["a\\u0062"] == 1',
    '"""payload""" == "x" && payload.a == 1',
    "[payload][0].a == 1",
    'job.type in ["a", payload]',
    "dyn(payload).a == 1",
]
REFUSED_HERE = ["payload.?a.hasValue()", ".payload.a == 1"]
"""CEL that the engine does not compile, or that a policy may not use."""
VALUES: list[Any] = [None, True, 1, 2.5, "x", "https://x", [1], ["x"], {"c": 2}, {"a": 1}, {}]
PAYLOADS: list[Any] = [*VALUES, {"a": 1, "b": 2, "c": 3}, {"a\\u0062": 1}]


@pytest.mark.parametrize("expression", KNOWN)
def test_the_fields_that_an_expression_names_are_known(expression: str) -> None:
    assert used_fields(expression) == frozenset(KNOWN[expression])


@pytest.mark.parametrize("expression", [*ANY, *REFUSED_HERE])
def test_any_other_use_of_the_payload_may_read_all_of_it(expression: str) -> None:
    assert used_fields(expression) is None


@pytest.mark.parametrize("expression", [*KNOWN, *ANY])
async def test_a_rule_decides_as_if_it_had_the_whole_payload(
    expression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = (
        f"[[rules]]\nid = \"one\"\neffect = \"deny\"\naction = \"act\"\nwhen = '''{expression}'''\n"
    )
    policy = read_policy(f'default = "allow"\n{rule}reason = "why"\n', "policy.toml")
    narrow = LocalPolicy(policy)
    whole = LocalPolicy(policy)
    monkeypatch.setattr(
        whole, "_rules_for", lambda _: narrow._rules_for("act")._replace(fields=None)
    )
    chance = random.Random(expression)
    some = [
        {name: chance.choice(VALUES) for name in "abcd"[: chance.randrange(5)]} for _ in range(40)
    ]
    for payload in [*PAYLOADS, *some]:
        answers = []
        for each in (narrow, whole):
            try:
                answers.append(str(await each.decide(Question(action="act", payload=payload))))
            except RuleFailed as error:
                answers.append(str(error))
        assert answers[0] == answers[1], payload


async def test_only_the_fields_that_the_rules_read_are_converted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[dict[str, Any]] = []

    def make_context(variables: dict[str, Any]) -> Any:
        made.append(variables)
        return cel_engine.make_context(variables)

    monkeypatch.setattr(local, "make_context", make_context)
    payload: JsonValue = {"photo": "s3://x", "rest": "y"}
    policy = local.load_local_policy(None)
    await policy.decide(Question(action="create_case", payload=payload))
    assert made == [{"payload": {"photo": "s3://x"}}]
