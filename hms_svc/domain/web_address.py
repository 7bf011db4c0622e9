"""Addresses that we send to: http or https, without secrets in them."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from hms_svc.domain.errors import BadSetting


def read_web_address(url: str, name: str) -> SplitResult:
    """Return the parts of an address, or raise BadSetting with its `name`, never with a password."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadSetting(f"{name} is not an address: {error}") from error
    shown = f"{name} {parts.scheme}://{parts.hostname or ''}"
    try:
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError as error:
        raise BadSetting(f"{shown}: {error}") from error
    if not usable or parts.username is not None or parts.password is not None:
        raise BadSetting(f"{shown} is not an http or https address without user and password")
    return parts
