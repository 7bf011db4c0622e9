"""Everything that operators can do, in one table.

Command line, HTTP API and console build their commands, routes and keys from it, and add only the
options that an action needs; `enqueue` has a command and a route of its own. Each runs through the operator service, which checks, records and does it.
The command line imports this module for its help, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from hms_svc.domain.lifecycle import TERMINAL, State

Subject: TypeAlias = Literal[
    "jobs", "job", "batch", "queue", "worker", "case", "schedule", "token", "audit", "installation"
]
SCOPE: Final = "operate"
"""The scope that a token needs for any of them over HTTP."""
UNDO_TEXT: Final = "This can be undone for a limited time."
FINAL_TEXT: Final = "This cannot be undone."


class OperatorAction(NamedTuple):
    """One action of operators.

    `on` is what it acts on, `help` says what it does. `audit` is its name in the audit log,
    `command` its words on the command line, `route` the path that it is posted to (empty: not over HTTP),
    `key` its key in the console, `title` its name there (empty: not in the console).
    `states` are those of jobs or cases in which it is possible (empty: any), `sets` is the state of a
    worker or a case that it requests. `done` is its participle; `question` asks for confirmation, and
    `{}` in it is what is acted on.
    `undone_by` names the action that reverts it; `is_final`: nothing does, and what it removes is lost.
    """

    name: str
    on: Subject
    help: str
    audit: str
    command: str
    done: str = ""
    route: str = ""
    title: str = ""
    key: str = ""
    states: frozenset[str] = frozenset()
    sets: str = ""
    question: str = ""
    undone_by: str = ""
    is_final: bool = False

    @property
    def verb(self) -> str:
        """Its name within its group of commands."""
        return self.command.rpartition(" ")[2]

    def command_line(self, arguments: str = "") -> str:
        """Return the shell command that does it."""
        return f"hms-svc {self.command} {arguments}".rstrip()

    @property
    def clause(self) -> str:
        """The help as a line of a list: its sentences without capital letters and full stops."""
        sentences = self.help.removesuffix(".").split(". ")
        return "; ".join(each[0].lower() + each[1:] for each in sentences)

    @property
    def reversal(self) -> str:
        """A sentence on whether it can be undone; empty if it is no loss, or another action reverts it."""
        if self.is_final:
            return FINAL_TEXT
        return UNDO_TEXT if self.undone_by == "undo" else ""

    def asked(self, subject: str = "") -> str:
        """Return the question that confirms it."""
        question = self.question.format(subject)
        return f"{question} {FINAL_TEXT}" if self.is_final else question

    def title_of(self, subject: str) -> str:
        """Return what it does to a subject as the title of a dialog."""
        title = self.question.format(subject).removesuffix("?")
        return title[0].upper() + title[1:]


ACTIONS: Final = (
    OperatorAction(
        name="retry",
        on="jobs",
        title="Retry",
        key="r",
        help="Run finished jobs again, and waiting ones now. Their ids stay the same.",
        done="retried",
        audit="job.retry",
        command="jobs retry",
        route="/jobs/{job_id}/retry",
        states=frozenset(
            {State.REJECTED, State.DEAD, State.CANCELLED, State.SCHEDULED, State.RETRYING}
        ),
        question="retry {}?",
        undone_by="undo",
    ),
    OperatorAction(
        name="enqueue",
        on="installation",
        title="Enqueue a test job",
        key="e",
        help="Choose a sample or a type, fill in the form, and say how many.",
        audit="job.enqueue",
        command="enqueue",
    ),
    OperatorAction(
        name="edit",
        on="job",
        title="Edit and retry",
        key="E",
        help="Create a new job from a finished one, with other data. The original is not changed.",
        audit="job.edit",
        command="jobs edit",
        route="/jobs/{job_id}/edit",
        states=TERMINAL,
    ),
    OperatorAction(
        name="cancel",
        on="jobs",
        title="Cancel",
        key="x",
        help="Cancel jobs. Running ones are asked to stop.",
        done="cancelled",
        audit="job.cancel",
        command="jobs cancel",
        route="/jobs/{job_id}/cancel",
        states=frozenset(State) - TERMINAL,
        question="cancel {}?",
        undone_by="undo",
    ),
    OperatorAction(
        name="discard",
        on="jobs",
        title="Discard",
        key="D",
        help="Hide jobs that are not running.",
        done="discarded",
        audit="job.discard",
        command="jobs discard",
        route="/jobs/{job_id}/discard",
        states=frozenset(State) - {State.PROCESSING},
        question="discard {}?",
        undone_by="undo",
    ),
    OperatorAction(
        name="approve",
        on="jobs",
        title="Approve",
        key="a",
        help="Approve jobs that governance holds. This applies to their action, rule and payload only.",
        done="approved",
        audit="job.approve",
        command="jobs approve",
        route="/jobs/{job_id}/approve",
        states=frozenset({State.HELD}),
        question="approve {}?",
    ),
    OperatorAction(
        name="deny",
        on="jobs",
        title="Deny",
        key="d",
        help="Deny jobs that governance holds. Earlier approvals are revoked.",
        done="denied",
        audit="job.deny",
        command="jobs deny",
        route="/jobs/{job_id}/deny",
        states=frozenset({State.HELD}),
        question="deny {}?",
        undone_by="undo",
    ),
    OperatorAction(
        name="undo",
        on="installation",
        title="Undo",
        key="u",
        help="Undo a recent retry, discard, cancel, deny or purge.",
        done="undone",
        audit="job.undo",
        command="jobs undo",
        route="/jobs/undo",
        question="undo it?",
    ),
    OperatorAction(
        name="close-batch",
        on="batch",
        title="Close batch",
        help="Close an open batch. It continues with the members that were accepted, and takes no more.",
        audit="batch.close",
        command="batches close",
        route="/batches/{batch_id}/close",
        question="close batch {}?",
        is_final=True,
    ),
    OperatorAction(
        name="pause",
        on="queue",
        title="Pause queue",
        key="p",
        help="Stop claiming jobs of a type. Running jobs continue, and new ones are accepted.",
        audit="queue.pause",
        command="queues pause",
        route="/queues/{type}/pause",
        undone_by="resume",
    ),
    OperatorAction(
        name="resume",
        on="queue",
        title="Resume queue",
        key="p",
        help="Claim and accept jobs of a paused type again.",
        audit="queue.resume",
        command="queues resume",
        route="/queues/{type}/resume",
        undone_by="pause",
    ),
    OperatorAction(
        name="quiet",
        on="worker",
        title="Quiet worker",
        key="p",
        help="Make a worker finish its running jobs and claim no more.",
        audit="worker.quiet",
        command="workers quiet",
        route="/workers/{worker}/quiet",
        sets="quiet",
        question="quiet worker {}?",
        undone_by="resume-worker",
    ),
    OperatorAction(
        name="resume-worker",
        on="worker",
        title="Resume worker",
        key="p",
        help="Make a quiet worker claim jobs again.",
        audit="worker.resume",
        command="workers resume",
        route="/workers/{worker}/resume",
        sets="working",
        question="resume worker {}?",
        undone_by="quiet",
    ),
    OperatorAction(
        name="stop",
        on="worker",
        title="Stop worker",
        key="x",
        help="Make a worker finish its running jobs, and exit. They may run on within its grace period. The worker is not replaced; a service exits with its last worker.",
        audit="worker.stop",
        command="workers stop",
        route="/workers/{worker}/stop",
        sets="stopping",
        question="stop worker {}?",
    ),
    OperatorAction(
        name="run-now",
        on="schedule",
        title="Run now",
        key="r",
        help="Run the job of a schedule now. A pause does not prevent that, and the next runs stay as planned.",
        audit="job.enqueue",
        command="schedules run",
        route="/schedules/{type}/run",
    ),
    OperatorAction(
        name="pause-schedule",
        on="schedule",
        title="Pause schedule",
        key="p",
        help="Skip the runs of a schedule from now on. A run that has begun continues.",
        audit="schedule.pause",
        command="schedules pause",
        route="/schedules/{type}/pause",
        undone_by="resume-schedule",
    ),
    OperatorAction(
        name="resume-schedule",
        on="schedule",
        title="Resume schedule",
        key="p",
        help="Resume a paused schedule. Runs that came due during the pause are not made up for.",
        audit="schedule.resume",
        command="schedules resume",
        route="/schedules/{type}/resume",
        undone_by="pause-schedule",
    ),
    OperatorAction(
        name="purge",
        on="queue",
        title="Purge queue",
        help="Cancel all waiting jobs of a type.",
        done="purged",
        audit="queue.purge",
        command="queues purge",
        route="/queues/{type}/purge",
        question="cancel all waiting jobs of {}?",
        undone_by="undo",
    ),
    OperatorAction(
        name="close-case",
        on="case",
        title="Close case",
        key="c",
        help="Close a case, so that its place can be reported again.",
        audit="case.closed",
        command="cases close",
        route="/cases/{case_id}/close",
        states=frozenset({"open"}),
        sets="closed",
        undone_by="reopen-case",
    ),
    OperatorAction(
        name="reopen-case",
        on="case",
        title="Reopen case",
        key="o",
        help="Reopen a closed case, if no other is open at its place.",
        audit="case.reopened",
        command="cases reopen",
        route="/cases/{case_id}/reopen",
        states=frozenset({"closed"}),
        sets="open",
        undone_by="close-case",
    ),
    OperatorAction(
        name="erase",
        on="jobs",
        help="Permanently blank the data of finished jobs.",
        done="erased",
        audit="job.erase",
        command="jobs erase",
        states=TERMINAL,
        question="erase the data of {} permanently?",
        is_final=True,
    ),
    OperatorAction(
        name="backup",
        on="installation",
        help="Copy the embedded files into a directory. Each copy is consistent; the service may keep running.",
        audit="db.backup",
        command="db backup",
    ),
    OperatorAction(
        name="accept",
        on="audit",
        help="Declare the audit log correct as it is. Compare it with a backup first: earlier changes can no longer be detected afterwards.",
        audit="audit.accept",
        command="audit accept",
        question="accept the audit log as it is? Whatever was rewritten or cut off before now can no longer "
        "be detected afterwards; have you compared the database with a backup?",
    ),
    OperatorAction(
        name="create-token",
        on="token",
        help="Create a bearer token for the HTTP API. It is shown only once; only its digest is stored.",
        audit="token.create",
        command="tokens create",
        undone_by="revoke-token",
    ),
    OperatorAction(
        name="revoke-token",
        on="token",
        help="Revoke a token: every HTTP server rejects it within seconds.",
        audit="token.revoke",
        command="tokens revoke",
    ),
)
"""In the order in which the console lists them."""
ACTS_ROUTE: Final = "/jobs/acts"
"""Applies any of the actions on jobs to many of them."""
BY_NAME: Final[Mapping[str, OperatorAction]] = MappingProxyType(
    {each.name: each for each in ACTIONS}
)
ON_JOBS: Final[Mapping[str, OperatorAction]] = MappingProxyType(
    {name: BY_NAME[name] for name in ("retry", "cancel", "discard", "approve", "deny")}
)
"""The action of each `Act`, on one job or many."""
DECISIONS: Final = frozenset({"approve", "deny"})
"""Actions on jobs that answer a hold, and so have to name it."""
ON_WORKERS: Final[Mapping[str, OperatorAction]] = MappingProxyType(
    {each.sets: each for each in ACTIONS if each.on == "worker"}
)
"""The action that requests each `WorkerState`."""
ON_CASES: Final[Mapping[str, OperatorAction]] = MappingProxyType(
    {each.sets: each for each in ACTIONS if each.on == "case"}
)
"""The action that leads to each `CaseStatus`."""
AUDITED: Final[Mapping[str, str]] = MappingProxyType({each.name: each.audit for each in ACTIONS})
"""The name of each action in the audit log."""
