"""The columns of every table, with their least widths and what is dropped first on a narrow screen."""

from __future__ import annotations

from typing import Final

from hms_svc.tui.text import Column

QUEUES: Final = (
    Column(title="Queues", named="type", width=15, grow=2),
    Column(title="ready", width=5, align="right"),
    Column(title="run", width=5, align="right"),
    Column(title="retry", width=5, align="right"),
    Column(title="held", width=5, align="right"),
    Column(title="rej", width=5, align="right"),
    Column(title="dead", width=5, align="right"),
    Column(title="age", named="oldest", width=4, align="right"),
    Column(title="in/s", width=5, align="right"),
    Column(title="out/s", width=5, align="right"),
    Column(title="drain", width=5, align="right"),
    Column(title="fail", width=4, align="right"),
    Column(title="last minute", width=20, drop=1),
    Column(title="", named="note", width=12, grow=3, drop=2),
)
RESULTS: Final = (
    Column(title="Live results", named="time", width=12),
    Column(title="", named="state", width=11),
    Column(title="type", width=15),
    Column(title="took", width=7, align="right"),
    Column(title="result", width=24, grow=3),
    Column(title="job", width=13, drop=1, keeps_end=True),
)
VALIDATION: Final = (
    Column(title="Validation failures", named="by", width=19, grow=1),
    Column(title="count", width=6, align="right"),
    Column(title="last hour", width=12),
    Column(title="ago", width=4, align="right"),
    Column(title="newest reason", width=24, grow=6),
    Column(title="type", width=15, drop=1),
)
FAILING: Final = (
    Column(title="Failures", named="type", width=17, grow=1),
    Column(title="count", width=6, align="right"),
    Column(title="cause", width=36, grow=4),
    Column(title="first", width=5, align="right"),
    Column(title="last", width=5, align="right"),
    Column(title="last hour", width=12, drop=2),
    Column(title="reason", width=10, drop=1),
)
FAILURES: Final = (
    Column(title="Failures", named="state", width=10),
    Column(title="count", width=6, align="right"),
    Column(title="type", width=15, grow=1),
    Column(title="reason", width=11),
    Column(title="cause", width=20, grow=8),
    Column(title="last", width=5, align="right"),
    Column(title="next", width=5, align="right", drop=3),
    Column(title="first", width=5, align="right", drop=3),
    Column(title="last hour", width=12, drop=2),
    Column(title="newest", width=48, grow=1, drop=4),
)
JOBS: Final = (
    Column(title="Jobs", named="job", width=10, grow=1, keeps_end=True),
    Column(title="", named="state", width=12),
    Column(title="type", width=15),
    Column(title="try", width=5, align="right"),
    Column(title="age", width=4, align="right"),
    Column(title="detail", width=20, grow=8),
    Column(title="payload", width=16, grow=4, drop=1),
    Column(title="worker", width=16, drop=2),
    Column(title="prio", width=4, align="right", drop=3),
)
HELD: Final = (
    Column(title="Held", named="job", width=10, grow=1, keeps_end=True),
    Column(title="type", width=15),
    Column(title="since", width=5, align="right"),
    Column(title="reason", width=24, grow=8),
    Column(title="payload", width=24, grow=2, drop=1),
)
CASES: Final = (
    Column(title="Cases", named="case", width=15, grow=2, keeps_end=True),
    Column(title="", named="state", width=8),
    Column(title="kind", width=10),
    Column(title="urgency", width=7, align="right"),
    Column(title="opened", width=6, align="right"),
    Column(title="where", width=21),
    Column(title="reported by", width=12, grow=1, drop=2),
    Column(title="job", width=13, grow=1, drop=1, keeps_end=True),
)
EVENTS: Final = (
    Column(title="Events", named="time", width=8),
    Column(title="event", width=14),
    Column(title="type", width=15, drop=2),
    Column(title="job", width=10, grow=1, keeps_end=True),
    Column(title="data", width=26, grow=8),
)
AUDIT: Final = (
    Column(title="Audit", named="time", width=8),
    Column(title="actor", width=10, grow=2),
    Column(title="action", width=13),
    Column(title="subject", width=16, grow=2),
    Column(title="note and outcome", width=24, grow=8),
    Column(title="link", width=6, align="right", drop=1),
)
SCHEDULES: Final = (
    Column(title="Schedules", named="type", width=15, grow=1),
    Column(title="in words", width=26, grow=3),
    Column(title="next", width=6, align="right"),
    Column(title="next run", width=24),
    Column(title="last", width=11),
    Column(title="skipped", width=7, align="right", drop=2),
    Column(title="cron", width=14, grow=1, drop=1),
)
