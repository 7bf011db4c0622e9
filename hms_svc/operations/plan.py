"""What a bulk action would do, determined before anything is done."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from hms_svc.domain.lifecycle import REASON_MALFORMED, State
from hms_svc.domain.strict_json import encode
from hms_svc.domain.views import ActOutcome, JobView
from hms_svc.operations.action_table import DECISIONS, ON_JOBS
from hms_svc.ports.control import Act

MOST_EXAMPLE: Final = 300
APPROVED_BEFORE: Final = (
    "was approved before, so it may be held for a different reason now: name the hold that you have "
    "seen (--hold; hms-svc jobs show prints it)"
)


class PlanGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of one type, state, reason and cause within a plan; for held ones with the rule that holds them.

    `cause` is that of retrying, dead and rejected ones, `example` the failure of the first of the jobs.
    """

    type: str
    state: State
    reason: str
    count: int
    rule: str = ""
    cause: str = ""
    example: str = ""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that an action will change, and those that it cannot change."""

    job_ids: tuple[str, ...]
    groups: tuple[PlanGroup, ...]
    cannot: tuple[ActOutcome, ...]
    where: str = ""


class Claim(msgspec.Struct, frozen=True):
    """The last claim of a job when it was read: its fence, 0 before the first, and whether it has ended."""

    fence: int
    ended: bool


def claim_of(view: JobView) -> Claim:
    """Return the last claim of a job."""
    return Claim(view.fence, view.state is not State.PROCESSING)


class Plan(Choice, frozen=True, kw_only=True):
    """The jobs that an action will change, with their last claims, and those that it cannot change."""

    act: Act
    claims: Mapping[str, Claim]

    @property
    def digest(self) -> str:
        """Return a digest of jobs and claims: it differs if another hold would be answered."""
        rows = sorted((job_id, self.claims[job_id].fence) for job_id in self.job_ids)
        return hashlib.sha256(encode(rows)).hexdigest()[:32]


class Chooser:
    """Collects jobs in eligible states; only their ids are kept.

    `why_not` returns the reason why another state is not eligible.
    """

    def __init__(self, eligible: frozenset[str], why_not: Callable[[State], str]) -> None:
        self._eligible = eligible
        self._why_not = why_not
        self._ids: list[str] = []
        self._counts: Counter[tuple[str, State, str, str, str]] = Counter()
        self._examples: dict[tuple[str, State, str, str, str], str] = {}
        self._cannot: list[ActOutcome] = []

    def add(self, views: Iterable[JobView]) -> None:
        """Add some jobs."""
        for view in views:
            if why := self.why_not(view):
                self._cannot.append(ActOutcome(view.id, False, why))
                continue
            self._ids.append(view.id)
            rule = view.by if view.state is State.HELD else ""
            group = view.type, view.state, view.reason, rule, view.cause
            self._counts[group] += 1
            self._examples.setdefault(group, (view.failure or view.detail)[:MOST_EXAMPLE])

    def why_not(self, view: JobView) -> str:
        """Return why a job is not chosen, empty if it is."""
        return "" if view.state in self._eligible else self._why_not(view.state)

    def add_unknown(self, job_ids: Iterable[str]) -> None:
        """Add ids without a job."""
        self._cannot += [ActOutcome(job_id, False, "is no longer known") for job_id in job_ids]

    def choose(self, where: str = "") -> Choice:
        """Return the choice: largest groups first, each id once."""
        return Choice(
            job_ids=tuple(dict.fromkeys(self._ids)),
            groups=tuple(
                PlanGroup(
                    type=group[0],
                    state=group[1],
                    reason=group[2],
                    rule=group[3],
                    cause=group[4],
                    count=count,
                    example=self._examples[group],
                )
                for group, count in self._counts.most_common()
            ),
            cannot=tuple(self._cannot),
            where=where,
        )


class PlanBuilder(Chooser):
    """Collects the jobs of a plan.

    `unnamed`: the operator answers holds without naming them; a job that was approved before
    is then left out, since a repeated request would answer its next hold unseen.
    """

    def __init__(self, act: Act, where: str = "", *, unnamed: bool = False) -> None:
        super().__init__(
            ON_JOBS[act].states,
            lambda state: f"a job that is {state} cannot be {ON_JOBS[act].done}",
        )
        self._act = act
        self._where = where
        self._unnamed = unnamed and act in DECISIONS
        self._claims: dict[str, Claim] = {}

    def why_not(self, view: JobView) -> str:
        """Return why nothing will be done to a job, empty if it will be changed."""
        if why := super().why_not(view):
            return why
        if self._act is Act.RETRY and view.reason == REASON_MALFORMED:
            return "cannot run: its bytes are not a job; edit it instead"
        if self._unnamed and view.approvals:
            return APPROVED_BEFORE
        self._claims[view.id] = claim_of(view)
        return ""

    def build(self) -> Plan:
        """Return the plan."""
        chosen = msgspec.structs.asdict(self.choose(self._where))
        return Plan(act=self._act, claims=self._claims, **chosen)
