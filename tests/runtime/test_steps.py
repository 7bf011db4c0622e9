"""Steps and cursors: what an attempt has done is not done again by the next one."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hms_svc import RetryPolicy, RunningJob
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act
from tests.support.worker import HarnessMaker, registry_of

SOON = RetryPolicy(max_attempts=3, base_seconds=0.01)


class Ward(BaseModel):
    number: int


class Counting:
    """Functions of steps, which count their calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    async def count(self, ward: int) -> dict[str, int]:
        self.calls.append(ward)
        await asyncio.sleep(0)
        return {"ward": ward}

    def count_plainly(self, ward: int, *, factor: int) -> Ward:
        self.calls.append(ward * factor)
        return Ward(number=ward * factor)


async def test_the_next_attempt_gets_kept_results(open_harness: HarnessMaker) -> None:
    counting = Counting()

    async def handler(job: RunningJob) -> list[Any]:
        found = [await job.step(f"ward-{ward}", counting.count, ward) for ward in range(3)]
        found.append(await job.step("plain", counting.count_plainly, 4, factor=10))
        if job.attempt < 3:
            raise OSError("once more")
        return found

    async with open_harness(registry_of(handler, retry=SOON)) as harness:
        harness.start()
        done = await harness.run()
    assert counting.calls == [0, 1, 2, 40]
    assert done.result == b'[{"ward":0},{"ward":1},{"ward":2},{"number":40}]'


async def test_a_plain_handler_has_steps_too(open_harness: HarnessMaker) -> None:
    counting = Counting()

    def handler(job: RunningJob) -> int:
        found = job.step_blocking("only", counting.count_plainly, 4, factor=10)
        if job.attempt == 1:
            raise OSError("once more")
        return int(found["number"])

    async with open_harness(registry_of(handler, retry=SOON)) as harness:
        harness.start()
        done = await harness.run()
    assert (counting.calls, done.result) == ([40], b"40")


async def test_the_next_attempt_begins_at_the_cursor(open_harness: HarnessMaker) -> None:
    seen: list[int] = []

    async def handler(job: RunningJob) -> int:
        for number in range(job.cursor or 0, 10):
            seen.append(number)
            job.cursor = number + 1
            if number in (3, 6):
                raise OSError("once more")
        return int(job.cursor)

    async with open_harness(registry_of(handler, retry=SOON)) as harness:
        harness.start()
        done = await harness.run()
    assert (seen, done.result) == (list(range(10)), b"10")


async def test_a_retry_by_an_operator_goes_on_where_the_dead_run_was(
    open_harness: HarnessMaker,
) -> None:
    counting = Counting()
    broken = [True]

    async def handler(job: RunningJob) -> Any:
        first = await job.step("first", counting.count, 1)
        if broken:
            raise OSError("broken")
        return first

    async with open_harness(registry_of(handler, retry=RetryPolicy(max_attempts=1))) as harness:
        harness.start()
        dead = await harness.run()
        assert dead.view.state is State.DEAD
        broken.clear()
        await harness.act(Act.RETRY, dead.view.id)
        await harness.reaches(dead.view.id, State.COMPLETED)
    assert counting.calls == [1]


async def test_the_example_of_the_documentation_runs(open_harness: HarnessMaker) -> None:
    page = Path(__file__).parents[2] / "docs" / "steps.md"
    [example] = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "steps.md", "exec", dont_inherit=True), names)
    async with open_harness(names["app"]) as harness:
        harness.start()
        done = await harness.run({}, type="city.report")
    assert done.result == b"150"


async def test_what_cannot_be_kept_is_an_error_that_names_the_step(
    open_harness: HarnessMaker,
) -> None:
    async def handler(job: RunningJob) -> None:
        if job.data["what"] == "result":
            await job.step("odd", object)
        elif job.data["what"] == "name":
            await job.step("", lambda: 1)
        else:
            job.cursor = "x" * 70_000

    async with open_harness(registry_of(handler, retry=RetryPolicy(max_attempts=1))) as harness:
        harness.start()
        texts = []
        for what in ("result", "name", "cursor"):
            dead = await harness.run({"what": what})
            texts.append(dead.view.detail)
    assert "the result of step 'odd' cannot be encoded as JSON" in texts[0]
    assert "the name of a step is text of 1 to 200 characters, not ''" in texts[1]
    assert "the cursor has 70002 bytes; the limit is 65536" in texts[2]
