"""Bearer tokens: digests of their secrets, with their scopes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, insert, select, update

from hms_svc.persistence.engine import Engine
from hms_svc.persistence.statements import AnyRow
from hms_svc.persistence.tables import tokens
from hms_svc.ports.stores import Token

_INSERT = insert(tokens)
_ALL = select(tokens).order_by(tokens.c.created_at, tokens.c.id)
_REVOKE = (
    update(tokens)
    .where(tokens.c.id == bindparam("revoked"), tokens.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("moment"))
)


class SqlTokens:
    """Implements ports.stores.TokenStore."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, token: Token) -> None:
        await self._engine.write(lambda on: on.execute(_INSERT, _values(token)), repeatable=False)

    async def all(self) -> list[Token]:
        return await self._engine.read(lambda on: [_token(row) for row in on.execute(_ALL).all()])

    async def revoke(self, token_id: str, at: int) -> bool:
        named = {"revoked": token_id, "moment": at}
        return await self._engine.write(lambda on: on.execute(_REVOKE, named).rowcount > 0)


def _values(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "digest": token.digest,
        "scopes": " ".join(token.scopes),
        "rate": token.rate,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
    }


def _token(row: AnyRow) -> Token:
    id, name, digest, scopes, rate, created_at, expires_at, revoked_at = row
    return Token(
        id=id,
        name=name,
        digest=digest,
        scopes=tuple(scopes.split()),
        rate=rate,
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
    )
