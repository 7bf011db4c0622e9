"""Bounds that both brokers keep to; scripts and statements get them from here."""

from __future__ import annotations

from typing import Final

from hms_svc.domain.job import MOST_STEPS_OF_A_JOB

HISTORY_MOST: Final = 1024 * 1024
"""Bytes of a job's history; a longer one loses its oldest lines, down to HISTORY_KEPT."""
HISTORY_KEPT: Final = HISTORY_MOST // 2
PROGRESS_LINES: Final = 200
"""Progress and log lines of one job; further ones replace the oldest."""
MOST_EVENTS: Final = 1_000_000
"""Events on the bus."""
EXPIRED_AT_ONCE: Final = 1_000
"""Expired jobs of a type that one claim dead-letters: enough for progress without a long step."""
MOST_RUNNING: Final = 5_000
"""Running jobs that one read of the workers returns."""
MOST_AHEAD: Final = 10_000
"""Up to how many jobs ahead of a queued one are counted."""
LIMIT_CHECK_MS: Final = 5_000
"""How often a limit is looked at that jobs wait for, besides whenever a job leaves it."""
LIMITS_AT_ONCE: Final = 100
"""Limits that one step looks at."""
LOOKS_AT_ONCE: Final = 10
"""Steps that look at limits, one after the other, while there are more."""
LIMIT_SAMPLE: Final = 10
"""Jobs of a limit, chosen at random, of which one step checks that their keys are complete."""
BATCH_SAMPLE: Final = 100
"""Batches that have not ended, chosen at random, of which one step checks that their jobs are known."""
LET_IN_AT_ONCE: Final = 1_000
"""Jobs that one step lets in by the limits that it looks at."""
MOST_STEPS: Final = MOST_STEPS_OF_A_JOB + 1
"""Results that are kept of one job, and its cursor."""
STEPS_KEPT_SECONDS: Final = 100 * 86_400
"""Then the results of steps of a job that has not been removed are dropped."""
STALE_MS: Final = 300_000
"""After this time without a heartbeat a worker is removed from the register."""
