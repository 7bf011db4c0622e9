"""Run the commands that change something: this is the only module of the console that calls them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from hms_svc.domain.case import CaseStatus
from hms_svc.domain.errors import Refused, UnknownId
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.plain_text import plural
from hms_svc.domain.views import WorkerState
from hms_svc.operations.action_table import BY_NAME, DECISIONS, ON_JOBS
from hms_svc.operations.bulk import CHUNK, BulkReport
from hms_svc.operations.bulk_pace import Pace
from hms_svc.operations.plan import Plan
from hms_svc.operations.service import Operations
from hms_svc.operations.undo import UndoPlan, not_restored_text
from hms_svc.ports.control import Act
from hms_svc.tui import formats as f
from hms_svc.tui.command_keys import sign_of
from hms_svc.tui.commands import Command, Target
from hms_svc.tui.dialogs.plan import ConfirmDialog, ProgressDialog, UndoDialog, typed_number
from hms_svc.tui.plan_lines import (
    close_lines,
    held_lines,
    plan_lines,
    purge_lines,
    worker_lines,
)
from hms_svc.tui.rows import cause_text
from hms_svc.tui.text import Line, Role

if TYPE_CHECKING:
    from hms_svc.tui.host import ConsoleHost

SHOWN_HELD: Final = 3


class ActionRunner:
    """Runs one command after the other, and shows the outcome of each as a notice."""

    def __init__(self, console: ConsoleHost) -> None:
        self._console = console

    async def do(self, command: Command, target: Target | None, argument: str = "") -> None:
        """Run a command; errors are shown, never raised. `argument` is its note, reason or batch."""
        with self._console.reporting():
            operations = self._console.store.operations()
            action = BY_NAME[command.name]
            if action.on == "worker" and target is not None:
                await self._ask_worker(operations, command, target, argument)
            elif action.on == "case" and target is not None:
                await self._set_status(operations, CaseStatus(action.sets), target, argument)
            elif action.name in ON_JOBS and target is not None:
                await self._act(operations, Act(action.name), command, target, argument)
            else:
                await _HANDLERS[command.name](self, operations, target, argument)

    def _show_notice(self, message: str, role: Role = "") -> None:
        self._console.show_notice(message, role)

    async def _act(
        self, operations: Operations, act: Act, command: Command, target: Target, note: str
    ) -> None:
        plan = await self._plan(operations, act, target)
        if not plan.job_ids:
            why = f": {plan.cannot[0].why}" if plan.cannot else ""
            self._show_notice(f"nothing to {act.value}{why}", "warn")
            return
        if len(plan.job_ids) > 1 or plan.where or act in DECISIONS:
            jobs = len(plan.job_ids)
            causes = {each.id: cause_text(each) for each in self._console.store.snapshot.failures}
            lines = plan_lines(plan, command.command_line(target), causes)
            if act in DECISIONS:
                held = await self._held(operations, plan)
                lines = [*held, (), *(lines if jobs > 1 else lines[-1:])]
            answer = await self._console.ask(
                ConfirmDialog(
                    ON_JOBS[act].title_of(plural(jobs, "job")),
                    lines,
                    verb=act.value,
                    typed=typed_number(jobs) if act is Act.DISCARD else None,
                    command=command.command_line(target, whole=True),
                )
            )
            if answer is None:
                self._show_notice("cancelled, nothing changed", "dim")
                return
            note = answer or note
        self._console.forget_selection()
        self._console.resume_keys()
        report = await self._carry_out(operations, plan, note)
        self._report(report)

    async def _held(self, operations: Operations, plan: Plan) -> list[Line]:
        """Return lines about the first of the held jobs: what each asks for."""
        jobs = await operations.reads.known_details(plan.job_ids[:SHOWN_HELD])
        rule_text = operations.dry_runs.rule_text if operations.dry_runs is not None else None
        rules = {
            job.hold[1]: rule_text(job.hold[1]) if rule_text else "" for job in jobs if job.hold
        }
        return held_lines(jobs, rules, operations.reads.now_ms())

    async def _plan(self, operations: Operations, act: Act, target: Target) -> Plan:
        if not target.where:
            return await operations.actions.plan(act, target.ids)
        where = parse_filter(target.where)
        with self._counting() as progressed:
            return await operations.actions.plan_where(act, where, progressed=progressed)

    @contextmanager
    def _counting(self) -> Iterator[Callable[[int], None]]:
        """Yield a callback that shows how many jobs the planning has found so far."""
        found = 0

        def progressed(more: int) -> None:
            nonlocal found
            found += more
            if found > CHUNK:
                self._show_notice(f"counting: {plural(found, 'job')}", "dim")

        yield progressed

    async def _carry_out(self, operations: Operations, plan: Plan, note: str) -> BulkReport:
        if len(plan.job_ids) <= CHUNK:
            return await operations.actions.carry_out(plan, note=note)
        pace = Pace()
        title = ON_JOBS[plan.act].title_of(plural(len(plan.job_ids), "job"))
        with self._progress(title, len(plan.job_ids), pace) as progressed:
            return await operations.actions.carry_out(
                plan, note=note, progressed=progressed, pace=pace
            )

    @contextmanager
    def _progress(self, title: str, total: int, pace: Pace) -> Iterator[Callable[[int], None]]:
        """Show the progress of an action in a dialog, or as notices once it is in the background."""
        dialog = ProgressDialog(title, total, pace)

        def progressed(more: int) -> None:
            if not dialog.done and more >= CHUNK:
                self._show_progress(dialog)
            dialog.add(more)
            if dialog.was_left:
                self._show_notice(f"{title}: {f.number(dialog.done)} done", "dim")

        try:
            yield progressed
        finally:
            dialog.finish()

    def _show_progress(self, dialog: ProgressDialog) -> None:
        """Show the dialog, unless that would take the focus from an open prompt."""
        if self._console.is_typing:
            dialog.was_left = True
        else:
            self._console.push_screen(dialog)

    def _report(self, report: BulkReport) -> None:
        if not report.done and len(report.failed) == 1:
            self._show_notice(f"not {ON_JOBS[report.act].done}: {report.failed[0].why}", "warn")
            return
        parts = [f"{plural(report.done, 'job')} {ON_JOBS[report.act].done}"]
        if report.failed:
            parts.append(f"{f.number(len(report.failed))} not ({report.failed[0].why})")
        if report.left:
            parts.append(f"{f.number(report.left)} not processed")
        message = ", ".join(parts)
        if report.done and ON_JOBS[report.act].undone_by == "undo":
            message += _undoes()
        self._show_notice(message, "warn" if report.failed or report.left else "good")

    async def _undo(self, operations: Operations, target: Target | None, argument: str) -> None:
        batch: str | None = argument or None
        while True:
            with self._counting() as progressed:
                plan = await operations.actions.plan_undo(batch, progressed=progressed)
            if not plan.back:
                raise Refused(
                    f"this action can no longer be undone: {not_restored_text(plan.whys)}"
                )
            command = BY_NAME["undo"].command_line(plan.act.batch)
            now = operations.reads.now_ms()
            answer = await self._console.ask(UndoDialog(plan, now, command))
            if answer is None:
                self._show_notice("cancelled, nothing changed", "dim")
                return
            if answer != UndoDialog.OTHER or plan.newer is None:
                break
            batch = plan.newer.batch
        self._console.resume_keys()
        await self._carry_out_undo(operations, plan)

    async def _carry_out_undo(self, operations: Operations, plan: UndoPlan) -> None:
        pace = Pace()
        with self._progress("Undo", len(plan.outcomes), pace) as progressed:
            report = await operations.actions.undo(plan.act.batch, progressed=progressed, pace=pace)
        described = [f"{plural(report.done, 'job')} brought back"]
        described += [not_restored_text(report.whys)] if report.failed else []
        if report.left:
            described.append(f"{f.number(report.left)} unchanged")
        self._show_notice(", ".join(described), "warn" if report.failed or report.left else "good")

    async def _pause(self, operations: Operations, target: Target | None, argument: str) -> None:
        known = {queue.type for queue in self._console.store.snapshot.queues}
        for type in self._console.types_of(target):
            if type not in known:
                raise UnknownId(
                    f"no queue {type!r}; to pause it in advance use {BY_NAME['pause'].command_line()}"
                )
            await operations.actions.pause(type, reason=argument)
            self._show_notice(f"{type} paused; :resume {type} resumes it", "warn")

    async def _resume(self, operations: Operations, target: Target | None, argument: str) -> None:
        for type in self._console.types_of(target):
            await operations.actions.resume(type)
            self._show_notice(f"{type} resumed", "good")

    async def _purge(self, operations: Operations, target: Target | None, argument: str) -> None:
        for type in self._console.types_of(target):
            waiting = self._waiting_in(type)
            total = sum(waiting.values())
            purge = BY_NAME["purge"]
            title, command = purge.title_of(type), purge.command_line(type)
            note: str | None = ""
            if (
                not self._console.launch.facts.read_only
            ):  # else the service refuses without a dialog
                lines = purge_lines(type, waiting, command)
                note = await self._console.ask(
                    ConfirmDialog(
                        title, lines, verb="purge", typed=typed_number(total), command=command
                    )
                )
            if note is None:
                self._show_notice("cancelled, nothing changed", "dim")
                return
            pace = Pace()
            with self._progress(title, total, pace) as progressed:
                report = await operations.actions.purge(
                    type, note=note or argument, progressed=progressed, pace=pace
                )
            self._show_notice(
                f"{plural(report.done, 'waiting job')} of {type} cancelled{_undoes()}",
                "good",
            )

    def _waiting_in(self, type: str) -> Mapping[State, int]:
        counts = [each.counts for each in self._console.store.snapshot.queues if each.type == type]
        return {
            state: sum(getattr(each, state.value) for each in counts)
            for state in (State.QUEUED, State.SCHEDULED, State.RETRYING)
        }

    async def _ask_worker(
        self, operations: Operations, command: Command, target: Target, argument: str
    ) -> None:
        action, worker_id = BY_NAME[command.name], target.ids[0]
        wanted = WorkerState(action.sets)
        plan = await operations.actions.plan_worker(worker_id, wanted)
        note: str | None = ""
        if wanted is not WorkerState.WORKING:
            command_line = command.command_line(target, whole=True)
            lines = worker_lines(plan, command_line)
            title = action.title_of(worker_id)
            note = await self._console.ask(
                ConfirmDialog(title, lines, verb=action.verb, command=command_line)
            )
        if note is None:
            self._show_notice("cancelled, nothing changed", "dim")
            return
        self._console.resume_keys()
        await operations.actions.ask_worker(worker_id, wanted, reason=note or argument)
        then = f"; {sign_of('resume-worker')} resumes it" if wanted is WorkerState.QUIET else ""
        self._show_notice(f"{worker_id} is asked to be {wanted}{then}", "good")

    async def _run_now(self, operations: Operations, target: Target | None, argument: str) -> None:
        for type in target.ids if target is not None else ():
            job_id = await operations.schedules.run(type, note=argument)
            self._show_notice(f"{type} {job_id} runs now", "good")

    async def _pause_schedule(
        self, operations: Operations, target: Target | None, argument: str
    ) -> None:
        for type in target.ids if target is not None else ():
            await operations.schedules.pause(type, reason=argument)
            then = f"{sign_of('resume-schedule')} resumes it"
            self._show_notice(f"schedule of {type} paused; {then}", "warn")

    async def _resume_schedule(
        self, operations: Operations, target: Target | None, argument: str
    ) -> None:
        for type in target.ids if target is not None else ():
            await operations.schedules.resume(type)
            self._show_notice(f"schedule of {type} resumed", "good")

    async def _close_batch(
        self, operations: Operations, target: Target | None, argument: str
    ) -> None:
        """Close the batch of a job; an id that no job has is that of a batch."""
        if target is None or len(target.ids) != 1:
            raise Refused("batches are closed one by one: select one job of the batch")
        batch_id = await _batch_of(operations, target.ids[0])
        plan, action = await operations.actions.plan_close(batch_id), BY_NAME["close-batch"]
        command = action.command_line(batch_id)
        lines = close_lines(plan, command)
        title = action.title_of(batch_id)
        note = await self._console.ask(ConfirmDialog(title, lines, verb="close", command=command))
        if note is None:
            self._show_notice("cancelled, nothing changed", "dim")
            return
        closed = await operations.actions.close_batch(batch_id, note=note or argument)
        members = plural(closed.accepted, "member")
        self._show_notice(
            f"batch {batch_id} closed with {members}; not accepted: {f.number(closed.left_out)}",
            "good",
        )

    async def _set_status(
        self, operations: Operations, status: CaseStatus, target: Target, argument: str
    ) -> None:
        for case_id in target.ids:
            case = await operations.actions.set_case_status(case_id, status, note=argument)
            self._show_notice(f"{case.id} is {case.status}", "good")


async def _batch_of(operations: Operations, id: str) -> str:
    found = await operations.reads.known_details([id])
    if not found:
        return id
    if found[0].view.batch is None:
        raise Refused(f"job {id} belongs to no batch")
    return found[0].view.batch


def _undoes() -> str:
    return f"; {sign_of('undo')} undoes it"


_Handler = Callable[[ActionRunner, Operations, Target | None, str], Awaitable[None]]
_HANDLERS: Final[Mapping[str, _Handler]] = {
    "undo": ActionRunner._undo,
    "pause": ActionRunner._pause,
    "resume": ActionRunner._resume,
    "purge": ActionRunner._purge,
    "close-batch": ActionRunner._close_batch,
    "run-now": ActionRunner._run_now,
    "pause-schedule": ActionRunner._pause_schedule,
    "resume-schedule": ActionRunner._resume_schedule,
}
