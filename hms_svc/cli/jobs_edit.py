"""`hms-svc jobs edit`: run a finished job again with other data, as a new job."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hms_svc.cli.action_commands import commands_of
from hms_svc.cli.options import AsJson, Commands, DryRun, JobId, Reason
from hms_svc.cli.output import echo, emit, hint
from hms_svc.cli.session import Session, run, session_of
from hms_svc.domain.errors import BadInput, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hms_svc.domain.job import Job
    from hms_svc.domain.strict_json import JsonValue
    from hms_svc.operations.answers.acts import Edited
    from hms_svc.operations.dry_run import Check
    from hms_svc.operations.service import Operations


def _edit(
    context: typer.Context,
    job_id: JobId,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="The new data, as JSON.", show_default=False),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the data."),
    ] = None,
    note: Reason = "",
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Skip the dry run; the worker checks the job.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Payload model, validators and governance are checked in a dry run first; a rejection stops it."""
    if data is None and not assignments and not sys.stdin.isatty():
        raise BadInput("jobs edit requires --data FILE or --set path=value if there is no terminal")
    run(
        lambda: _edit_job(
            session_of(context), job_id, data, assignments or [], note, no_check, dry_run, as_json
        )
    )


COMMANDS: Final[Commands] = commands_of({"edit": _edit})


async def _edit_job(
    session: Session,
    job_id: str,
    source: str | None,
    assignments: list[str],
    note: str,
    no_check: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    from hms_svc.operations.answers.acts import Edited
    from hms_svc.operations.answers.jobs import json_or_none
    from hms_svc.operations.dry_run import diff_lines

    async with session.operations(with_rules=not no_check) as operations:
        detail, _ = await operations.reads.detail(job_id)
        old = json_or_none(detail.view.data)
        new = _new_data(old, source, assignments)
        job = await operations.actions.draft_edit(job_id, new)
        checks = await _dry_run(operations, job)
        state = "not enqueued"
        if not dry_run:
            _stop_at_rejection(checks)
            state = (await operations.actions.enqueue_edit(job, note=note)).state.value
    edited = Edited(id=job.id, type=job.type, state=state, retried_from=job_id)
    if dry_run:
        _print_dry_run(edited, checks, diff_lines(old, new), as_json)
        _stop_at_rejection(checks)
    elif as_json:
        emit(edited)
    else:
        _hint_at_holds(checks)
        echo(f"{job.id}  {job.type}  {state}, created from {job_id}")


async def _dry_run(operations: Operations, job: Job) -> Sequence[Check]:
    return () if operations.dry_runs is None else await operations.dry_runs.dry_run(job)


def _stop_at_rejection(checks: Sequence[Check]) -> None:
    for check in checks:
        if check.stops:
            fault = Refused if check.name.startswith("governance") else BadInput
            raise fault(
                f"{check.name} {check.verdict}: {check.message}; nothing was enqueued "
                "(--no-check skips the dry run)"
            )


def _hint_at_holds(checks: Sequence[Check]) -> None:
    for check in checks:
        if check.verdict == "holds":
            hint(f"{check.name} holds: {check.message}")


def _print_dry_run(
    edited: Edited, checks: Sequence[Check], diff: Sequence[str], as_json: bool
) -> None:
    if as_json:
        from msgspec.structs import replace

        from hms_svc.operations.answers.acts import CheckAnswer

        emit(replace(edited, checks=tuple(map(CheckAnswer.of, checks)), diff=tuple(diff)))
        return
    for each in checks:
        echo(f"{each.verdict:<8}{each.name}" + (f": {each.message}" if each.message else ""))
        if each.printed:
            echo(each.printed.rstrip("\n"))
    echo("\n".join(diff) or "the data was not changed")


def _new_data(old: JsonValue, source: str | None, assignments: list[str]) -> JsonValue:
    from hms_svc.operations.intake import apply_to_data, read_assignments

    if source is None and not assignments:
        return _ask_editor(old)
    new = old if source is None else _read(source)
    return apply_to_data(new, read_assignments(assignments, inside_data=True))


def _read(source: str) -> JsonValue:
    from hms_svc.cli.enqueue import read_source
    from hms_svc.domain.errors import MalformedJson
    from hms_svc.domain.strict_json import read_strict

    name, raw = read_source(source)
    try:
        return read_strict(raw)
    except MalformedJson as error:
        raise BadInput(f"{name}: {error}") from error


def _ask_editor(old: JsonValue) -> JsonValue:
    import json

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.json"
        file.write_text(json.dumps(old, indent=2, ensure_ascii=True) + "\n", encoding="utf-8")
        _run_editor(file)
        new = _read(str(file))
    if new == old:
        raise BadInput("the data was not changed: nothing was enqueued")
    return new


def _run_editor(file: Path) -> None:
    from hms_svc.settings import editor_command

    command = editor_command()
    try:
        ended = subprocess.run([*shlex.split(command), str(file)], check=False)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise BadInput(
            f"the editor {command!r:.200} (VISUAL, else EDITOR) cannot be started: {why}; "
            "nothing was enqueued"
        ) from error
    if ended.returncode != 0:
        raise BadInput(f"the editor exited with {ended.returncode}: nothing was enqueued")
