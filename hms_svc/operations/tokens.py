"""Bearer tokens: created, shown once, revoked; and their permissions."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput, UnknownId
from hms_svc.operations.action_table import AUDITED
from hms_svc.operations.journal import Journal
from hms_svc.operations.reads import Reads
from hms_svc.ports.stores import Token

MOST_REQUESTS_A_SECOND: Final = 1_000_000
JWT_ACTOR: Final = "jwt:"
"""Prefix of the subject of a JWT, in the audit log."""
JWT_SCOPE: Final = "hms-svc:"
"""Prefix of a scope in a JWT, which may contain scopes of many services: `hms-svc:view` and so on."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,63}")
_TEXT: Final = re.compile(r"hms_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


class Scope(StrEnum):
    """What a bearer may do: submit jobs, read, act as an operator (and read), scrape metrics."""

    PRODUCE = "produce"
    VIEW = "view"
    OPERATE = "operate"
    METRICS = "metrics"


class Bearer(msgspec.Struct, frozen=True):
    """A token as it is handed out: its id and its secret. The text is not stored."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """The token as it is sent after `Authorization: Bearer`."""
        return f"hms_{self.id}_{self.secret}"

    @property
    def digest(self) -> str:
        """What is stored: the secret has 256 random bits, so one SHA-256 protects it."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


class Tokens:
    """The actions on tokens, each recorded in the audit log."""

    def __init__(self, reads: Reads, journal: Journal) -> None:
        self._reads = reads
        self._journal = journal

    async def create(
        self,
        name: str,
        scopes: Sequence[Scope],
        *,
        expires_at: int | None = None,
        rate: int = 0,
    ) -> tuple[Token, Bearer]:
        """Create a token whose bearer acts as `name`; only the answer contains its text."""
        if not _NAME.fullmatch(name):
            raise BadInput(
                f"token name {name!r:.80}: expected 1 to 64 letters, digits and . _ @ : -, such as portal"
            )
        if not scopes:
            raise BadInput(f"token {name}: expected at least one scope of {', '.join(Scope)}")
        if not 0 <= rate <= MOST_REQUESTS_A_SECOND:
            raise BadInput(
                f"rate {rate}: expected 0 to {MOST_REQUESTS_A_SECOND:,} requests a second"
            )
        now = self._journal.now_ms()
        if expires_at is not None and expires_at <= now:
            raise BadInput(f"token {name} expires in the past")
        bearer = Bearer(secrets.token_hex(6), secrets.token_urlsafe(32))
        token = Token(
            id=bearer.id,
            name=name,
            digest=bearer.digest,
            scopes=tuple(dict.fromkeys(scopes)),
            rate=rate,
            created_at=now,
            expires_at=expires_at,
        )
        detail = {"name": name, "scopes": token.scopes, "rate": rate, "expires_at": expires_at}
        await self._journal.intend(AUDITED["create-token"], f"token:{token.id}", detail)
        await self._reads.database.tokens.add(token)
        await self._journal.conclude(
            AUDITED["create-token"], [(f"token:{token.id}", {"done": True})]
        )
        return token, bearer

    async def revoke(self, token_id: str) -> None:
        """Revoke a token; every HTTP server rejects it within seconds. UnknownId if there is none."""
        await self._journal.intend(AUDITED["revoke-token"], f"token:{token_id}", {})
        done = await self._reads.database.tokens.revoke(token_id, self._journal.now_ms())
        await self._journal.conclude(
            AUDITED["revoke-token"], [(f"token:{token_id}", {"done": done})]
        )
        if not done:
            raise UnknownId(f"no valid token {token_id!r:.80}: it does not exist or is revoked")


def read_bearer(text: str) -> Bearer | None:
    """Parse the text of a token; None if it is not a token of hms-svc."""
    found = _TEXT.fullmatch(text)
    return Bearer(found[1], found[2]) if found else None


def read_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Parse names of scopes; BadInput names an invalid one."""
    try:
        return tuple(Scope(name.strip()) for name in names)
    except ValueError as error:
        raise BadInput(f"scope {error}: expected {', '.join(Scope)}") from error
