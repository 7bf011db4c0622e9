"""Which fields of the payload an expression reads, so that only those are converted for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

PAYLOAD: Final = "payload"
_TOKEN: Final = re.compile(
    r"""\s+ | //[^\n]* | (?P<token> "[^"\n]*" | '[^'\n]*' | [A-Za-z_][A-Za-z_0-9]* | . )""",
    re.VERBOSE | re.DOTALL,
)
_NOT_PLAIN: Final = ("\\", "`", '"' * 3, "'" * 3)
"""What makes strings and names other than what the pattern of a token takes them for."""
_BEFORE_A_TEST: Final = frozenset({"", "&", "|", "("})
_AFTER_A_TEST: Final = frozenset({"", "&", "|", ")", "?", ":"})


def used_fields(expression: str) -> frozenset[str] | None:
    """Return the fields of `payload` that a valid CEL expression reads; None if it may read any.

    Known are `payload.name`, `payload["name"]`, `"name" in payload` and `type(payload)`. Any other
    use, such as a comparison of the whole or an iteration, and any escape may read every field.
    """
    if any(each in expression for each in _NOT_PLAIN):
        return None
    found = [match["token"] for match in _TOKEN.finditer(expression) if match["token"]]
    tokens = ["", "", "", *found, "", "", ""]
    fields = set()
    for place, token in enumerate(tokens):
        if token != PAYLOAD:
            continue
        field = _field(tokens[place - 3 : place], tokens[place + 1 : place + 4])
        if field is None:
            return None
        fields.add(field)
    return frozenset(fields - {""})


def _field(before: Sequence[str], after: Sequence[str]) -> str | None:
    """Return the field that is read by one use of the payload, "" for none, None for any."""
    if before[2] == ".":
        return None
    if after[0] == "." and after[1].isidentifier() and after[2] != "(":
        return after[1]
    if after[0] == "[" and _is_text(after[1]) and after[2] == "]":
        return after[1][1:-1]
    if before[0] in _BEFORE_A_TEST and _is_text(before[1]) and before[2] == "in":
        return before[1][1:-1] if after[0] in _AFTER_A_TEST else None
    return "" if (*before[1:], after[0]) == ("type", "(", ")") and before[0] != "." else None


def _is_text(token: str) -> bool:
    return token[:1] in {'"', "'"} and len(token) > 1
