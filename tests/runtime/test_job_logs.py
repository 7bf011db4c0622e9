"""Log lines that can be found by the job they are about."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hms_svc.observability.logs import JsonFormatter, TextFormatter
from hms_svc.sdk.running_job import RunningJob
from tests.support.waiting import until
from tests.support.worker import TYPE, HarnessMaker, registry_of

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Gives what the program's log has, as JSON."""
    log, written = logging.getLogger("hms_svc"), io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    log.addHandler(handler)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    log.removeHandler(handler)


def about(line: dict[str, Any]) -> tuple[Any, ...]:
    return line.get("job_id"), line.get("job_type"), line.get("attempt")


def says(job: RunningJob) -> None:
    logging.getLogger("hms_svc.city").warning("in hand")


async def says_async(job: RunningJob) -> None:
    says(job)


@pytest.mark.parametrize("handler", [says, says_async])
async def test_what_a_handler_logs_names_its_job(
    handler: Any, open_harness: HarnessMaker, lines: Lines
) -> None:
    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        detail = await harness.run()
    [line] = [each for each in lines() if each["message"] == "in hand"]
    assert about(line) == (detail.view.id, TYPE, 1)


async def test_a_field_of_the_same_name_does_not_hide_the_job(
    open_harness: HarnessMaker, lines: Lines
) -> None:
    def handler(job: RunningJob) -> None:
        logging.getLogger("hms_svc.city").warning("asked again", extra={"attempt": 7})

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        detail = await harness.run()
    [line] = [each for each in lines() if each["message"] == "asked again"]
    assert about(line) == (detail.view.id, TYPE, 1)


def test_an_exception_cannot_forge_a_line() -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(TextFormatter())
    error = ValueError("odd \x1b[31m\n12:00:00 ERROR   forged \udcff")
    handler.handle(
        logging.LogRecord("city", logging.ERROR, "", 1, "failed", (), (ValueError, error, None))
    )
    first, *rest = written.getvalue().splitlines()
    assert first.endswith(" ERROR   failed")
    assert rest == ["  ValueError: odd \\x1b[31m", "  12:00:00 ERROR   forged \\udcff"]


async def test_a_settlement_that_was_refused_is_logged_with_its_job(
    open_harness: HarnessMaker, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_harness(registry_of(lambda: None)) as harness:

        async def refuse(settlements: Any) -> Any:
            return [each.token for each in settlements]

        monkeypatch.setattr(harness.engines.broker, "settle", refuse)
        harness.start()
        job_id = await harness.enqueue()
        await until("line of the refusal", lambda: "lease was lost" in str(lines()))
    [line] = [each for each in lines() if "lease was lost" in each["message"]]
    assert about(line) == (job_id, TYPE, 1)


def test_a_line_about_no_job_names_none_and_text_stays_text() -> None:
    record = logging.LogRecord("hms_svc", logging.INFO, "", 0, "up", (), None)
    assert about(json.loads(JsonFormatter().format(record))) == (None, None, None)
    record.job_id = "job-1"
    assert TextFormatter().format(record).endswith(" INFO    up")
