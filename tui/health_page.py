"""All problems as `hms-svc status` describes them: the top line has room for the worst only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual import work

from hms_svc.domain.health import Level
from hms_svc.tui import formats as f
from hms_svc.tui.snapshot import Snapshot
from hms_svc.tui.text import Line, Role, cell, line

if TYPE_CHECKING:
    from hms_svc.tui.commands import Target
    from hms_svc.tui.host import ConsoleHost

COMMAND: Final = "hms-svc status"
ROLES: Final[dict[Level, Role]] = {Level.DOWN: "bad", Level.DEGRADED: "bad", Level.NOTE: "warn"}


def health_lines(snapshot: Snapshot, now: int) -> list[Line]:
    """Return lines for each problem, the worst first; or a line that all is well or not known."""
    health = snapshot.health
    lines: list[Line] = []
    for trouble in health.troubles if health is not None else ():
        head, _, detail = trouble.line(now).partition("; ")
        lines += [(), line(cell(f"  {head}", ROLES[trouble.level]))]
        lines += [line(cell("    "), cell(detail))] if detail else []
    if snapshot.trouble and (health is None or not health.troubles):
        lines += [(), line(cell("  not known: ", "bad"), cell(snapshot.trouble))]
    elif not is_known(snapshot):
        lines += [(), line(cell("  not everything is known yet", "dim"))]
    elif not lines:
        lines += [(), line(cell("  all well", "good"))]
    if waits := waits_for_people(snapshot):
        lines += [(), line(cell(f"  {waits}", "warn"))]
    return [*lines, (), line(cell(f"  $ {COMMAND}", "dim"))]


def waits_for_people(snapshot: Snapshot) -> str:
    """Count dead and held jobs, which need a decision, and types that the snapshot leaves out."""
    dead = sum(queue.counts.dead for queue in snapshot.queues)
    held = sum(queue.counts.held for queue in snapshot.queues)
    left_off = snapshot.types_left_off
    named = ((dead, "dead"), (held, "held"), (left_off, "types not shown"))
    return ", ".join(f"{f.count(number)} {label}" for number, label in named if number)


def is_known(snapshot: Snapshot) -> bool:
    """Return whether every part of the health has been read."""
    engines = (snapshot.broker, snapshot.database)
    return snapshot.health is not None and snapshot.health.is_whole and None not in engines


@work(name="console-health", group="acts")
async def show_health(console: ConsoleHost, target: Target | None, argument: str) -> None:
    """Show all problems in a dialog."""
    from hms_svc.tui.dialogs.message import Message  # not needed for the first paint

    with console.reporting(), console.preparing():
        lines = health_lines(console.store.snapshot, console.now_ms())
        if await console.ask(Message("Health", lines, to_copy=COMMAND)):
            console.copy_to_clipboard(COMMAND)
