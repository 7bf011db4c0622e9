"""The example of docs/batches.md, with a service that runs it, on both brokers."""

from __future__ import annotations

from pathlib import Path

from tests.runtime.test_handles_page import environment, run, serving
from tests.support.page_examples import write_examples
from tests.support.worker import on_embedded_first

__all__ = ["environment"]
pytestmark = on_embedded_first
ASK = """
import asyncio
import permits
from hms_svc import aio

async def ask():
    print(await permits.review_week(31, ["17", "18"]))
    print(await permits.apply_and_publish("19"))
    print(await (await aio.jobs.batch("reviews-31")).state())
    await aio.close()

asyncio.run(ask())
"""


def test_the_example_of_the_page_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    write_examples("docs/batches.md", tmp_path)
    with serving("permits:registry", tmp_path, environment):
        assert run(environment, "-c", ASK) == [
            "2 permits of week 31 are reviewed",
            "published 19",
            "ended",
        ]
