"""Plans as lines: what an action or its undo would do. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from hms_svc.domain.batches import BatchView
from hms_svc.domain.lifecycle import REASON_ERROR, State
from hms_svc.domain.plain_text import plural
from hms_svc.domain.views import JobDetail
from hms_svc.operations.action_table import FINAL_TEXT
from hms_svc.operations.plan import Plan
from hms_svc.operations.undo import UndoPlan, since_text
from hms_svc.operations.worker_actions import WorkerPlan
from hms_svc.tui import formats as f
from hms_svc.tui.command_keys import sign_of
from hms_svc.tui.page_lines import pretty
from hms_svc.tui.rows import SIGNS
from hms_svc.tui.text import Line, Role, cell, line

SHOWN: Final = 12
WHYS: Final = 5
MOST_BYTES: Final = 20_000


def plan_lines(
    plan: Plan, command_line: str, causes: Mapping[str, str] | None = None
) -> list[Line]:
    """Return the lines of a plan: its groups of jobs, and why it cannot include other jobs.

    `causes` has the texts of causes by their ids.
    """
    causes = causes or {}
    lines: list[Line] = []
    for group in plan.groups[:SHOWN]:
        sign, role = SIGNS[group.state]
        lines.append(
            line(
                cell(f"{group.count:>9,} ", "strong"),
                cell(f"{sign} {group.state}".ljust(13), role),
                cell(f"{group.type}  "),
                cell(f"{group.reason}  " if group.reason not in ("", REASON_ERROR) else "", "dim"),
                cell(f"rule {group.rule}" if group.rule else "", "accent"),
                cell(causes.get(group.cause, group.example) if not group.rule else ""),
            )
        )
    if len(plan.groups) > SHOWN:
        rest = plan.groups[SHOWN:]
        described = (
            f"{sum(each.count for each in rest):>9,} in {plural(len(rest), 'further group')}"
        )
        lines.append(line(cell(described, "dim")))
    if plan.cannot:
        lines.append(())
        whys = Counter(outcome.why for outcome in plan.cannot).most_common(WHYS)
        lines += [_cannot(why, number) for why, number in whys]
    if plan.where:
        lines += [(), line(cell("  all that match ", "dim"), cell(plan.where, "accent"))]
    return [*lines, (), line(cell("  $ ", "dim"), cell(command_line, "dim"))]


def purge_lines(type: str, waiting: Mapping[State, int], command_line: str) -> list[Line]:
    """Return the lines of a purge: how many jobs of each state it would cancel."""
    lines: list[Line] = []
    for state, number in waiting.items():
        if number:
            sign, role = SIGNS[state]
            described = cell(f"{sign} {state}".ljust(13), role)
            lines.append(line(cell(f"{number:>9,} ", "strong"), described, cell(type)))
    if not lines:
        lines.append(line(cell("  no jobs are waiting", "dim")))
    return [
        *lines,
        line(cell(f"          will be cancelled; {sign_of('undo')} undoes it", "dim")),
        (),
        line(cell("  $ ", "dim"), cell(command_line, "dim")),
    ]


def held_lines(jobs: Sequence[JobDetail], rules: Mapping[str, str], now: int) -> list[Line]:
    """Return what needs an approval: action, rule with its description, reason, age and payload.

    A single job is shown with its payload; of several jobs each with one line of it.
    """
    lines: list[Line] = []
    for job in jobs:
        view = job.view
        action, rule, _ = job.hold or ("", view.by, "")
        since = next((m.at for m in reversed(job.history) if m.target is State.HELD), None)
        held = "" if since is None else f", held for {f.age(now - since)}"
        text = rules.get(rule) or "(description not available here)"
        lines += [()] if lines else []
        lines += [
            _fact("job", f"{view.id}  {view.type}", "strong"),
            _fact("wants", f"{action}{held}, enqueued {f.age(now - view.enqueued_at)} ago"),
            _fact("reason", view.detail, "warn"),
            *_payload(view.data, SHOWN if len(jobs) == 1 else 1),
            line(cell("  rule    ", "dim"), cell(f"{rule}  ", "accent"), cell(text, "dim")),
        ]
    return lines


def worker_lines(plan: WorkerPlan, command_line: str) -> list[Line]:
    """Describe what happens if a worker is asked to be quiet or to stop."""
    described = [
        line(cell("  "), cell(text, "warn" if number else ""))
        for number, text in enumerate(plan.lines)
    ]
    return [*described, (), line(cell("  $ ", "dim"), cell(command_line, "dim"))]


def close_lines(batch: BatchView, command_line: str) -> list[Line]:
    """Describe what happens if an open batch is closed."""
    described = [
        f"it continues {batch.accepted_text}, of which {f.number(batch.ended)} have ended",
        "a producer that still submits the rest is told that it is not accepted",
        FINAL_TEXT,
    ]
    lines = [
        line(cell("  "), cell(text, "warn" if place else ""))
        for place, text in enumerate(described)
    ]
    return [*lines, (), line(cell("  $ ", "dim"), cell(command_line, "dim"))]


def _payload(data: bytes, most: int) -> list[Line]:
    text = pretty(data[:MOST_BYTES]).split("\n")
    if most == 1:
        text = [" ".join(part.strip() for part in text)]
    lines = [
        _fact("payload" if not number else "", part) for number, part in enumerate(text[:most])
    ]
    if len(text) > most or len(data) > MOST_BYTES:
        lines.append(_fact("", "… more: i on the job shows it whole", "dim"))
    return lines


def _fact(name: str, text: str, role: Role = "") -> Line:
    return line(cell(f"  {name.ljust(8)}", "dim"), cell(text, role))


def _cannot(why: str, number: int) -> Line:
    return line(cell(f"{number:>9,} ", "warn"), cell(f"cannot: {why}", "warn"))


def undo_lines(plan: UndoPlan, now: int, command_line: str) -> list[Line]:
    """Describe an undo: whose action it was, what and when, and how many of its jobs can be brought back."""
    act = plan.act
    mine = " (you)" if plan.is_own else ", not you"
    lines = [
        _fact("by", f"{act.who}{mine}", "strong" if plan.is_own else "warn"),
        _fact("did", act.text),
        _fact("when", f"{f.moment(act.at)}, {f.age(now - act.at)} ago"),
    ]
    if act.note:
        lines.append(_fact("note", act.note))
    lines += [(), line(cell(f"{plan.back:>9,} ", "strong"), cell("can be brought back"))]
    lines += [_cannot(since_text(why), number) for why, number in plan.whys[:WHYS]]
    if plan.newer is not None:
        newer = plan.newer
        described = f"  {newer.who} {newer.text} {f.age(now - newer.at)} ago: newer, and not yours"
        lines += [(), line(cell(described, "warn"))]
    if not plan.is_own:
        described = f"  This is not your action. To undo it, type {act.actor or 'somebody'} below"
        lines += [(), line(cell(described, "warn"))]
    return [*lines, (), line(cell("  $ ", "dim"), cell(command_line, "dim"))]
