"""A service with mistakes in types: each line that ends in `# mistake` has one, and no other line."""

from __future__ import annotations

from pydantic import BaseModel

from hms_svc import Handle, Registry, RunningJob

registry = Registry()


class Application(BaseModel):
    parcel: str


class Fee(BaseModel):
    cents: int


class Granted(BaseModel):
    permit: str


def is_paid(fee: Fee) -> bool:
    return fee.cents > 0


def is_open(application: Application) -> bool:
    return application.nosuch  # mistake


def key_of(fee: Fee) -> str:
    return str(fee.cents)


@registry.job("a.right", payload=Application, validators=[is_open])
async def apply(job: RunningJob[Application]) -> Granted:
    print(job.payload.nosuch)  # mistake
    print(job.nosuch)  # mistake
    return Granted(permit=7)  # mistake


@registry.job("b.wrong_model", payload=Application)  # mistake
async def of_another_model(job: RunningJob[Fee]) -> None: ...


@registry.job("c.wrong_model", payload=Application)  # mistake
def plain_of_another_model(job: RunningJob[Fee]) -> None: ...


@registry.job("d.resource", payload=Application)
async def takes_a_resource(job: RunningJob[Application], fee: Fee) -> None: ...


@registry.job("e.payload", payload=Application)  # mistake
def takes_the_payload(application: Application) -> None: ...


@registry.job("f.validator", payload=Application, validators=[is_open, is_paid])  # mistake
async def validated(job: RunningJob[Application]) -> None: ...


@registry.job("g.unique", payload=Application, unique=key_of)  # mistake
async def unique(job: RunningJob[Application]) -> None: ...


@registry.job("h.unique", payload=Application, unique=lambda application: application.nosuch)  # mistake
async def unique_by_attribute(job: RunningJob[Application]) -> None: ...


@registry.job("i.retry", payload=Application, retry=5)  # mistake
async def retried(job: RunningJob[Application]) -> None: ...


@registry.job("j.argument", payload=Application, nosuch=1)  # mistake
async def declared(job: RunningJob[Application]) -> None: ...


async def use() -> None:
    apply.job(Fee(cents=1))  # mistake
    await apply.enqueue(Fee(cents=1))  # mistake
    await apply.enqueue_all([Fee(cents=1)])  # mistake
    await apply.enqueue(Application(parcel="1"), nosuch=1)  # mistake
    apply.enqueue(Application(parcel="1"))  # mistake
    handle = await apply.enqueue(Application(parcel="1"))
    handle.result()  # mistake
    print(handle.result().permit)  # mistake
    granted = await handle.result()
    print(granted.nosuch)  # mistake
    fee: Fee = await handle.result()  # mistake
    print(fee)


def use_blocking() -> None:
    apply.enqueue_blocking(Fee(cents=1))  # mistake
    handle: Handle[Fee] = apply.enqueue_blocking(Application(parcel="1"))  # mistake
    print(apply.enqueue_blocking(Application(parcel="1")).result().nosuch)  # mistake
    handle.result(timeout="soon")  # mistake


async def test(job: RunningJob[Application], other: RunningJob[Fee]) -> None:
    await apply(other)  # mistake
    await takes_a_resource(job)  # mistake
    await takes_a_resource(job, Granted(permit="1"))  # mistake
    granted = await apply(job)
    print(granted.nosuch)  # mistake
