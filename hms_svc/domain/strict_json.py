"""The one strict reading of JSON at every edge, and the fast codec for what is already ours."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Final, Never, TypeAlias

import msgspec

from hms_svc.domain.errors import MalformedJson

JsonValue: TypeAlias = "None | bool | int | float | str | list[JsonValue] | dict[str, JsonValue]"
MAX_DEPTH: Final = 64
MAX_INTEGER: Final = 2**63
_UNWRITABLE: Final = re.compile("[\0\ud800-\udfff]")

encode: Final = msgspec.json.Encoder().encode
"""Write a value of ours as JSON bytes."""
encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode
"""Write a value of ours as JSON bytes with sorted keys: equal values give equal bytes."""
decode: Final = msgspec.json.Decoder().decode
"""Read JSON bytes that we wrote ourselves."""


def encode_canonical(value: JsonValue) -> bytes:
    """Write a strictly read value so that equal JSON gives equal bytes: sorted keys, 1.0 as 1."""
    return encode_sorted(_canonical(value))


def is_same_json(one: bytes, other: bytes) -> bool:
    """Tell whether bytes of ours say the same: `1.0` is `1`, `true` is not."""
    return one == other or encode_canonical(decode(one)) == encode_canonical(decode(other))


def _canonical(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer() and -MAX_INTEGER <= value < MAX_INTEGER:
        return int(value)
    return value


def _unique_pairs(pairs: Iterable[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    result: dict[str, JsonValue] = {}
    for key, value in pairs:
        if key in result:
            raise MalformedJson(f"key {key!r:.80} stands twice in one object")
        result[key] = value
    return result


def _no_constant(name: str) -> Never:
    raise MalformedJson(f"{name} is not a JSON number")


_decoder: Final = json.JSONDecoder(object_pairs_hook=_unique_pairs, parse_constant=_no_constant)


def read_strict(raw: bytes) -> JsonValue:
    """Read foreign bytes as JSON, or raise MalformedJson with the fault in words.

    Refused: bytes that are not UTF-8, more than 64 levels, a key twice in one
    object, NaN and infinities (also by overflow), integers of 2^63 and beyond,
    lone surrogates, NUL.
    """
    if not raw.strip(b" \t\r\n"):
        raise MalformedJson("empty: no JSON value")
    try:
        value: JsonValue = _decoder.decode(raw.decode())
    except UnicodeDecodeError as error:
        raise MalformedJson(f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise MalformedJson(f"not JSON: {error.msg} at {where}") from error
    except RecursionError as error:
        raise MalformedJson(f"nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise MalformedJson("an integer of 2^63 or beyond") from error
    check_strict(value)
    return value


def check_strict(value: object, path: str = "", depth: int = 0) -> None:
    """Hold a Python value to the same rules as foreign bytes; raise MalformedJson with its path."""
    kind = type(value)
    if kind is str:
        _check_text(value, path)  # type: ignore[arg-type]
    elif kind is float:
        if not math.isfinite(value):  # type: ignore[arg-type]
            raise MalformedJson(f"{_at(path)}: {value} is not a JSON number")
    elif kind is int:
        if not -MAX_INTEGER <= value < MAX_INTEGER:  # type: ignore[operator]
            raise MalformedJson(f"{_at(path)}: an integer of 2^63 or beyond")
    elif isinstance(value, dict | list | tuple):
        if depth >= MAX_DEPTH:
            raise MalformedJson(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            for key, item in value.items():
                if type(key) is not str:
                    raise MalformedJson(f"{_at(path)}: key {key!r:.80} is not a string")
                _check_text(key, path)
                check_strict(item, f"{path}.{key}" if path else key, depth + 1)
        else:
            for index, item in enumerate(value):
                check_strict(item, f"{path}[{index}]", depth + 1)
    elif value is not None and kind is not bool:
        raise MalformedJson(f"{_at(path)}: {kind.__name__} is not a JSON value")


def _check_text(text: str, path: str) -> None:
    if found := _UNWRITABLE.search(text):
        fault = "NUL" if found[0] == "\0" else "a lone surrogate"
        raise MalformedJson(f"{_at(path)}: {fault} in a string")


def _at(path: str) -> str:
    return ascii(path[:80])[1:-1] if path else "the value"
