"""The witness of the audit record: published heads, kept where the database cannot reach them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hms_svc.domain.audit_heads import AuditHead, Doubt, KeptHeads


class AuditAnchor(Protocol):
    """Keeps heads of the audit chain beside the bus, outside of every retention.

    They go only with the broker's own data. At most the newest head, the last
    head of each of 90 earlier days, and 16 doubts are kept.
    """

    async def heads(self) -> KeptHeads:
        """Return all that is kept. What cannot be read is counted, and never raises."""
        ...

    async def keep(self, head: AuditHead, *, over: AuditHead | None) -> bool:
        """Make a head the newest, durably, where `over` is the newest now; False where it is not.

        `over` is what the caller held its chain against, None where nothing is
        kept. Nothing is written where the link is below that of the newest, or
        where it is the same with another digest. The head before stays as that
        of its day where the new one is of another day. Again with the same head
        it is True, and changes nothing.
        """
        ...

    async def doubt(self, doubt: Doubt) -> None:
        """Keep evidence against the record, once for each found link and digest; the first 16 stay."""
        ...

    async def replace(
        self, head: AuditHead, daily: Sequence[AuditHead], *, over: AuditHead | None
    ) -> bool:
        """Put these heads in the place of all that is kept, doubts too; False where `over` is not the newest.

        What cannot be read is replaced as well. The one way back to a lower link: an operator's.
        """
        ...
