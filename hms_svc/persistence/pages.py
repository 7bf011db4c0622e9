"""Lists in pages: bounded reads, one after the other, where all is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from hms_svc.domain.errors import BadInput

Item = TypeVar("Item")
Page = Callable[[int, str | None], Awaitable[tuple[list[Item], str | None]]]
_PAGE: Final = 1_000


async def read_pages(
    page: Page[Item], limit: int, cursor: str | None
) -> tuple[list[Item], str | None]:
    """Return up to `limit` items after the cursor (0: all) and the next cursor, None at the end."""
    if limit < 0:
        raise BadInput(f"limit {limit} is negative; 0 is all")
    items: list[Item] = []
    while True:
        wanted = min(_PAGE, limit - len(items)) if limit else _PAGE
        found, cursor = await page(wanted, cursor)
        items.extend(found)
        if cursor is None or len(items) == limit:
            return items, cursor


def read_cursor(cursor: str, parts: int) -> tuple[int, ...]:
    """Read a cursor of so many numbers, `7` or `7.3`; another text is BadInput."""
    words = cursor.split(".")
    if len(words) != parts or not all(word.isascii() and word.isdigit() for word in words):
        raise BadInput(f"cursor {cursor!r:.80} is none that an earlier page gave")
    return tuple(min(int(word), 2**63 - 1) for word in words)
