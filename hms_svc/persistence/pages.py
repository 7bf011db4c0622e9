"""Lists in pages: bounded reads, repeated if all items are requested."""

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
        raise BadInput(f"limit {limit} is negative; use 0 for all")
    items: list[Item] = []
    while True:
        wanted = min(_PAGE, limit - len(items)) if limit else _PAGE
        found, cursor = await page(wanted, cursor)
        items.extend(found)
        if cursor is None or len(items) == limit:
            return items, cursor


def read_cursor(cursor: str, parts: int) -> tuple[int, ...]:
    """Return the numbers of a cursor, such as `7` or `7.3`; raise BadInput for any other text."""
    numbers = cursor.split(".")
    if len(numbers) != parts or not all(text.isascii() and text.isdigit() for text in numbers):
        raise BadInput(f"cursor {cursor!r:.80} is invalid: use the cursor of an earlier page")
    return tuple(min(int(text), 2**63 - 1) for text in numbers)
