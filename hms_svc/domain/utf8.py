"""Foreign text: UTF-8, and a description of bytes in another encoding."""

from __future__ import annotations

import codecs
import re
from typing import Final

MARK: Final = codecs.BOM_UTF8
"""The byte-order mark that some editors put before UTF-8."""
_OTHER_MARKS: Final = (  # those of UTF-32 first: one of them begins as one of UTF-16 does
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_LONGEST_CHARACTER: Final = 4
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def without_mark(raw: bytes) -> bytes:
    """Return the bytes of a file after its byte-order mark, if it has one."""
    return raw.removeprefix(MARK)


def not_utf8(raw: bytes, position: int) -> str:
    """Describe what is wrong with bytes that cannot be decoded as UTF-8 at a position, from 0."""
    for mark, name in _OTHER_MARKS:
        if raw.startswith(mark):
            return f"not UTF-8 at byte 0: it begins like {name}; save it as UTF-8"
    if 0 in raw[:_LONGEST_CHARACTER]:
        zero = raw.index(0)
        return f"not UTF-8 at byte {zero}: a zero byte, as in UTF-16; save it as UTF-8"
    return f"not UTF-8 at byte {position}"


def is_wide(raw: bytes) -> bool:
    """Return whether the bytes, though they may be UTF-8, begin like text in UTF-16 or UTF-32."""
    return 0 in raw[:_LONGEST_CHARACTER]


def has_surrogates(text: str) -> bool:
    """Return whether UTF-8 cannot encode a text: it contains surrogates for bytes that could not be decoded."""
    return _SURROGATES.search(text) is not None


def writable(text: str) -> str:
    r"""Return a text that UTF-8 can encode: undecodable bytes become `\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def read_text(raw: bytes) -> str:
    """Return the text of a file, with or without a mark; ValueError says which other encoding it seems to have."""
    raw = without_mark(raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(not_utf8(raw, error.start)) from error
    if is_wide(raw):
        raise ValueError(not_utf8(raw, 0))
    return text
