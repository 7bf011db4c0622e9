"""The one sanitiser: text from outside made harmless for a terminal, with nothing hidden."""

from __future__ import annotations

import re
from typing import Final

_HARMFUL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # zero-width, bidi, separators
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"  # marks, tags, lone surrogates
)


def plain(text: str) -> str:
    """Return one line of text in which every control, bidi and zero-width character is visible.

    C0 and DEL become their symbols (`␛`, `␊`); all others their number, `<U+202E>`.
    """
    return _HARMFUL.sub(_symbol, text)


def plain_lines(text: str) -> str:
    """Return text of several lines made harmless: line feeds stay, tabs become four spaces."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(plain(line.replace("\t", "    ")) for line in lines)


def plain_json(json_text: str) -> str:
    """Return JSON text of the same meaning with every harmful character escaped."""
    return _HARMFUL.sub(_escape, json_text)


def shorten(text: str, width: int) -> str:
    """Return at most `width` characters, with `…` for what was left out."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def brief(value: object) -> str:
    """Return a foreign JSON value in at most 80 characters; for a large one only its kind."""
    if isinstance(value, str):
        return f"{value[:80]!r:.80}"
    if isinstance(value, dict | list | tuple):
        kind = "an object" if isinstance(value, dict) else "an array"
        return f"{value!r:.80}" if not value else f"{kind} of {len(value):,}"
    return f"{value!r:.80}"


def plural(value: int, noun: str) -> str:
    """Return a number with its noun: `1 job`, `1,200 jobs`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def duration_text(milliseconds: int, *, units: int = 2) -> str:
    """Return a duration in its largest units, `3 m 5 s`."""
    seconds = max(milliseconds, 0) // 1000
    sizes = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
    parts: list[str] = []
    for name, size in sizes:
        count, seconds = divmod(seconds, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
    return " ".join(parts[:units])


def _symbol(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number < 0x20:
        return chr(0x2400 + number)
    return "␡" if number == 0x7F else f"<U+{number:04X}>"


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number < 0x10000:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 | number >> 10:04x}\\u{0xDC00 | number & 0x3FF:04x}"
