"""What surrounds the jobs of a bench: its folder, its environment, its clock and its policy."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hms_svc.domain.errors import BadInput
from hms_svc.domain.verdict import Effect, Verdict
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.policy import Question
from hms_svc.settings import CONFIG_VARIABLE, PREFIX, TEST_PREFIX

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the memory of the machine, as a folder
ALLOWED: Final = Verdict(Effect.ALLOW, "", "")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Return a new folder, in memory where the system has one for that, and remove it at the end."""
    parent = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="hms-svc-test-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def own_environment(given: Mapping[str, str]) -> Iterator[None]:
    """While the block runs, the environment has these settings of hms-svc and no others."""
    before = {name: value for name, value in os.environ.items() if _is_setting(name)}
    for name in before:
        del os.environ[name]
    os.environ.update({CONFIG_VARIABLE: "", **given})
    try:
        yield
    finally:
        for name in [name for name in os.environ if _is_setting(name)]:
            del os.environ[name]
        os.environ.update(before)


def _is_setting(name: str) -> bool:
    return name.startswith(PREFIX) and not name.startswith(TEST_PREFIX)


class BenchClock:
    """Clocks that a test moves forward. Only that of leases and timeouts also runs by itself.

    If the other did, a retry that is due within milliseconds would begin in the drain that failed.
    """

    def __init__(self) -> None:
        self._system = SystemClock()
        self._began_ms = self._system.now_ms()
        self._ahead_ms = 0

    def advance(self, seconds: float) -> None:
        """Move both clocks forward. Raises BadInput for a time that is not positive."""
        if not seconds > 0:
            raise BadInput(
                f"advance {seconds!r} s: time moves forward: expected more than 0 seconds"
            )
        self._ahead_ms += round(seconds * 1000)

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        return self._began_ms + self._ahead_ms

    def lease_ms(self) -> int:
        """Return milliseconds of the lease clock."""
        return self._system.lease_ms() + self._ahead_ms


class BenchPolicy:
    """Governance as a test sets it: an action is allowed unless a verdict was set for it."""

    def __init__(self) -> None:
        self._verdicts: dict[str, Verdict] = {}

    def set(self, action: str, effect: Effect, reason: str) -> None:
        """Set the verdict on an action, whatever the payload."""
        self._verdicts[action] = Verdict(effect, f"test:{action}", reason)

    async def decide(self, question: Question) -> Verdict:
        """Return the verdict that was set for the action, else that it is allowed."""
        return self._verdicts.get(question.action, ALLOWED)

    def rule_text(self, rule: str) -> str:
        """Return nothing: no rule has a text."""
        return ""

    async def close(self) -> None:
        """Do nothing."""
