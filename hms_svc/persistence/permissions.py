"""What governance has allowed a job, as it is stored with the job's effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hms_svc.domain.strict_json import decode, encode
from hms_svc.domain.verdict import Permission

_read_permission: Final = msgspec.json.Decoder(Permission).decode


def write_permissions(vetted: Sequence[Permission]) -> str:
    """Return permissions as a JSON list of texts: older programs expect texts there."""
    return encode([encode(permission).decode() for permission in vetted]).decode()


def read_permissions(raw: str) -> tuple[Permission, ...]:
    """Return the permissions; a plain action, as older programs wrote it, permits nothing."""
    return tuple(_read_permission(text) for text in decode(raw) if text.startswith("["))
