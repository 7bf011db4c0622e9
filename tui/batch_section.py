"""The section of a job's page about its batch: a tree of its members and of what follows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hms_svc.domain.batches import BatchState, BatchView
from hms_svc.domain.views import JobView
from hms_svc.operations.batch_tree import BatchTree
from hms_svc.tui import formats as f
from hms_svc.tui.page_lines import PageBuilder
from hms_svc.tui.rows import SIGNS
from hms_svc.tui.text import Role, cell

_ROLES: Final[Mapping[BatchState, Role]] = {BatchState.OPEN: "warn", BatchState.STOPPED: "bad"}


def describe_batch(page: PageBuilder, tree: BatchTree | None, shown: str) -> None:
    """Add the batch of the job with the id `shown`."""
    if tree is None:
        return
    view = tree.view
    page.head("Batch", f"{f.number(view.ended)} of {f.number(view.total)} jobs have ended")
    page.fact("batch", view.id, "strong", link=f'jobs:batch:"{view.id}"')
    page.fact("state", f"{view.state}{_why(view)}", _ROLES.get(view.state, ""))
    page.fact("jobs", ", ".join(f"{f.number(n)} {state}" for state, n in view.counts.items()))
    last = len(tree.members) - 1
    for number, job in enumerate(tree.members):
        is_last = number == last and not tree.more and not view.follow_ups
        _add_job(page, "└ " if is_last else "├ ", job, shown)
    if tree.more:
        page.add(cell(f"{'├' if view.follow_ups else '└'} … {f.number(tree.more)} more", "dim"))
    for depth, each in enumerate(view.follow_ups):
        branch = f"{'  ' * min(depth, 8)}└ then "
        if each.id in tree.following:
            _add_job(page, branch, tree.following[each.id], shown)
        else:
            state = "removed" if each.is_made else "not made"
            page.add(cell(branch, "dim"), cell(f"{state}  {each.type}  {each.id}", "dim"))


def _why(view: BatchView) -> str:
    match view.state:
        case BatchState.OPEN:
            return ": not all of its jobs are accepted yet; :close-batch continues without the rest"
        case BatchState.STOPPED:
            return ": what follows requires that all before it complete"
    return ""


def _add_job(page: PageBuilder, branch: str, job: JobView, shown: str) -> None:
    sign, role = SIGNS[job.state]
    is_here = job.id == shown
    page.add(
        cell(branch, "dim"),
        cell(f"{sign} {job.state.value.ljust(11)}", role),
        cell(f"{job.type}  {job.id}", "strong" if is_here else ""),
        link="" if is_here else f"job:{job.id}",
    )
