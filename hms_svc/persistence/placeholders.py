"""Statements of an application whose parameters are not written `$1`, `$2`: what drivers say of them misleads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hms_svc.domain.errors import TransactionError
from hms_svc.domain.plain_text import plural


def unnumbered(sql: str, arguments: Sequence[Any], error: Exception) -> TransactionError | None:
    """Return the error of a statement that the database could not read, if it has arguments but no `$1`."""
    if not arguments or "$1" in sql:
        return None
    return TransactionError(
        f"a statement with {plural(len(arguments), 'argument')} has no $1: its parameters are written $1, $2 and "
        f"so on, not ? or %s or :name ({error})"
    )
