"""The eight job types of the service."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel, SecretStr

from hms_svc import (
    Batch,
    BlockingTransaction,
    Concurrency,
    Rate,
    Registry,
    RetryLater,
    RetryPolicy,
    Run,
    RunningJob,
    Transaction,
    ValidationFailed,
    aio,
    dao,
    follow_up_id,
)
from permits.city import City, Declined
from permits.payloads import (
    Announcement,
    Application,
    Document,
    Fee,
    Granted,
    Night,
    Notice,
)

registry = Registry()
PATIENT = RetryPolicy(
    8, base_seconds=1, cap_seconds=600, give_up_on=(Declined,), within_seconds=7200
)


@registry.settings("permits")
class PermitSettings(BaseModel):
    """The table [apps.permits] of the configuration."""

    city_url: str
    city_key: SecretStr
    documents: Path
    fee_cents: int = 120_00
    wards: list[int] = [1, 2, 3, 4, 5]


@registry.resource
async def city(settings: PermitSettings) -> AsyncIterator[City]:
    """Keep connections to the other systems open while the worker runs."""
    headers = {"Authorization": f"Bearer {settings.city_key.get_secret_value()}"}
    base = settings.city_url
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=20) as client:
        yield City(client)


@registry.middleware
async def busy_city(job: RunningJob, run: Run) -> Any:
    """Try again when a busy system asks for it."""
    try:
        return await run()
    except httpx.HTTPStatusError as error:
        if error.response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
            raise
        return RetryLater(float(error.response.headers.get("Retry-After", 2)), "the city is busy")


@registry.job("permits.tables")
def make_tables(job: RunningJob) -> None:
    """Make the service's tables: one job for each version of them, before the others."""

    def write(tx: BlockingTransaction) -> None:
        tx.execute(
            "create table permits (id text primary key, parcel text not null unique, "
            "applicant text not null, email text not null, ward integer not null, seal text)"
        )
        tx.execute("create table fees (permit text primary key, cents bigint, receipt text)")
        tx.execute("create table notices (job text primary key, citizen text not null)")
        tx.execute("create table nights (job text primary key, permits bigint, cents bigint)")

    dao.transaction(write)


def is_allowed_height(application: Application) -> None:
    """Refuse what no rule of the city allows."""
    if application.storeys > 40:
        raise ValidationFailed(f"{application.storeys} storeys: at most 40 are allowed")


def add_email(data: dict[str, Any]) -> dict[str, Any]:
    """Return an application of version 1 in the form of version 2."""
    return {**data, "email": "post@city.example"}


@registry.job(
    "permit.apply",
    payload=Application,
    validators=[is_allowed_height],
    action="permit.grant",
    unique=lambda application: application.parcel,
    version=2,
    upgrade={1: add_email},
)
async def apply(job: RunningJob[Application], settings: PermitSettings) -> Granted:
    """Grant a permit for a parcel that has none, and charge for it."""
    application = job.payload

    async def write(tx: Transaction) -> None:
        if await tx.fetchrow("select 1 from permits where parcel = $1", application.parcel):
            raise ValidationFailed(f"parcel {application.parcel} has a permit")
        await tx.execute(
            "insert into permits (id, parcel, applicant, email, ward) values ($1, $2, $3, $4, $5)",
            *(job.id, application.parcel, application.applicant, application.email),
            application.ward,
        )
        fee = Fee(permit=job.id, account=application.account, cents=settings.fee_cents)
        tx.enqueue(charge.job(fee, id=follow_up_id(job.id, "fee.charge")))
        tx.event("permit.granted", {"permit": job.id, "parcel": application.parcel})

    await job.transaction(write)
    return Granted(permit=job.id)


@registry.job("fee.charge", payload=Fee, retry=PATIENT, timeout_seconds=30)
async def charge(job: RunningJob[Fee], city: City) -> str:
    """Charge the fee at the bank, once, and have the document drawn up."""
    fee = job.payload
    receipt = await city.charge(job.id, fee.account, fee.cents)

    async def write(tx: Transaction) -> None:
        await tx.execute("insert into fees values ($1, $2, $3)", fee.permit, fee.cents, receipt)
        document = Document(permit=fee.permit)
        tx.enqueue(render.job(document, id=follow_up_id(job.id, "document.render")))

    await job.transaction(write)
    return receipt


@registry.job(
    "document.render",
    payload=Document,
    isolate="process",
    timeout_seconds=10,
    memory_mb=256,
    jobs_per_process=100,
)
def render(job: RunningJob[Document], settings: PermitSettings) -> str:
    """Draw up the document and seal it, which takes the time of a CPU, and tell the applicant."""
    permit = job.payload.permit

    def read(tx: BlockingTransaction) -> list[Any]:
        return list(
            tx.fetchrow("select applicant, parcel, email, ward from permits where id = $1", permit)
        )

    applicant, parcel, email, ward = dao.transaction(read, "read")
    text = f"Permit {permit}\n{applicant} may build on parcel {parcel}.\n"
    seal = hashlib.pbkdf2_hmac("sha256", text.encode(), permit.encode(), 300_000).hex()
    settings.documents.mkdir(parents=True, exist_ok=True)
    settings.documents.joinpath(f"{permit}.txt").write_text(f"{text}Seal {seal}\n")

    def write(tx: BlockingTransaction) -> None:
        tx.execute("update permits set seal = $1 where id = $2", seal, permit)
        told = Notice(to=email, text=f"Your permit {permit} is ready", ward=ward)
        tx.enqueue(notify.job(told, id=follow_up_id(job.id, "citizen.notify")))

    dao.transaction(write, "sealed")
    return seal


@registry.job(
    "citizen.notify",
    payload=Notice,
    retry=PATIENT,
    limits=[Rate(50, per_seconds=1), Concurrency(2, key=lambda notice: notice.ward)],
)
async def notify(job: RunningJob[Notice], city: City) -> None:
    """Send a message: fifty a second, and two at a time for a ward."""
    await city.message(job.id, job.payload.to, job.payload.text)

    async def write(tx: Transaction) -> None:
        await tx.execute("insert into notices values ($1, $2)", job.id, job.payload.to)

    await job.transaction(write)


@registry.job("ward.announce", payload=Announcement, retry=PATIENT)
async def announce(job: RunningJob[Announcement], city: City) -> int:
    """Send a message to all citizens of a ward, as one batch."""
    ward, citizens, after = job.payload.ward, list[str](), ""
    while page := await job.step(f"after {after}", city.citizens, ward, after):
        citizens, after = citizens + page, page[-1]
    notices = [notify.job(Notice(to=to, text=job.payload.text, ward=ward)) for to in citizens]
    await Batch(notices, then=announced.job(job.payload), id=f"{job.id}.notices").enqueue()
    return len(citizens)


@registry.job("ward.announced", payload=Announcement)
async def announced(job: RunningJob[Announcement]) -> str:
    """Say how many citizens were told, when no message is under way any more."""
    assert job.batch is not None
    batch = await aio.jobs.batch(job.batch)
    states = (await batch.progress()).states
    return f"ward {job.payload.ward}: {states.get('completed', 0)} citizens were told"


@registry.job(
    "report.nightly",
    schedule="0 3 * * *",
    time_zone="America/New_York",
    overlap="skip",
    retry=PATIENT,
)
async def report(job: RunningJob, city: City, settings: PermitSettings) -> Night:
    """Count what the city has granted and earned, and the complaints of each ward."""
    done, complaints = job.cursor or (0, 0)
    for ward in settings.wards[done:]:
        done, complaints = done + 1, complaints + await city.complaints(ward)
        job.cursor = done, complaints

    async def write(tx: Transaction) -> dict[str, int]:
        permits = await tx.fetchval("select count(*) from permits")
        cents = int(await tx.fetchval("select coalesce(sum(cents), 0) from fees"))
        await tx.execute("insert into nights values ($1, $2, $3)", job.id, permits, cents)
        return {"permits": permits, "cents": cents}

    return Night(**await job.transaction(write), complaints=complaints)
