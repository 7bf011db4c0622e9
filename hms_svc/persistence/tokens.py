"""Bearer tokens: digests of their secrets, with their scopes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

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


def add(connection: Connection, token: Token) -> None:
    """Store a new token."""
    connection.execute(_INSERT, _values(token))


def every(connection: Connection) -> list[Token]:
    """Return all tokens, oldest first."""
    return [_token(row) for row in connection.execute(_ALL)]


def revoke(connection: Connection, token_id: str, at: int) -> bool:
    """Mark a token as revoked; return False if there is none or it was revoked before."""
    return connection.execute(_REVOKE, {"revoked": token_id, "moment": at}).rowcount > 0


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
