"""Keep groups of failures for some seconds after their last job has left, so that rows do not flicker at each attempt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hms_svc.domain.views import FailureGroup

RECENT_MS: Final = 10_000


class RecentGroups:
    """Remembers recent groups of retrying jobs; bounded by the number of groups that a broker keeps."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, FailureGroup]] = {}

    def take(self, groups: Sequence[FailureGroup], at: int) -> tuple[FailureGroup, ...]:
        """Return the groups at a time (Unix ms), followed by those that became empty recently, with a count of 0."""
        present = {group.id for group in groups}
        kept = {
            id: (seen_at, group)
            for id, (seen_at, group) in self._seen.items()
            if id not in present and 0 <= at - seen_at < RECENT_MS
        }
        left = [msgspec.structs.replace(group, count=0, next_at=None) for _, group in kept.values()]
        self._seen = kept | {each.id: (at, each) for each in groups if each.next_at is not None}
        return (*groups, *left)
