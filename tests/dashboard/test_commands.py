"""The table of commands compared with the real keys, help, command line, handlers and audit log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from typing import Any, Final, get_args

import click
import pytest
from textual.widgets import TextArea
from typer.main import get_command

from hms_svc.cli.app import make_app
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import QueueCounts
from hms_svc.operations.action_table import ACTIONS, AUDITED, ON_JOBS
from hms_svc.ports.broker import WorkerRegistration
from hms_svc.ports.schedules import DueRuns
from hms_svc.tui.action_runner import _HANDLERS
from hms_svc.tui.app import _FUNCTIONS, Console
from hms_svc.tui.commands import BY_NAME, TABLE, Command, Target, TargetKind, fits
from hms_svc.tui.help import help_lines
from hms_svc.tui.navigation import SCREENS
from hms_svc.tui.screens.base import current_screen
from hms_svc.tui.text import Line
from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver

from .test_batches import submit_in_part

CLI_ONLY: Final = {"accept", "backup", "create-token", "erase", "revoke-token"}
CHANGING: Final = tuple(command for command in TABLE if command.changes)
DAILY: Final = "0 4 * * *"
DRAFTED: Final = {"enqueue", "edit"}
HANDLED: Final = {
    *ON_JOBS,
    *_HANDLERS,
    *(each.name for each in ACTIONS if each.on in ("worker", "case")),
}
TWINS: Final = (
    {"pause", "resume"},
    {"quiet", "resume-worker"},
    {"pause-schedule", "resume-schedule"},
)


def verb_exists(arguments: list[str]) -> bool:
    """Return whether the command line has the command that these arguments begin with."""
    group: Any = get_command(make_app())
    context = click.Context(group, info_name="hms-svc")
    for argument in arguments:
        group = group.get_command(context, argument)
        if group is None:
            return False
        if not hasattr(group, "list_commands"):
            return True
    return False


@pytest.mark.parametrize("command", [each for each in TABLE if each.cli], ids=lambda c: c.name)
def test_every_command_line_exists(command: Command) -> None:
    for cli in (command.cli, *command.cli_of.values()):
        program, *arguments = cli.split()
        assert program == "hms-svc"
        assert verb_exists(arguments), f"{cli} is no command"


def test_a_command_line_names_what_it_needs() -> None:
    assert BY_NAME["enqueue"].command_line(None) == "hms-svc enqueue FILE"
    queue, group = Target(kind="queue", ids=("x.y",)), Target(kind="group", ids=("cause",))
    assert BY_NAME["pause"].command_line(queue) == "hms-svc queues pause x.y"
    assert BY_NAME["pause"].command_line(group) == "hms-svc queues pause TYPE"
    assert BY_NAME["undo"].command_line(None) == "hms-svc jobs undo"
    job = Target(kind="job", ids=("part-1",))
    assert BY_NAME["close-batch"].command_line(job) == "hms-svc batches close BATCH"
    assert BY_NAME["close-batch"].command_line(None) == "hms-svc batches close ID"


def test_an_unknown_verb_is_recognised() -> None:
    assert not verb_exists(["jobs", "revive", "ID"])
    assert not verb_exists(["jobs"])


def test_every_command_has_a_title_and_a_help_line() -> None:
    help_text = "\n".join("".join(part.text for part in each) for each in help_lines(None))
    for command in TABLE:
        assert command.title, command.name
        assert command.help, command.name
        assert command.title in help_text
        assert command.help in help_text


@pytest.mark.parametrize("kind", [None, *get_args(TargetKind)])
def test_no_key_has_two_commands_for_the_same_target(kind: TargetKind | None) -> None:
    target = None if kind is None else Target(kind=kind, ids=("x",))
    taken: dict[str, str] = {}
    for command in TABLE:
        for key in command.keys if fits(command, target) else ():
            both = {command.name, taken.setdefault(key, command.name)}
            assert len(both) == 1 or both in TWINS


def test_every_command_has_a_handler() -> None:
    lost = [
        command.name
        for command in TABLE
        if not (
            (command.group == "go" and command.name.removeprefix("go-") in SCREENS)
            or command.name in (HANDLED | DRAFTED)
            or command.name in _FUNCTIONS
            or hasattr(Console, f"_run_{command.name.replace('-', '_')}")
        )
    ]
    assert lost == []


def test_every_command_that_changes_something_has_a_verb_and_an_audit_action() -> None:
    declared = {each.name: each.audit for each in CHANGING}
    assert declared == {name: AUDITED[name] for name in AUDITED if name not in CLI_ONLY}
    assert {each.audit for each in CHANGING} == {*AUDITED.values()} - {
        AUDITED[name] for name in CLI_ONLY
    }
    assert [command.name for command in CHANGING if not command.cli] == []


def test_every_handler_belongs_to_a_command_that_is_declared_as_changing() -> None:
    assert {command.name for command in CHANGING} == HANDLED | DRAFTED


Targets = Callable[[ConsoleDriver], Awaitable[Target | None]]


def job_in(state: str) -> Targets:
    async def choose(driver: ConsoleDriver) -> Target:
        jobs = await driver.jobs(f"type:pothole.report state:{state}")
        return Target(kind="job", ids=(jobs[0].id,))

    return choose


async def the_queue(driver: ConsoleDriver) -> Target:
    return Target(kind="queue", ids=("drill.run",))


async def the_schedule(driver: ConsoleDriver) -> Target:
    return Target(kind="schedule", ids=("drill.run",))


async def the_part(driver: ConsoleDriver) -> Target:
    return Target(kind="job", ids=("part-0",))


async def the_worker(driver: ConsoleDriver) -> Target:
    return Target(kind="worker", ids=("keeper",))


async def the_case(driver: ConsoleDriver) -> Target:
    reads = (await driver.operations()).reads
    [case], _ = await reads.database.cases.page(status=None, kind=None, limit=0, cursor=None)
    return Target(kind="case", ids=(case.id,))


async def nothing(driver: ConsoleDriver) -> None:
    return None


TARGETS: Final[dict[str, Targets]] = {
    "cancel": job_in("held"),
    "undo": nothing,
    "approve": job_in("held"),
    "enqueue": nothing,
    "retry": job_in("rejected"),
    "edit": job_in("rejected"),
    "close-batch": the_part,
    "discard": job_in("rejected"),
    "deny": job_in("held"),
    "pause": the_queue,
    "resume": the_queue,
    "purge": the_queue,
    "quiet": the_worker,
    "resume-worker": the_worker,
    "stop": the_worker,
    "run-now": the_schedule,
    "pause-schedule": the_schedule,
    "resume-schedule": the_schedule,
    "close-case": the_case,
    "reopen-case": the_case,
}
"""The target of each command, in an order in which all of them can be run."""
HELD: Final = {
    **POTHOLE,
    "lat": 38.5,
    "photo": "https://photos.example.org/1.jpg",
    "needs_road_closure": True,
}


@asynccontextmanager
async def prepared(open_console: ConsoleMaker) -> AsyncIterator[None]:
    """Prepare one case, three held, three rejected and one queued job."""
    async with open_console(works=True, types=["pothole.report"]) as driver:
        await keep_a_schedule(driver)
        await submit_in_part(driver)
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.enqueue("pothole.report", *({**HELD, "lat": 38.5 + n / 10} for n in range(3)))
        await driver.enqueue("pothole.report", *[{**POTHOLE, "user_id": "troll"}] * 3)
        await driver.until(
            "all are in place",
            lambda: (
                {
                    "held": 3,
                    "completed": 1,
                    "rejected": 3,
                    "processing": 0,
                    "queued": 0,
                }.items()
                <= counts(driver).items()
            ),
        )
    yield


async def keep_a_schedule(driver: ConsoleDriver) -> None:
    """Register a worker with a schedule, which it has declared, and a job of its type."""
    operations = await driver.operations()
    now = operations.reads.now_ms()
    await operations.schedules._broker.decide_runs(
        [DueRuns(type="drill.run", cron=DAILY, data="{}")]
    )
    await driver.enqueue("drill.run", {}, not_before=now + 3_600_000)
    worker = WorkerRegistration(
        id="keeper",
        host="here",
        pid=1,
        slots=1,
        busy=0,
        types=("drill.run",),
        started_at=now,
        schedules=(("drill.run", DAILY),),
    )
    with closing(await asyncio.to_thread(operations.actions._broker.lease_keeper)) as lease_keeper:
        await asyncio.to_thread(lease_keeper.register, worker)


def counts(driver: ConsoleDriver) -> dict[str, int]:
    found = {queue.type: queue.counts for queue in driver.console.store.snapshot.queues}
    of = found.get("pothole.report", QueueCounts())
    return {state.value: getattr(of, state.value) for state in State}


async def run(driver: ConsoleDriver, name: str) -> str:
    """Run a command, confirm all its dialogs, and return the final notice."""
    target = await TARGETS[name](driver)
    console = driver.console
    console.notice = ()
    console.run_command(name, target)
    answered: set[object] = set()

    def ended() -> bool:
        screen = console.screen
        if driver.screen.endswith("Dialog"):
            if screen not in answered and screen.query("Input, TextArea, Grid, #keys"):
                answered.add(screen)
                editors = screen.query(TextArea)
                console.simulate_key("ctrl+s" if editors else "enter")
            return False
        has_notice = bool(console.notice) and "counting" not in console.notice[0].text
        return has_notice and screen is current_screen(console)

    await driver.until(f"{name} is done", ended)
    notice: Line = console.notice
    return "".join(part.text for part in notice)


async def test_every_command_records_its_action_in_the_audit_log(
    open_console: ConsoleMaker,
) -> None:
    assert TARGETS.keys() == {command.name for command in CHANGING}
    async with prepared(open_console), open_console() as driver:
        left: dict[str, tuple[str, set[str]]] = {}
        known = len(await driver.audit())
        for name in TARGETS:
            notice = await run(driver, name)
            rows = await driver.audit()
            left[name] = notice, {row.action for row in rows[: len(rows) - known]}
            known = len(rows)
        assert {name: actions for name, (_, actions) in left.items()} == {
            name: {BY_NAME[name].audit} for name in TARGETS
        }, left


async def test_a_read_only_console_refuses_every_command_and_records_nothing(
    open_console: ConsoleMaker,
) -> None:
    async with prepared(open_console), open_console(read_only=True) as driver:

        async def all_there_is() -> list[object]:
            reads = (await driver.operations()).reads
            cases = await reads.database.cases.page(status=None, kind=None, limit=0, cursor=None)
            paused = [(queue.type, queue.paused) for queue in await reads.queues()]
            return [await driver.jobs(), await driver.audit(), cases, paused]

        before = await all_there_is()
        notices = {name: await run(driver, name) for name in TARGETS}
        allowed = {name: text for name, text in notices.items() if not text.startswith("refused: ")}
        assert allowed == {}
        assert await all_there_is() == before
