"""Plans as lines: what an act would do, or its undoing. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Final

from hms_svc.operations.plan import Plan
from hms_svc.operations.undoing import UndoPlan
from tui import formatting as f
from tui.rows import SIGNS
from tui.text import Line, cell, line

SHOWN: Final = 12
WHYS: Final = 5


def plan_lines(plan: Plan, command_line: str) -> list[Line]:
    """Tell what is planned: which groups, and which jobs it cannot be done to, with why."""
    lines: list[Line] = []
    for group in plan.groups[:SHOWN]:
        sign, role = SIGNS[group.state]
        lines.append(
            line(
                cell(f"{group.count:>9,} ", "strong"),
                cell(f"{sign} {group.state}".ljust(13), role),
                cell(f"{group.type}  "),
                cell(group.reason, "dim"),
                cell(f"  rule {group.rule}" if group.rule else "", "accent"),
            )
        )
    if len(plan.groups) > SHOWN:
        lines.append(line(cell(f"          and {len(plan.groups) - SHOWN} groups more", "dim")))
    if plan.cannot:
        lines.append(())
        whys = Counter(outcome.why for outcome in plan.cannot).most_common(WHYS)
        lines += [_cannot(why, number) for why, number in whys]
    if plan.where:
        lines += [(), line(cell("  of all that match ", "dim"), cell(plan.where, "accent"))]
    return [*lines, (), line(cell("  $ ", "dim"), cell(command_line, "dim"))]


def _cannot(why: str, number: int) -> Line:
    return line(cell(f"{number:>9,} ", "warn"), cell(f"cannot: {why}", "warn"))


def undo_lines(plan: UndoPlan, now: int, command_line: str) -> list[Line]:
    """Tell whose act would be undone, what and when it was, and how many of its jobs come back."""
    act = plan.act
    mine = " (you)" if plan.is_own else ", not you"
    lines = [
        line(
            cell("  by    ", "dim"), cell(f"{act.who}{mine}", "strong" if plan.is_own else "warn")
        ),
        line(cell("  did   ", "dim"), cell(act.words)),
        line(cell("  when  ", "dim"), cell(f"{f.moment(act.at)}, {f.age(now - act.at)} ago")),
    ]
    if act.note:
        lines.append(line(cell("  note  ", "dim"), cell(act.note)))
    lines += [(), line(cell(f"{plan.back:>9,} ", "strong"), cell("can come back"))]
    lines += [_cannot(why, number) for why, number in plan.whys[:WHYS]]
    if plan.newer is not None:
        newer = plan.newer
        told = f"  {newer.who} {newer.words} {f.age(now - newer.at)} ago: newer, and not yours"
        lines += [(), line(cell(told, "warn"))]
    if not plan.is_own:
        told = f"  This is not your act: to undo it, type {act.actor or 'somebody'} below"
        lines += [(), line(cell(told, "warn"))]
    return [*lines, (), line(cell("  $ ", "dim"), cell(command_line, "dim"))]
