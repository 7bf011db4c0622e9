"""W3C Trace Context: which trace a job goes on with."""

from __future__ import annotations

import re
from typing import Final

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def read_traceparent(value: object) -> str | None:
    """Give back a `traceparent` (W3C Trace Context, section 3.2), None for what is none."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None
