from __future__ import annotations

import re
from pathlib import Path

import pytest

from hms_svc.domain.errors import BadPolicy, RuleFailed
from hms_svc.domain.strict_json import JsonValue
from hms_svc.domain.verdict import Effect, Verdict
from hms_svc.governance.local import DEFAULT_RULE, LocalPolicy, load_local_policy
from hms_svc.governance.policy_file import read_policy
from hms_svc.ports.policy import Question

RULES = """
default = "allow"

[[rules]]
id = "big"
effect = "hold"
action = "pay"
when = "payload.amount > 100"
reason = "over a hundred"

[[rules]]
id = "huge"
effect = "deny"
action = "pay"
when = "payload.amount > 1000"
reason = "over a thousand"

[[rules]]
id = "small"
effect = "allow"
action = "pay*"
reason = "small change"

[[rules]]
id = "no-erasing"
effect = "deny"
action = "erase.*"
reason = "nobody erases"

[[rules]]
id = "third-time"
effect = "hold"
action = "knock"
when = "job.attempt == 3 && job.type.startsWith('door.') && [1, 2].exists(n, n == 2)"
reason = "a third knock"
"""


def ask(action: str, payload: JsonValue = None, attempt: int = 1) -> Question:
    return Question(
        action=action, payload=payload, job_id="j1", job_type="door.knock", attempt=attempt
    )


def policy(text: str) -> LocalPolicy:
    return LocalPolicy(read_policy(text, "city.toml"))


def one_rule(when: str, effect: str = "deny") -> LocalPolicy:
    return policy(
        f'[[rules]]\nid = "r"\neffect = "{effect}"\naction = "*"\nreason = "x"\nwhen = {when!r}\n'
    )


@pytest.mark.parametrize(
    ("question", "effect", "rule"),
    [
        (ask("pay", {"amount": 5}), Effect.ALLOW, "small"),
        (ask("pay", {"amount": 101}), Effect.HOLD, "big"),
        (ask("pay", {"amount": 1001}), Effect.DENY, "huge"),
        (ask("pay", {"amount": 1000.5}), Effect.DENY, "huge"),
        (ask("pay.back"), Effect.ALLOW, "small"),
        (ask("erase.case"), Effect.DENY, "no-erasing"),
        (ask("erase"), Effect.ALLOW, DEFAULT_RULE),
        (ask("knock", attempt=2), Effect.ALLOW, DEFAULT_RULE),
        (ask("knock", attempt=3), Effect.HOLD, "third-time"),
    ],
)
async def test_deny_beats_hold_beats_allow(question: Question, effect: Effect, rule: str) -> None:
    verdict = await policy(RULES).decide(question)
    assert (verdict.effect, verdict.rule) == (effect, rule)


async def test_verdict_carries_the_reason_of_its_rule() -> None:
    verdict = await policy(RULES).decide(ask("pay", {"amount": 101}))
    assert verdict == Verdict(Effect.HOLD, "big", "over a hundred")


async def test_without_a_default_what_no_rule_speaks_of_is_denied() -> None:
    verdict = await policy("").decide(ask("anything"))
    assert verdict == Verdict(
        Effect.DENY, DEFAULT_RULE, "no rule of the policy applies to 'anything'"
    )


@pytest.mark.parametrize(
    ("when", "payload", "fault"),
    [
        ("payload.amount > 1", {}, "amount"),
        ("payload.amount > 1", {"amount": "much"}, "overload"),
        ("1 / payload.n == 1", {"n": 0}, "zero"),
        ("payload.n + 1 > 0", {"n": 2**63 - 1}, "overflow"),
        ("payload.list[3] == 1", {"list": []}, "bounds"),
        ("payload.text.matches(payload.pattern)", {"text": "a", "pattern": "("}, "regex"),
        ("no_such_function(payload)", {}, "no_such_function"),
        ("payload.n", {"n": 1}, "returned 1, not true or false"),
        ("payload.n", {"n": None}, "returned None, not true or false"),
    ],
)
async def test_a_rule_that_breaks_is_an_error_with_its_id_and_never_an_answer(
    when: str, payload: JsonValue, fault: str
) -> None:
    with pytest.raises(RuleFailed, match=re.escape("rule 'r' (city.toml:6)")) as caught:
        await one_rule(when, "allow").decide(ask("a", payload))
    assert caught.value.rule == "r"
    assert fault in str(caught.value)


GOOD_RULE = '[[rules]]\nid = "a"\neffect = "deny"\naction = "x"\nreason = "y"\n'


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ('default = "deny"\nrules = [', 2, "not TOML"),
        ("\n\nwhat", 3, "not TOML"),
        ('default = "maybe"', 1, "effect 'maybe' is unknown; use one of allow, hold, deny"),
        ("\ndefault = 5", 2, "effect 5 is unknown; use one of allow, hold, deny"),
        ('\ndefalt = "deny"', 2, "unknown key 'defalt'; did you mean default"),
        ("[zzz]", 1, "unknown key 'zzz'; known are default, rules"),
        ("\nrules = 5", 2, "rules must be tables"),
        (GOOD_RULE + "wehn = 'true'", 6, "unknown key 'wehn'; did you mean when"),
        (
            '[[rules]]\nid = "a"\neffect = "forbid"\naction = "x"\nreason = "y"',
            3,
            "'forbid' is unknown",
        ),
        ('default = "deny"\n[[rules]]\neffect = "deny"', 2, "id of a rule is missing"),
        ('[[rules]]\nid = ""', 2, "id of a rule '' is not a text"),
        ("[[rules]]\nid = 7", 2, "id of a rule 7 is not a text"),
        (GOOD_RULE + "when = true", 6, "when must be a CEL expression in quotes"),
        (GOOD_RULE + "\n" + GOOD_RULE, 7, "rule id 'a' is used twice, first at line 1"),
        (GOOD_RULE + "when = 'payload.a >'", 6, "when of rule 'a' is not CEL, at its column 12"),
        (GOOD_RULE + "when = '''\ntrue &&\n  (false\n'''", 9, "when of rule 'a' is not CEL"),
        (GOOD_RULE + "when = ''", 6, "when of rule 'a' is not CEL"),
        (
            GOOD_RULE + "when = 'paylod.a == 1'",
            6,
            "uses the unknown variable 'paylod'; known are action, payload",
        ),
        ('# """\n' + GOOD_RULE + "when = 'a.b'", 7, "uses the unknown variable 'a'"),
        ('default = "deny"\nrules = [{id = "a"}]', 2, "effect of a rule is missing"),
    ],
)
def test_a_policy_that_does_not_parse_names_file_line_and_fault(
    text: str, line: int, fault: str
) -> None:
    with pytest.raises(BadPolicy) as caught:
        policy(text)
    assert str(caught.value).startswith(f"city.toml:{line}: ")
    assert fault in str(caught.value)


def test_text_in_a_long_string_is_not_taken_for_a_rule() -> None:
    text = GOOD_RULE.replace('"y"', '"""\n[[rules]]\nwhen = 1\n"""') + GOOD_RULE
    with pytest.raises(
        BadPolicy, match=r"city\.toml:9: rule id 'a' is used twice, first at line 1"
    ):
        policy(text)


def test_a_policy_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    with pytest.raises(BadPolicy, match=re.escape(f"{missing}: the policy cannot be read")):
        load_local_policy(missing)


def test_a_policy_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(BadPolicy, match="not UTF-8 at byte 0"):
        load_local_policy(path)


@pytest.mark.parametrize(
    ("action", "payload", "effect", "rule"),
    [
        ("create_case", {"lat": 1, "lon": 2}, Effect.ALLOW, "cases"),
        ("create_case", {"photo": "s3://uploads/ravi.jpg"}, Effect.ALLOW, "cases"),
        ("create_case", {"photo": "https://example.org/a.jpg"}, Effect.ALLOW, "cases"),
        ("create_case", {"photo": None}, Effect.ALLOW, "cases"),
        ("create_case", {"photo": "file:///etc/passwd"}, Effect.DENY, "photo-from-nowhere"),
        ("create_case", {"photo": "http://example.org/a"}, Effect.DENY, "photo-from-nowhere"),
        ("create_case", {"needs_road_closure": True}, Effect.HOLD, "road-closure"),
        ("create_case", {"needs_road_closure": False}, Effect.ALLOW, "cases"),
        ("create_case", {"needs_road_closure": "yes"}, Effect.ALLOW, "cases"),
        ("create_case", [1, "photo"], Effect.ALLOW, "cases"),
        ("create_case", None, Effect.ALLOW, "cases"),
        ("run_drill", {"act": "fail"}, Effect.ALLOW, "drills"),
        ("run_drill", {"act": "exit"}, Effect.HOLD, "drill-ends-worker"),
        ("run_drill", None, Effect.ALLOW, "drills"),
        ("launch", {}, Effect.HOLD, DEFAULT_RULE),
    ],
)
async def test_bundled_policy(action: str, payload: JsonValue, effect: Effect, rule: str) -> None:
    verdict = await load_local_policy(None).decide(ask(action, payload))
    assert (verdict.effect, verdict.rule) == (effect, rule)
