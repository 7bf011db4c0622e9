"""Strict parsing of JSON at every edge, and the fast codec for trusted JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from heapq import merge
from typing import Final

import msgspec

from hms_svc.domain.errors import MalformedJson
from hms_svc.domain.json_rules import (
    DECODER,
    MAX_DEPTH,
    MAX_INTEGER,
    InvalidJsonValue,
    JsonValue,
    TooDeep,
    check,
)
from hms_svc.domain.json_scan import PIECE, Scan, check_containers
from hms_svc.domain.utf8 import MARK, is_wide, not_utf8

__all__ = [
    "MAX_DEPTH",
    "MAX_INTEGER",
    "JsonValue",
    "check_strict",
    "decode",
    "encode",
    "encode_canonical",
    "encode_sorted",
    "read_strict",
]

_SORTED_AT_ONCE: Final = 10_000
encode: Final = msgspec.json.Encoder().encode
"""Encode a trusted value as JSON bytes."""
encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode
"""Encode a trusted value as JSON bytes with sorted keys: equal values give equal bytes."""
decode: Final = msgspec.json.Decoder(float_hook=float).decode
"""Decode JSON bytes that hms-svc wrote itself.

Python parses floats: msgspec takes up to 10 µs for one near the limits of a double.
"""


def encode_canonical(value: JsonValue) -> bytes:
    """Encode a strictly parsed value so that equal JSON gives equal bytes: sorted keys, 1.0 as 1."""
    return encode(_canonical(value))


def is_same_json(one: bytes, other: bytes) -> bool:
    """Return whether trusted bytes have the same meaning: `1.0` is `1`, `true` is not."""
    return one == other or encode_canonical(decode(one)) == encode_canonical(decode(other))


def _canonical(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _canonical(value[key]) for key in _in_order(list(value))}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer() and -MAX_INTEGER <= value < MAX_INTEGER:
        return int(value)
    return value


def _in_order(keys: list[str]) -> Iterable[str]:
    """Sort keys; very many of them in chunks, so that no call takes long."""
    if len(keys) <= _SORTED_AT_ONCE:
        return sorted(keys)
    starts = range(0, len(keys), _SORTED_AT_ONCE)
    return merge(*(sorted(keys[start : start + _SORTED_AT_ONCE]) for start in starts))


def read_strict(raw: bytes) -> JsonValue:
    """Parse foreign bytes as JSON, or raise MalformedJson with a description of the fault.

    Rejected: bytes that are not UTF-8, or begin with its byte-order mark, more than 64 levels, a key twice in one
    object, NaN and infinities (also by overflow), integers of 2^63 and beyond,
    lone surrogates, NUL, more than 250,000 arrays and objects (in texts of more than
    4 MB one for each 16 bytes).
    """
    if not raw.strip(b" \t\r\n"):
        raise MalformedJson("empty: expected a JSON value")
    if raw.startswith(MARK):
        raise MalformedJson("begins with a byte-order mark, which JSON does not allow: remove it")
    try:
        text = raw.decode()
        value: JsonValue
        if len(raw) > PIECE:
            check_containers(text)
            value = Scan(text).read()
        else:
            value = DECODER.decode(text)
            check(value, 0)
    except UnicodeDecodeError as error:
        raise MalformedJson(not_utf8(raw, error.start)) from error
    except json.JSONDecodeError as error:
        if is_wide(raw):
            raise MalformedJson(not_utf8(raw, 0)) from error
        where = f"line {error.lineno} column {error.colno}"
        raise MalformedJson(f"not JSON: {error.msg} at {where}") from error
    except (RecursionError, TooDeep) as error:
        raise MalformedJson(f"nested deeper than {MAX_DEPTH} levels") from error
    except InvalidJsonValue as fault:
        raise MalformedJson(fault.located_message()) from fault
    except ValueError as error:
        raise MalformedJson("an integer of 2^63 or beyond") from error
    return value


def check_strict(value: object) -> None:
    """Check a Python value against the same rules as foreign bytes; raise MalformedJson with its path."""
    try:
        check(value, 0)
    except TooDeep as error:
        raise MalformedJson(f"nested deeper than {MAX_DEPTH} levels") from error
    except InvalidJsonValue as fault:
        raise MalformedJson(fault.located_message()) from fault
