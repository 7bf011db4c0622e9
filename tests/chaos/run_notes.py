"""What handlers in other processes note about their runs: one file in the folder of the test."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import msgspec

FILE: Final = "runs.txt"


class Noted(msgspec.Struct, frozen=True):
    """What a handler noted: of which key, whether it began, when (monotonic seconds), in which process."""

    key: str
    began: bool
    at: float
    pid: int
    job: str


def note(key: str, *, began: bool, job: str) -> None:
    line = msgspec.json.encode(Noted(key, began, time.monotonic(), os.getpid(), job)) + b"\n"
    file = os.open(
        Path(os.environ["HMS_SVC_TEST_FOLDER"]) / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT
    )
    try:
        os.write(file, line)
    finally:
        os.close(file)


def read_notes(folder: Path) -> list[Noted]:
    """Return what all handlers noted; the last line of a killed process may be cut off."""
    lines = (folder / FILE).read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Noted) for line in lines if line.endswith(b"}")]
