"""Signatures of webhooks, made and checked according to standardwebhooks.com: v1, HMAC-SHA256."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from hms_svc.domain.agencies import Sender
from hms_svc.domain.errors import BadSetting, NotSigned

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the mark of a secret, not one
TOLERANCE_SECONDS: Final = 300
_LONGEST_STAMP: Final = 15


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature`: v1, HMAC-SHA256 over `id.timestamp.body`, in base64."""
    content = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(signing_key(secret), content, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def signing_key(secret: str, name: str = "webhook_secret") -> bytes:
    """Return the bytes of a secret: base64 after `whsec_`, else its UTF-8.

    Raises BadSetting with the `name` of the secret if it is empty or not base64.
    """
    if not secret:
        raise BadSetting(f"{name} is missing: every webhook is signed")
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError as error:
        raise BadSetting(f"{name} must be base64 after {SECRET_PREFIX}") from error
    if not key:
        raise BadSetting(f"{name} has nothing after {SECRET_PREFIX}")
    return key


def check_signature(sender: Sender, headers: Mapping[str, str], body: bytes, now_ms: int) -> None:
    """Raise NotSigned unless one of the sender's secrets has signed the body within five minutes.

    A sender without secrets need not sign. Header names are lower-case.
    """
    if not sender.secrets:
        return
    message_id, stamp, given = (
        _header(sender, headers, f"webhook-{name}") for name in ("id", "timestamp", "signature")
    )
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= _LONGEST_STAMP):
        raise NotSigned(f"webhook-timestamp {stamp!r:.40} is not a whole number of Unix seconds")
    age_seconds = now_ms // 1000 - int(stamp)
    if abs(age_seconds) > TOLERANCE_SECONDS:
        difference = f"{abs(age_seconds)} s {'old' if age_seconds > 0 else 'ahead'}"
        raise NotSigned(
            f"webhook-timestamp {stamp} is {difference}; the limit is {TOLERANCE_SECONDS} s"
        )
    signatures = [signature.encode() for signature in given.split()]
    rights = [sign(secret, message_id, int(stamp), body).encode() for secret in sender.secrets]
    fits = [hmac.compare_digest(right, each) for right in rights for each in signatures]
    if not any(fits):
        raise NotSigned(f"webhook-signature matches no secret of sender {sender.name}")


def _header(sender: Sender, headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise NotSigned(f"{name} is missing: requests of sender {sender.name} must be signed")
    return value
