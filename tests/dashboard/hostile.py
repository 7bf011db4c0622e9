"""Text that would take over a terminal, and an application that writes it wherever it can."""

from __future__ import annotations

import asyncio
import re
from contextlib import closing
from typing import Any, Final

from textual.strip import Strip

from hms_svc import Registry, RunningJob, aio
from hms_svc.domain.errors import ValidationFailed
from hms_svc.ports.broker import Broker, WorkerRegistration
from tests.support.console import ConsoleDriver

MARKER: Final = "EVIL"
TAKEOVERS: Final = (
    "\x1b]52;c;RVZJTA==\x07",
    "\x1b]0;EVIL\x07",
    "\x1b]8;;http://evil/EVIL\x1b\\x\x1b]8;;\x1b\\",
    "\x1b[2J\x1b[H",
    "\x1bPEVIL\x1b\\",
    "\x1b_EVIL\x1b\\",
    "\x9b31m",
    "\x9d0;EVIL\x9c",
    "\x90EVIL\x9c",
)
"""Clipboard, title, link, erasing, DCS and APC, and three of them in C1."""
OTHERS: Final = (
    "\u202eabc\u2066",
    "z\u200bw\u200d\ufeff",
    "lone\rreturn",
    "tab\there",
    "feed\nline",
    "w" * 300,
    "漢字かな",
    "e\u0301\u0323\u0302",
    "👩\u200d🚒",
    "\x7f\x08\x0c",
    "\u2028",
    "[/",
    "[@click=app.quit]x[/]",
    "[bold]",
    r"\[",
    "[link=http://evil]y[/link]",
    "{x}%s",
)
HOSTILE: Final = " ".join((*TAKEOVERS, *OTHERS))
NAME: Final = TAKEOVERS[1] + "[/]\u202e" + TAKEOVERS[6]
"""A short hostile text, for fields of limited length."""
HARMFUL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
Failure: Final = type(f"Boom{NAME}", (Exception,), {})

app: Final = Registry()


def refuse_all(payload: Any) -> None:
    """Refuse with a hostile message."""
    raise ValidationFailed(HOSTILE, validator=NAME)


@app.job("evil.reject", validators=[refuse_all])
async def refuse(job: RunningJob) -> None:
    """Never called."""


@app.job("evil.fail")
async def fail(job: RunningJob) -> None:
    """Print hostile text, and raise an error with a hostile name."""
    print(HOSTILE)
    raise Failure(HOSTILE)


@app.job("evil.case")
async def open_case(job: RunningJob) -> dict[str, str]:
    """Open a case of a user with a hostile name."""
    await aio.dao.insert_case({"user_id": NAME, "note": HOSTILE}, kind=NAME)
    return {"text": HOSTILE}


@app.job("evil.slow")
async def report(job: RunningJob) -> None:
    """Report hostile progress, and keep running."""
    job.progress(0.5, HOSTILE)
    await asyncio.Event().wait()


async def fill(driver: ConsoleDriver) -> None:
    """Fill a console's engines with hostile jobs in every end state, notes, reasons and workers."""
    data = {"text": HOSTILE, NAME: [NAME]}
    for type in ("evil.reject", "evil.fail", "evil.case", "evil.slow"):
        await driver.enqueue(type, data, max_attempts=1, meta={"by": NAME})
    operations = await driver.operations()
    broker: Broker = operations.actions._broker
    await operations.actions.enqueue_raw_test("evil.fail", f"{{{HOSTILE}".encode())
    await operations.actions.pause("evil.later", reason=HOSTILE)
    await driver.enqueue("evil.later", data)
    now = operations.reads.now_ms()
    worker = WorkerRegistration(
        id=f"w-{NAME}",
        host=NAME,
        pid=1,
        slots=1,
        busy=0,
        types=("evil.later", NAME),
        started_at=now,
    )
    with closing(await asyncio.to_thread(broker.lease_keeper)) as lease_keeper:
        await asyncio.to_thread(lease_keeper.register, worker)


def harm_in(strips: list[Strip]) -> list[str]:
    """Return the lines of a screen that contain control characters."""
    return [repr(strip.text) for strip in strips if HARMFUL.search(strip.text)]
