"""Rounds: every contender in turn, the order reversed every other time, so that ratios hold."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Container, Mapping
from typing import TypeVar

from benchmarks import neighbours

Measured = TypeVar("Measured")
TRIES = 4
shares: list[float] = []
"""The cores that others used during each measurement that was kept."""
repeated: list[float] = []
"""The same of those that were thrown away for it."""
failures: dict[str, str] = {}
"""What went wrong in the measurements that failed, by their names."""


def interleaved(
    contenders: Mapping[str, Callable[[], Measured]], rounds: int, *, may_fail: Container[str] = ()
) -> dict[str, list[Measured]]:
    """Run all contenders `rounds` times; return what each measured, in the order of the rounds.

    Each begins when the machine is quiet, or after a minute of waiting for that. One of
    `may_fail` that fails has no rounds at all: `failures` says why.
    """
    found: dict[str, list[Measured]] = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders)[:: 1 if number % 2 == 0 else -1]
        for name in names:
            if name in failures:
                continue
            try:
                found[name].append(_undisturbed(contenders[name]))
            except (AssertionError, RuntimeError, subprocess.SubprocessError) as error:
                if name not in may_fail:
                    raise
                found[name].clear()
                failures[name] = str(error).partition("\n")[0]
                print(f"  failed: {name}: {error}", file=sys.stderr, flush=True)
                continue
            words = f"  round {number + 1} of {rounds}: {name} (others: {shares[-1]:.2f} cores)"
            print(words, file=sys.stderr, flush=True)
    return found


def _undisturbed(measure: Callable[[], Measured]) -> Measured:
    """Measure again where others disturbed, and keep the quietest: never chosen by its result."""
    tries: list[tuple[float, Measured]] = []
    while not tries or (tries[-1][0] >= neighbours.QUIET_SHARE and len(tries) < TRIES):
        neighbours.wait_until_quiet()
        before = neighbours.now()
        measured = measure()
        tries.append((neighbours.now().others_since(before), measured))
    tries.sort(key=lambda each: each[0])
    shares.append(tries[0][0])
    repeated.extend(share for share, _ in tries[1:])
    return tries[0][1]


def disturbances() -> str:
    """Return how many measurements others disturbed: their figures and ratios do not hold."""
    loud = [share for share in shares if share >= neighbours.QUIET_SHARE]
    words = f"{len(repeated)} repeated because others used a tenth of a core or more"
    if not loud:
        return f"undisturbed: all {len(shares)} measurements; {words}"
    most = f"{len(loud)} of {len(shares)} measurements, others up to {max(loud):.2f} cores"
    return f"DISTURBED: {most}; {words}"
