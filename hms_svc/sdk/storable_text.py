"""Texts of handlers in a form that a broker can store: one job's text must not block another's."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hms_svc.domain.outcome import Disposition, Failure

LONGEST_DETAIL: Final = 4000


def writable(text: object) -> str:
    """Return anything as text without lone surrogates (they become escapes)."""
    if type(text) is not str:
        try:
            text = str(text)
        except BaseException:  # noqa: BLE001 - str() is the handler's code
            return f"<{type(text).__name__} that cannot be converted to text>"
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def writable_disposition(disposition: Disposition) -> Disposition:
    """Return the disposition with all of its texts storable, and its detail of bounded length."""
    changes: dict[str, Any] = {}
    for name in ("reason", "by", "detail", "log"):
        given = getattr(disposition, name)
        if given is None:
            changes[name] = ""
        elif given and (text := writable(given)) is not given:
            changes[name] = text
    detail = changes.get("detail", disposition.detail)
    if len(detail) > LONGEST_DETAIL:
        changes["detail"] = detail[:LONGEST_DETAIL] + "…"
    if (failure := disposition.failure) is not None:
        changes["failure"] = Failure(
            writable(failure.kind), writable(failure.message), writable(failure.traceback)
        )
    return msgspec.structs.replace(disposition, **changes) if changes else disposition
