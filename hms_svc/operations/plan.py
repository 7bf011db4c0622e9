"""What a bulk act would do, worked out before anything is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.domain.views import ActOutcome, JobView
from hms_svc.ports.control import Act

_NOT_RUNNING: Final = frozenset(State) - {State.PROCESSING}
ELIGIBLE: Final[dict[Act, frozenset[State]]] = {
    Act.RETRY: frozenset(
        {State.REJECTED, State.DEAD, State.CANCELLED, State.SCHEDULED, State.RETRYING}
    ),
    Act.DISCARD: _NOT_RUNNING,
    Act.CANCEL: frozenset(State) - TERMINAL,
    Act.APPROVE: frozenset({State.HELD}),
    Act.DENY: frozenset({State.HELD}),
}
"""The states from which each act can be done."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of one type, state and reason within a plan."""

    type: str
    state: State
    reason: str
    count: int


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that something will be done to, and those that it cannot be done to."""

    job_ids: tuple[str, ...]
    groups: tuple[Group, ...]
    cannot: tuple[ActOutcome, ...]
    where: str = ""


class Plan(Choice, frozen=True, kw_only=True):
    """The jobs that an act will be done to, and those that it cannot be done to."""

    act: Act


class Chooser:
    """Collects jobs in the states that fit, of which only the ids are kept.

    `why_not` makes of another state the words why not.
    """

    def __init__(self, eligible: frozenset[State], why_not: Callable[[State], str]) -> None:
        self._eligible = eligible
        self._why_not = why_not
        self._ids: list[str] = []
        self._counts: Counter[tuple[str, State, str]] = Counter()
        self._cannot: list[ActOutcome] = []

    def add(self, views: Iterable[JobView]) -> None:
        """Take in some jobs."""
        for view in views:
            if view.state in self._eligible:
                self._ids.append(view.id)
                self._counts[view.type, view.state, view.reason] += 1
            else:
                self._cannot.append(ActOutcome(view.id, False, self._why_not(view.state)))

    def add_unknown(self, job_ids: Iterable[str]) -> None:
        """Take in ids that no job has any more."""
        self._cannot += [ActOutcome(job_id, False, "is not known any more") for job_id in job_ids]

    def choose(self, where: str = "") -> Choice:
        """Give what was chosen: largest groups first, each id once."""
        return Choice(
            job_ids=tuple(dict.fromkeys(self._ids)),
            groups=tuple(
                Group(type=type, state=state, reason=reason, count=count)
                for (type, state, reason), count in self._counts.most_common()
            ),
            cannot=tuple(self._cannot),
            where=where,
        )


class PlanBuilder(Chooser):
    """Collects the jobs of a plan."""

    def __init__(self, act: Act, where: str = "") -> None:
        super().__init__(
            ELIGIBLE[act], lambda state: f"a job that is {state} cannot be {past(act)}"
        )
        self._act = act
        self._where = where

    def build(self) -> Plan:
        """Give the plan."""
        return Plan(act=self._act, **msgspec.structs.asdict(self.choose(self._where)))


def past(act: Act) -> str:
    """Give the participle of an act: `retried`, `cancelled`."""
    irregular = {
        Act.RETRY: "retried",
        Act.CANCEL: "cancelled",
        Act.APPROVE: "approved",
        Act.DENY: "denied",
    }
    return irregular.get(act, f"{act.value}ed")
