"""`hms-svc bench`: measure this installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hms_svc.cli.options import AsJson
from hms_svc.cli.output import echo, emit, hint, table
from hms_svc.cli.session import run, session_of

if TYPE_CHECKING:
    from hms_svc.operations.answers.bench import BenchAnswer, BenchDrain


def bench(
    context: typer.Context,
    as_json: AsJson = False,
    seconds: Annotated[
        float, typer.Option(min=5, max=600, help="About how long to measure.")
    ] = 30.0,
) -> None:
    """Measure this installation, and say what limits it.

    It uses the settings of the installation, but enqueues and runs jobs on data of its own, which it removes:
    files beside those of SQLite, a schema in PostgreSQL, an empty logical database of Redis. Governance
    follows the built-in rules.
    """
    session = session_of(context)
    session.check_writable("bench")
    from hms_svc.bench.measures import measure
    from hms_svc.cli.interruption import end_as_by_ctrl_c

    settings = session.settings
    end_as_by_ctrl_c()
    found = run(lambda: measure(settings, seconds, lambda what: hint(f"measuring {what}")))
    if as_json:
        emit(found)
    else:
        _print(found)


def _print(found: BenchAnswer) -> None:
    rows: list[tuple[str, str, str]] = [
        ("round trip", f"{found.broker_ms:.2f} ms", f"to the broker, {found.broker}"),
        ("", f"{found.database_ms:.2f} ms", f"to the database, {found.database}"),
    ]
    if found.sync_ms is not None:
        rows.append(("sync", f"{found.sync_ms:.2f} ms", "4 KiB, on the disk of the SQLite files"))
    rows += [
        ("enqueue", f"{found.enqueue_per_second:,.0f} /s", "one after the other"),
        ("", f"{found.enqueue_bulk_per_second:,.0f} /s", "1,000 at a time"),
        ("start", f"{found.start_ms:,.0f} ms", "from `serve` to the first job that has completed"),
        (
            "latency",
            f"{found.latency_p50_ms:.1f} ms",
            "from enqueue to handler on an idle worker, median",
        ),
        ("", f"{found.latency_p99_ms:.1f} ms", "99th percentile"),
        ("no-op jobs", f"{found.noop.jobs_per_second:,.0f} /s", _costs(found, found.noop, "")),
        (
            "reports",
            f"{found.reports.jobs_per_second:,.0f} /s",
            _costs(found, found.reports, "all five steps, "),
        ),
    ]
    table(("what", "measured", "how"), rows)
    for sentence in found.limits:
        echo(sentence)


def _costs(found: BenchAnswer, drain: BenchDrain, what: str) -> str:
    parts = [f"{what}one process, {found.slots} slots"]
    if drain.worker_cpu_us is not None:
        parts.append(f"worker {drain.worker_cpu_us:,.0f} µs a job")
    if drain.broker_cpu_us is not None:
        parts.append(f"{found.broker} {drain.broker_cpu_us:,.0f} µs")
    return ", ".join(parts)
