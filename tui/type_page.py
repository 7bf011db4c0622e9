"""The page of a job type as lines: rates, workers, failures, results, settings and limits. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hms_svc.domain.plain_text import plural
from hms_svc.domain.views import FailureGroup, JobView
from hms_svc.operations.type_detail import ServingWorker, TypeDetail, settings_facts
from hms_svc.tui import formats as f
from hms_svc.tui.page_lines import PageBuilder, PageText
from hms_svc.tui.rows import SIGNS, cause_text, trouble_first
from hms_svc.tui.text import Role, cell
from hms_svc.tui.trend import QueueTrend

_COUNTED: Final[tuple[tuple[str, Role], ...]] = (
    ("processing", "accent"),
    ("retrying", "warn"),
    ("held", "warn"),
    ("scheduled", ""),
    ("rejected", ""),
    ("dead", "bad"),
    ("cancelled", ""),
    ("completed", ""),
)


MOST_ROWS: Final = 20
MOST_WORDS: Final = 80
"""The characters that are shown of a failure: the page of a job has the rest."""


def type_page(detail: TypeDetail, trend: QueueTrend, now: int) -> PageText:
    """Return the page of a job type. `trend` is the trend of its queue, `now` is Unix ms."""
    page = PageBuilder()
    _describe_queue(page, detail, trend, now)
    _describe_groups(page, detail.groups, now)
    _describe_workers(page, detail.workers, now)
    _describe_newest(page, detail.newest)
    page.head("Settings and limits")
    for name, text in settings_facts(detail):
        page.fact(name, text)
    if detail.schedule is not None:
        page.fact("schedule", f"{detail.schedule.description} ({detail.schedule.cron})")
        if detail.schedule.is_paused:
            page.fact("paused", f"its runs are skipped, by {detail.schedule.paused_by}", "warn")
        else:
            page.fact("next run", f.moment(detail.schedule.next_at))
    return page.build()


def _describe_queue(page: PageBuilder, detail: TypeDetail, trend: QueueTrend, now: int) -> None:
    queue, counts, took = detail.queue, detail.queue.counts, detail.took
    page.fact("type", queue.type, "strong")
    page.fact("why", detail.why, "accent")
    parts = [cell(f"{f.number(counts.queued + counts.intake)} ready")]
    parts += [
        cell(f", {f.number(getattr(counts, name))} {name}", role)
        for name, role in _COUNTED
        if getattr(counts, name)
    ]
    page.parts("jobs", *parts, link=f"jobs:type:{queue.type}")
    bars = f"  {f.sparkline(trend.ended, 30)}" if any(trend.ended) else ""
    if rates := _rates(trend):
        page.parts("rate", cell(rates), cell(bars, "accent"))
    if took is not None:
        shown = zip(("p50", "p95", "p99"), (took.p50, took.p95, took.p99), strict=True)
        text = ", ".join(f"{name} {f.duration(number)}" for name, number in shown)
        page.fact("took", f"{text}, of the newest {took.of} completed")
    for text in detail.snoozed_texts:
        page.fact("snoozed", text, "warn")
    if queue.oldest_queued_at is not None:
        page.fact("oldest", f"enqueued {f.age(now - queue.oldest_queued_at)} ago, still waiting")
    if queue.limited:
        page.fact("limited", f"{plural(queue.limited, 'queued job')} wait for a limit with a key")
    if queue.suspects:
        page.fact("suspects", f"{plural(queue.suspects, 'queued job')} to be repeated alone")
    if queue.paused:
        why = f": {queue.pause_reason}" if queue.pause_reason else ""
        since = f" at {f.moment(detail.paused_at)}" if detail.paused_at is not None else ""
        text = f"by {queue.paused_by or 'somebody'}{since}{why}"
        page.fact("paused", text, "warn")
        page.fact("not known", detail.unread and f"when it was paused: {detail.unread}")
    totals = ", ".join(f"{f.number(n)} {name}" for name, n in queue.counters.items() if n)
    page.fact("totals", totals)


def _rates(trend: QueueTrend) -> str:
    if trend.departures is None:
        return ""
    rates = [f.rate(each).replace("·", "0") for each in (trend.arrivals, trend.departures)]
    parts = [f"{rates[0]}/s in, {rates[1]}/s out"]
    parts += [f"drained in ~{f.age(trend.drain_ms)}"] if trend.drain_ms is not None else []
    failed = trend.failed_share
    parts += [f"{f.share(failed)} of the attempts failed"] if failed else []
    return ", ".join(parts)


def _describe_groups(page: PageBuilder, groups: Iterable[FailureGroup], now: int) -> None:
    page.head("Failures")
    shown = list(groups)
    if not shown:
        page.add(cell("  nothing is failing, dead or rejected", "dim"))
    for group in trouble_first(shown)[:MOST_ROWS]:
        sign, role = SIGNS[group.state]
        due = group.next_at
        when = f"last {f.age(now - group.last_at):>4}, first {f.age(now - group.first_at):>4} ago  "
        after = "" if due is None else f" (next {f'in {f.age(due - now)}' if due > now else 'due'})"
        page.add(
            cell(f"  {sign} {f.count(group.count):>5}  ", role),
            cell(when, "dim"),
            cell(_cut(f"{group.reason}: {cause_text(group)}") + after),
            link=f"jobs:cause:{group.id}",
        )
    _count_rest(page, len(shown))


def _describe_workers(page: PageBuilder, workers: Iterable[ServingWorker], now: int) -> None:
    shown = list(workers)
    live = [each for each in shown if not each.is_silent]
    running, most = sum(each.running for each in shown), sum(each.most for each in live)
    page.head("Workers", f"{len(live)} live, {running} of {plural(most, 'slot')} run its jobs")
    if not shown:
        page.add(cell("  no live worker serves it", "warn"))
    for each in shown[:MOST_ROWS]:
        seen = f"seen {f.age(now - each.last_seen_at)} ago"
        page.add(
            cell(f"  {each.worker}  ", "bad" if each.is_silent else ""),
            cell(f"{each.running} of {each.most} run its jobs, {each.busy} of {each.slots} busy"),
            cell(
                f"  {'silent, ' if each.is_silent else ''}{seen}",
                "bad" if each.is_silent else "dim",
            ),
            link=f"jobs:state:processing worker:{each.worker}",
        )
    _count_rest(page, len(shown))


def _describe_newest(page: PageBuilder, jobs: Iterable[JobView]) -> None:
    page.head("Newest results")
    shown = list(jobs)
    if not shown:
        page.add(cell("  none yet", "dim"))
    for job in shown:
        sign, role = SIGNS[job.state]
        began, ended = job.started_at, job.finished_at
        took = f.duration(ended - began) if began is not None and ended is not None else ""
        text = f"{job.reason}: {job.detail or job.failure}" if job.reason else job.case_id or ""
        page.add(
            cell(f"  {f.clock(ended) if ended is not None else ''}  ", "dim"),
            cell(f"{sign} {job.state.value.ljust(9)} ", role),
            cell(f"{took:>9}  "),
            cell(_cut(text.rstrip(": "))),
            link=f"job:{job.id}",
        )


def _count_rest(page: PageBuilder, number: int) -> None:
    if number > MOST_ROWS:
        page.add(cell(f"  and {f.number(number - MOST_ROWS)} more", "dim"))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_WORDS else text[: MOST_WORDS - 1] + "…"
