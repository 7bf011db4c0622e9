"""Answers about records of the database: cases, the audit log, tokens."""

from __future__ import annotations

from typing import Annotated, Any, Self

import msgspec

from hms_svc.domain.audit_query import AuditPage
from hms_svc.domain.case import Case, CaseStatus
from hms_svc.domain.strict_json import decode
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import AuditFault, AuditRecord
from hms_svc.operations.answers.times import Time, time_or_none
from hms_svc.ports.stores import Token

Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]


class CaseAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A case. `lat` and `lon` are degrees in WGS 84."""

    id: str
    job_id: str
    kind: str
    lat: float | None
    lon: float | None
    user_id: str | None
    urgency: Percent | None
    status: CaseStatus
    opened_at: Time
    closed_at: Time | None
    data: Any

    @classmethod
    def of(cls, case: Case) -> Self:
        """Return the answer for a case."""
        return cls(
            id=case.id,
            job_id=case.job_id,
            kind=case.kind,
            lat=case.lat,
            lon=case.lon,
            user_id=case.user_id,
            urgency=case.urgency,
            status=case.status,
            opened_at=to_rfc3339(case.opened_at),
            closed_at=time_or_none(case.closed_at),
            data=decode(case.data),
        )


class CasePageAnswer(msgspec.Struct, frozen=True):
    """A page of cases. `cursor` gets the next page; it is null on the last one."""

    cases: tuple[CaseAnswer, ...]
    cursor: str | None


class AuditRecordAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An audit record: actor, action and subject. `link` is its place in the hash chain, null until it is sealed."""

    number: int
    at: Time
    actor: str
    action: str
    subject: str
    detail: Any
    link: int | None
    digest: str

    @classmethod
    def of(cls, record: AuditRecord) -> Self:
        """Return the answer for a record."""
        return cls(
            number=record.number,
            at=to_rfc3339(record.at),
            actor=record.actor,
            action=record.action,
            subject=record.subject,
            detail=decode(record.detail),
            link=record.link,
            digest=record.digest,
        )


class AuditPageAnswer(msgspec.Struct, frozen=True):
    """A page of the audit log. `cursor` gets the next page; it is null on the last one."""

    audit: tuple[AuditRecordAnswer, ...]
    cursor: str | None

    @classmethod
    def of(cls, page: AuditPage) -> Self:
        """Return the answer for a page."""
        return cls(tuple(map(AuditRecordAnswer.of, page.records)), page.cursor)


class AuditVerification(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the audit chain is intact, and the faults that were found."""

    ok: bool
    faults: tuple[AuditFault, ...]


class AuditAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The head of the audit chain up to which the record was accepted as right."""

    link: int
    digest: str
    signed: bool


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token, without its secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    rate: int
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None

    @classmethod
    def of(cls, token: Token) -> Self:
        """Return the answer for a token."""
        return cls(
            id=token.id,
            name=token.name,
            scopes=token.scopes,
            rate=token.rate,
            created_at=to_rfc3339(token.created_at),
            expires_at=time_or_none(token.expires_at),
            revoked_at=time_or_none(token.revoked_at),
        )


class TokenCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was created, with its text, which is shown only once."""

    id: str
    name: str
    token: str


class TokenRevoked(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was revoked."""

    id: str
    revoked: bool
