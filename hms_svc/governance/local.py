"""The compiled policy file, which decides if no policy service is configured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from hms_svc.domain.errors import BadPolicy, RuleFailed
from hms_svc.domain.verdict import Effect, Verdict
from hms_svc.governance.cel_engine import compile_expression, make_context
from hms_svc.governance.policy_file import PolicyFile, Rule, load_policy_file
from hms_svc.ports.policy import Question

if TYPE_CHECKING:
    from cel import Context, Program

VARIABLES: Final = ("action", "payload", "job")
DEFAULT_RULE: Final = "default"
_STRICTEST_FIRST: Final = (Effect.DENY, Effect.HOLD, Effect.ALLOW)
_TYPE_NAMES: Final = frozenset(
    {"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"}
)
_BOUND: Final = re.compile(r"\.\s*(?:all|exists|exists_one|filter|map)\s*\(\s*([A-Za-z_]\w*)\s*,")
_PLACE: Final = re.compile(r"<input>:(\d+):(\d+):\s*(.*)")
_ACTIONS_KEPT: Final = 1000


class _Compiled(msgspec.Struct, frozen=True):
    rule: Rule
    program: Program | None


class _RulesOfAction(NamedTuple):
    """The rules that may apply to an action, the strictest first.

    `variables` are those that they use, `fields` those of the payload, None for all of them.
    """

    rules: Sequence[_Compiled]
    variables: frozenset[str]
    fields: frozenset[str] | None


class LocalPolicy:
    """Decides by the rules of one file: deny before hold, hold before allow, then the default."""

    def __init__(self, policy: PolicyFile) -> None:
        self._policy = policy
        compiled = [_Compiled(rule, _compile(rule, policy.name)) for rule in policy.rules]
        self._rules = sorted(compiled, key=lambda one: _STRICTEST_FIRST.index(one.rule.effect))
        self._by_action: dict[str, _RulesOfAction] = {}

    async def decide(self, question: Question) -> Verdict:
        """Return the verdict; raise RuleFailed with the rule if its expression fails."""
        context: Context | None = None
        found = self._rules_for(question.action)
        for one in found.rules:
            if one.program is not None:
                context = context or _context(question, found)
                if not self._holds(one.rule, one.program, context):
                    continue
            return Verdict(one.rule.effect, one.rule.id, one.rule.reason)
        reason = f"no rule of the policy applies to {question.action!r}"
        return Verdict(self._policy.default, DEFAULT_RULE, reason)

    def rule_text(self, rule: str) -> str:
        """Return effect, action, expression and reason of a rule, as in the file."""
        if rule == DEFAULT_RULE:
            return f"no rule applies to the action; the default is {self._policy.default.value}"
        for each in self._policy.rules:
            if each.id == rule:
                when = f" when {' '.join(each.when.split())}" if each.when else ""
                return f"{each.effect.value} {each.action}{when}: {each.reason}"
        return ""

    async def close(self) -> None:
        """Do nothing: the rules are in memory."""

    def _rules_for(self, action: str) -> _RulesOfAction:
        found = self._by_action.get(action)
        if found is None:
            rules = tuple(one for one in self._rules if fnmatchcase(action, one.rule.action))
            programs = [one.program for one in rules if one.program is not None]
            used = frozenset(name for program in programs for name in program.variables())
            found = _RulesOfAction(rules, used, _fields_of(rules))
            if len(self._by_action) < _ACTIONS_KEPT:
                self._by_action[action] = found
        return found

    def _holds(self, rule: Rule, program: Program, context: Context) -> bool:
        try:
            answer = program.execute(context)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise RuleFailed(f"{self._where(rule)} failed: {error}", rule=rule.id) from error
        if not isinstance(answer, bool):
            raise RuleFailed(
                f"{self._where(rule)} returned {answer!r:.80}, not true or false", rule=rule.id
            )
        return answer

    def _where(self, rule: Rule) -> str:
        return f"rule {rule.id!r} ({self._policy.name}:{rule.when_line})"


def load_local_policy(path: Path | None) -> LocalPolicy:
    """Load and compile a policy file, or the bundled one for None; raise BadPolicy with file and line."""
    return LocalPolicy(load_policy_file(path))


def _fields_of(rules: Sequence[_Compiled]) -> frozenset[str] | None:
    """Return the fields of the payload that the rules read, None if one may read any."""
    from hms_svc.governance.used_fields import used_fields

    every: set[str] = set()
    for one in rules:
        fields = used_fields(one.rule.when or "")
        if fields is None:
            return None
        every |= fields
    return frozenset(every)


def _context(question: Question, used: _RulesOfAction) -> Context:
    """Return a context with what the rules use: converting a value costs more than a rule."""
    payload, variables = question.payload, used.variables
    if used.fields is not None and isinstance(payload, dict):
        payload = {name: payload[name] for name in used.fields if name in payload}
    values: dict[str, Any] = {"action": question.action, "payload": payload}
    if "job" in variables:
        job = {"id": question.job_id, "type": question.job_type, "attempt": question.attempt}
        values["job"] = job
    return make_context({name: values[name] for name in values if name in variables})


def _compile(rule: Rule, name: str) -> Program | None:
    if rule.when is None:
        return None
    try:
        program = compile_expression(rule.when)
    except ValueError as error:
        raise BadPolicy(_syntax_fault(str(error), rule, name)) from error
    unknown = set(program.variables()) - _TYPE_NAMES - {*VARIABLES, *_BOUND.findall(rule.when)}
    if unknown:
        raise BadPolicy(
            f"{name}:{rule.when_line}: rule {rule.id!r} uses the unknown variable {min(unknown)!r}; "
            f"known are {', '.join(VARIABLES)}"
        )
    return program


def _syntax_fault(message: str, rule: Rule, name: str) -> str:
    found = _PLACE.search(message)
    line, column, fault = (int(found[1]), found[2], found[3]) if found else (1, "1", message)
    return (
        f"{name}:{rule.when_line + line - 1}: when of rule {rule.id!r} is not CEL, "
        f"at its column {column}: {fault}"
    )
