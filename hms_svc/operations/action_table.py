"""Everything that operators can do, in one table: its name, its command, its route, its name in the audit log.

Over HTTP each needs a token with the scope `operate`. Those without a route are only available on the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from hms_svc.domain.views import WorkerState
from hms_svc.ports.control import Act


class OperatorAction(msgspec.Struct, frozen=True, kw_only=True):
    """One action of operators."""

    name: str
    audit: str
    command: str
    route: str = ""


def _on_jobs(act: Act) -> OperatorAction:
    return OperatorAction(
        name=act.value,
        audit=f"job.{act.value}",
        command=f"jobs {act.value}",
        route=f"/jobs/{{job_id}}/{act.value}",
    )


def _on_queues(verb: str) -> OperatorAction:
    return OperatorAction(
        name=verb, audit=f"queue.{verb}", command=f"queues {verb}", route=f"/queues/{{type}}/{verb}"
    )


def _on_workers(name: str, verb: str) -> OperatorAction:
    return OperatorAction(
        name=name,
        audit=f"worker.{verb}",
        command=f"workers {verb}",
        route=f"/workers/{{worker}}/{verb}",
    )


ACTIONS: Final = (
    *map(_on_jobs, Act),
    OperatorAction(name="undo", audit="job.undo", command="jobs undo", route="/jobs/undo"),
    OperatorAction(name="edit", audit="job.edit", command="jobs edit", route="/jobs/{job_id}/edit"),
    OperatorAction(name="erase", audit="job.erase", command="jobs erase"),
    OperatorAction(
        name="enqueue", audit="job.enqueue", command="schedules run", route="/schedules/{type}/run"
    ),
    _on_queues("purge"),
    _on_queues("pause"),
    _on_queues("resume"),
    OperatorAction(
        name="close", audit="case.closed", command="cases close", route="/cases/{case_id}/close"
    ),
    OperatorAction(
        name="reopen",
        audit="case.reopened",
        command="cases reopen",
        route="/cases/{case_id}/reopen",
    ),
    _on_workers("quiet", "quiet"),
    _on_workers("resume-worker", "resume"),
    _on_workers("stop", "stop"),
    OperatorAction(name="backup", audit="db.backup", command="db backup"),
    OperatorAction(name="accept", audit="audit.accept", command="audit accept"),
    OperatorAction(name="create-token", audit="token.create", command="tokens create"),
    OperatorAction(name="revoke-token", audit="token.revoke", command="tokens revoke"),
)
ACTS_ROUTE: Final = "/jobs/acts"
"""Applies any of the actions on jobs to many of them."""
AUDITED: Final[Mapping[str, str]] = MappingProxyType({each.name: each.audit for each in ACTIONS})
"""The name of each action in the audit log."""
ROUTES: Final[Mapping[str, str]] = MappingProxyType(
    {each.name: each.route for each in ACTIONS if each.route}
)
"""The path that each action is posted to."""
ON_WORKERS: Final[Mapping[WorkerState, str]] = MappingProxyType(
    {
        WorkerState.QUIET: AUDITED["quiet"],
        WorkerState.WORKING: AUDITED["resume-worker"],
        WorkerState.STOPPING: AUDITED["stop"],
    }
)
"""The name in the audit log of a request that changes a worker's state."""
