"""Mistakes in a service of permits: each one, and who finds it before a job runs.

`# mypy` ends each line that mypy reports; `refused` has the functions whose call declares something
that is refused when the module is imported, with what the error says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hms_svc import Concurrency, Registry, RetryPolicy, RunningJob, Transaction
from permits.city import City
from permits.jobs import apply, charge
from permits.payloads import Announcement, Application, Document, Fee, Granted

registry = Registry()
refused: dict[Callable[[], object], str] = {}


def refused_at_import(said: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
    def declare(function: Callable[[], object]) -> Callable[[], object]:
        refused[function] = said
        return function

    return declare


def is_paid(fee: Fee) -> bool:
    return fee.cents > 0


@registry.job("a.wrong_model", payload=Application)  # mypy
async def of_another_model(job: RunningJob[Fee]) -> None: ...


@registry.job("b.payload", payload=Application)  # mypy
async def takes_the_payload(application: Application) -> None: ...


@registry.job("c.attribute", payload=Application)
async def attributes(job: RunningJob[Application]) -> str:
    print(job.atempt)  # mypy
    return job.payload.parcell  # mypy


@registry.job("d.validator", payload=Application, validators=[is_paid])  # mypy
async def validated(job: RunningJob[Application]) -> None: ...


@registry.job("e.unique", payload=Application, unique=lambda given: given.parcell)  # mypy
async def unique(job: RunningJob[Application]) -> None: ...


@registry.job("f.result", payload=Application)
async def wrong_result(job: RunningJob[Application]) -> Granted:
    return Document(permit=job.id)  # mypy


@registry.job("g.limit", payload=Announcement, limits=[Concurrency(2, key=lambda g: g.wrd)])  # mypy
async def limited(job: RunningJob[Announcement]) -> None: ...


async def enqueues(job: RunningJob[Application], city: City) -> None:
    await charge.enqueue(Document(permit=job.id))  # mypy
    charge.enqueue(Fee(permit=job.id, account="A-1", cents=1))  # mypy
    await apply.enqueue(job.payload, dely=5)  # mypy
    handle = await apply.enqueue(job.payload)
    print((await handle.result()).receipt)  # mypy
    await city.charge(job.id, 5, "A-1")  # mypy

    async def write(tx: Transaction) -> int:
        tx.enqueue(Fee(permit=job.id, account="A-1", cents=1))  # mypy
        return await tx.execute("select 1")

    job.transaction(write)  # mypy
    number: str = await job.transaction(write)  # mypy
    print(number, await job.step("count", city.complaints, "no ward"))  # mypy


def add_street(data: Any) -> Any:
    return data


@refused_at_import("retry 5 is not a RetryPolicy")
def retry() -> object:
    return registry.job("h.retry", payload=Fee, retry=5)(charge)  # mypy


@refused_at_import("timeout_seconds '10'")
def timeout() -> object:
    return registry.job("i.timeout", payload=Fee, timeout_seconds="10")(charge)  # mypy


@refused_at_import("unexpected keyword argument")
def misspelt() -> object:
    return registry.job("j.argument", payload=Fee, time_out=10)(charge)  # mypy


@refused_at_import("upgrade")
def gap() -> object:
    return registry.job("k.gap", payload=Fee, version=3, upgrade={1: add_street})(charge.__call__)


@refused_at_import("declared twice")
def twice() -> object:
    return registry.job("c.attribute")(charge.__call__)


@refused_at_import("schedule")
def schedule() -> object:
    return registry.job("l.schedule", schedule="0 25 * * *")(charge.__call__)


@refused_at_import("give_up_on")
def classes() -> object:
    policy = RetryPolicy(3, give_up_on=("Declined",))  # mypy
    return registry.job("o.classes", retry=policy)(charge.__call__)


@refused_at_import("limits[0].most 0")
def none_at_a_time() -> object:
    return registry.job("p.limit", limits=[Concurrency(0)])(charge.__call__)


@refused_at_import("memory_mb")
def memory() -> object:
    return registry.job("m.memory", memory_mb=100)(charge.__call__)


@registry.job("n.resource", payload=Fee)
async def needs_what_nobody_opens(job: RunningJob[Fee], engine: complex) -> Any: ...
