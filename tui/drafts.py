"""Make jobs in dialogs: from a sample, from a form, or from a finished job with edited data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from hms_svc.domain.plain_text import plain_json, plural
from hms_svc.domain.strict_json import JsonValue, decode, encode
from hms_svc.operations.dry_run import diff_lines
from hms_svc.operations.forms import write
from hms_svc.operations.intake import Draft
from hms_svc.operations.sample_jobs import SampleJob, list_samples
from hms_svc.operations.service import Operations
from hms_svc.operations.trial_jobs import TrialReport
from hms_svc.tui.commands import BY_NAME, Target
from hms_svc.tui.dialogs.choose import ChooseDialog
from hms_svc.tui.dialogs.edit import CheckedDialog, EditDialog
from hms_svc.tui.dialogs.form import FormDialog
from hms_svc.tui.dialogs.message import Message
from hms_svc.tui.page_lines import pretty
from hms_svc.tui.text import Line, cell, line

if TYPE_CHECKING:
    from hms_svc.tui.host import ConsoleHost

FORM: Final = "console"


class Drafts:
    """Asks what to enqueue, and enqueues it; errors are shown, never raised."""

    def __init__(self, console: ConsoleHost) -> None:
        self._console = console
        self._samples: tuple[SampleJob, ...] | None = None

    async def enqueue(self) -> None:
        """Ask for a sample or a type, show its form, and enqueue the job."""
        with self._console.reporting():
            operations = self._console.store.operations()
            chosen = await self._console.ask(
                ChooseDialog(self._list_samples(), operations.forms.types())
            )
            kind, _, name = (chosen or "").partition(":")
            if kind == "sample":
                await self._enqueue_sample(operations, name)
            elif kind == "type":
                await self._fill_in(operations, name, {}, check=True)

    def _list_samples(self) -> tuple[SampleJob, ...]:
        if self._samples is None:
            self._samples = list_samples()
        return self._samples

    async def _enqueue_sample(self, operations: Operations, name: str) -> None:
        sample = next(each for each in self._list_samples() if each.name == name)
        if sample.raw:
            raw = sample.text.encode()
            self._report_enqueued(await operations.actions.enqueue_raw_test(sample.type, raw))
            return
        value = sample.draft().value
        await self._fill_in(operations, sample.type, value, check=sample.checked)

    async def _fill_in(
        self, operations: Operations, type: str, value: Mapping[str, JsonValue], *, check: bool
    ) -> None:
        form = operations.forms.form(type)
        texts = write(form, value["data"]) if "data" in value else {}
        filled = await self._console.ask(FormDialog(form, texts))
        if filled is not None:
            draft = Draft(FORM, {**value, "type": type, "data": filled.data})
            self._report_enqueued(
                await operations.actions.enqueue_test(draft, count=filled.count, check=check)
            )

    def _report_enqueued(self, report: TrialReport) -> None:
        if len(report.answers) == 1:
            answer = report.answers[0]
            self._console.show_notice(f"{report.type} {answer.job_id} is {answer.state}", "good")
        else:
            described = f"{plural(len(report.answers), 'job')} of {report.type} enqueued"
            self._console.show_notice(
                described + (f", {report.left} not" if report.left else ""), "good"
            )

    async def edit(self, job_id: str) -> None:
        """Let a user edit the data of a finished job, check it in a dry run, and enqueue it as a new job."""
        with self._console.reporting():
            await self._edit(self._console.store.operations(), job_id)

    async def _edit(self, operations: Operations, job_id: str) -> None:
        detail, _ = await operations.reads.detail(job_id)
        await operations.actions.draft_edit(job_id, _readable(detail.view.data))
        original = text = _editable(detail.view.data)
        note: str | None = None
        while note is None:
            edited = await self._console.ask(EditDialog(job_id, text, original=original))
            if edited is None:
                return
            text = _editable(encode(edited[0]))
            job = await operations.actions.draft_edit(job_id, edited[0])
            dry_runs = operations.dry_runs
            checks = () if dry_runs is None else await dry_runs.dry_run(job)
            difference = diff_lines(_readable(detail.view.data), edited[0])
            note = await self._console.ask(CheckedDialog(checks, difference))
        answer = await operations.actions.enqueue_edit(job, note=note)
        self._console.show_notice(
            f"{answer.job_id} is {answer.state}, created from {job_id}", "good"
        )

    async def show_why(self, target: Target) -> None:
        """Explain the state of a job, why a queue does not move, or what fails in a group."""
        with self._console.reporting():
            reads, id = self._console.store.operations().reads, target.ids[0]
            if target.kind == "queue":
                explanation = await reads.why_queue(id)
            elif target.kind == "group":
                explanation = await reads.why_group(id)
            else:
                explanation = await reads.why(id)
            first = Target(kind=target.kind, ids=(id,))
            command = BY_NAME["why"].command_line(first)
            lines = [(), line(cell(explanation)), (), line(cell(f"$ {command}", "dim"))]
            await self.show("Why", lines, to_copy=command)

    async def show(self, title: str, lines: Sequence[Line], *, to_copy: str = "") -> None:
        """Show lines in a dialog, and copy what the user chooses to copy."""
        copied = await self._console.ask(Message(title, lines, to_copy=to_copy))
        if copied:
            self._console.copy_to_clipboard(copied)


def _editable(raw: bytes) -> str:
    """Return a payload as JSON for the editor, with control characters escaped."""
    return "\n".join(plain_json(part) for part in pretty(raw).split("\n"))


def _readable(raw: bytes) -> JsonValue:
    """Return a payload; null if it is not JSON (a malformed job)."""
    try:
        value: JsonValue = decode(raw)
    except ValueError:
        return None
    return value
