"""Words of handlers made such that a broker can write them: no job's words may hold up another's."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hms_svc.domain.outcome import Disposition, Failure

LONGEST_DETAIL: Final = 4000


def writable(words: object) -> str:
    """Return text without lone surrogates (they are spelt out as escapes), of anything that was submitted."""
    if type(words) is not str:
        try:
            words = str(words)
        except BaseException:  # noqa: BLE001 - code of the handler's, run once more
            return f"<{type(words).__name__} that cannot be put into words>"
    return words if words.isascii() else words.encode(errors="backslashreplace").decode()


def writable_disposition(disposition: Disposition) -> Disposition:
    """Return the disposition with all of its words writable, and its detail of bounded length."""
    changes: dict[str, Any] = {}
    for name in ("reason", "by", "detail", "log"):
        given = getattr(disposition, name)
        if given is None:
            changes[name] = ""
        elif given and (words := writable(given)) is not given:
            changes[name] = words
    detail = changes.get("detail", disposition.detail)
    if len(detail) > LONGEST_DETAIL:
        changes["detail"] = detail[:LONGEST_DETAIL] + "…"
    if (failure := disposition.failure) is not None:
        changes["failure"] = Failure(
            writable(failure.kind), writable(failure.message), writable(failure.traceback)
        )
    return msgspec.structs.replace(disposition, **changes) if changes else disposition
