"""One job type told as lines: how it moves, who works on it, what fails, what bounds it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hms_svc.domain.plain_text import plural
from hms_svc.domain.views import FailureGroup, JobView
from hms_svc.operations.type_detail import Serving, TypeDetail, settings_facts
from hms_svc.tui import formatting as f
from hms_svc.tui.page_lines import PageBuilder, PageText
from hms_svc.tui.rows import SIGNS, cause_text, trouble_first
from hms_svc.tui.text import Role, cell
from hms_svc.tui.trend import QueueTrend

_COUNTED: Final[tuple[tuple[str, Role], ...]] = (
    ("processing", "accent"), ("retrying", "warn"), ("held", "warn"), ("scheduled", ""),
    ("rejected", ""), ("dead", "bad"), ("cancelled", ""), ("completed", ""),
)  # fmt: skip


MOST_ROWS: Final = 20
MOST_WORDS: Final = 80
"""Characters of a failure: the page of a job has the rest."""


def type_page(full_job: TypeDetail, trend: QueueTrend, now: int) -> PageText:
    """Describe all that is known of a type. `trend` is how its queue moves, `now` Unix ms."""
    described = PageBuilder()
    _describe_queue(described, full_job, trend, now)
    _describe_groups(described, full_job.groups, now)
    _describe_workers(described, full_job.workers, now)
    _describe_newest(described, full_job.newest)
    described.head("Settings and limits")
    for name, words in settings_facts(full_job):
        described.fact(name, words)
    if full_job.schedule is not None:
        described.fact("schedule", f"{full_job.schedule.description} ({full_job.schedule.cron})")
        described.fact("next run", f.moment(full_job.schedule.next_at))
    return described.build()


def _describe_queue(
    described: PageBuilder, full_job: TypeDetail, trend: QueueTrend, now: int
) -> None:
    queue, counts, took = full_job.queue, full_job.queue.counts, full_job.took
    described.fact("type", queue.type, "strong")
    described.fact("why", full_job.why, "accent")
    parts = [cell(f"{f.number(counts.queued + counts.intake)} ready")]
    parts += [
        cell(f", {f.number(getattr(counts, name))} {name}", role)
        for name, role in _COUNTED
        if getattr(counts, name)
    ]
    described.parts("jobs", *parts, link=f"jobs:type:{queue.type}")
    bars = f"  {f.sparkline(trend.ended, 30)}" if any(trend.ended) else ""
    if rates := _rates(trend):
        described.parts("rate", cell(rates), cell(bars, "accent"))
    if took is not None:
        shown = zip(("p50", "p95", "p99"), (took.p50, took.p95, took.p99), strict=True)
        words = ", ".join(f"{name} {f.duration(number)}" for name, number in shown)
        described.fact("took", f"{words}, of the newest {took.of} completed")
    for words in full_job.snoozed_texts:
        described.fact("snoozed", words, "warn")
    if queue.oldest_queued_at is not None:
        described.fact(
            "oldest", f"enqueued {f.age(now - queue.oldest_queued_at)} ago, still waiting"
        )
    if queue.paused:
        why = f": {queue.pause_reason}" if queue.pause_reason else ""
        since = f" at {f.moment(full_job.paused_at)}" if full_job.paused_at is not None else ""
        words = f"by {queue.paused_by or 'somebody'}{since}{why}"
        described.fact("paused", words, "warn")
        described.fact("not known", full_job.unread and f"when it was paused: {full_job.unread}")
    totals = ", ".join(f"{f.number(n)} {name}" for name, n in queue.counters.items() if n)
    described.fact("totals", totals)


def _rates(trend: QueueTrend) -> str:
    if trend.gone is None:
        return ""
    rates = [f.rate(each).replace("·", "0") for each in (trend.come, trend.gone)]
    parts = [f"{rates[0]}/s in, {rates[1]}/s out"]
    parts += [f"drained in ~{f.age(trend.drain_ms)}"] if trend.drain_ms is not None else []
    failed = trend.failed_share
    parts += [f"{f.share(failed)} of the attempts failed"] if failed else []
    return ", ".join(parts)


def _describe_groups(described: PageBuilder, groups: Iterable[FailureGroup], now: int) -> None:
    described.head("Failures")
    shown = list(groups)
    if not shown:
        described.add(cell("  nothing is failing, dead or rejected", "dim"))
    for group in trouble_first(shown)[:MOST_ROWS]:
        sign, role = SIGNS[group.state]
        due = group.next_at
        when = f"last {f.age(now - group.last_at):>4}, first {f.age(now - group.first_at):>4} ago  "
        after = "" if due is None else f" (next {f'in {f.age(due - now)}' if due > now else 'due'})"
        described.add(
            cell(f"  {sign} {f.count(group.count):>5}  ", role),
            cell(when, "dim"),
            cell(_cut(f"{group.reason}: {cause_text(group)}") + after),
            link=f"jobs:cause:{group.id}",
        )
    _count_rest(described, len(shown))


def _describe_workers(described: PageBuilder, workers: Iterable[Serving], now: int) -> None:
    shown = list(workers)
    live = [each for each in shown if not each.is_silent]
    running, most = sum(each.running for each in shown), sum(each.most for each in live)
    described.head("Workers", f"{len(live)} live, {running} of {plural(most, 'slot')} run its jobs")
    if not shown:
        described.add(cell("  no live worker serves it", "warn"))
    for each in shown[:MOST_ROWS]:
        seen = f"seen {f.age(now - each.last_seen_at)} ago"
        described.add(
            cell(f"  {each.worker}  ", "bad" if each.is_silent else ""),
            cell(f"{each.running} of {each.most} run its jobs, {each.busy} of {each.slots} busy"),
            cell(
                f"  {'silent, ' if each.is_silent else ''}{seen}",
                "bad" if each.is_silent else "dim",
            ),
            link=f"jobs:state:processing worker:{each.worker}",
        )
    _count_rest(described, len(shown))


def _describe_newest(described: PageBuilder, jobs: Iterable[JobView]) -> None:
    described.head("Newest results")
    shown = list(jobs)
    if not shown:
        described.add(cell("  none yet", "dim"))
    for job in shown:
        sign, role = SIGNS[job.state]
        began, ended = job.started_at, job.finished_at
        took = f.duration(ended - began) if began is not None and ended is not None else ""
        words = f"{job.reason}: {job.detail or job.failure}" if job.reason else job.case_id or ""
        described.add(
            cell(f"  {f.clock(ended) if ended is not None else ''}  ", "dim"),
            cell(f"{sign} {job.state.value.ljust(9)} ", role),
            cell(f"{took:>9}  "),
            cell(_cut(words.rstrip(": "))),
            link=f"job:{job.id}",
        )


def _count_rest(described: PageBuilder, number: int) -> None:
    if number > MOST_ROWS:
        described.add(cell(f"  and {f.number(number - MOST_ROWS)} more", "dim"))


def _cut(words: str) -> str:
    return words if len(words) <= MOST_WORDS else words[: MOST_WORDS - 1] + "…"
