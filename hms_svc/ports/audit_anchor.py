"""The external anchor of the audit chain: published heads, stored outside of the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hms_svc.domain.audit_heads import AuditHead, Doubt, KeptHeads


class AuditAnchor(Protocol):
    """Stores heads of the audit chain in the broker; no retention applies to them.

    They are lost only with the broker's own data. It keeps at most the newest head, the last
    head of each of 90 earlier days, and 16 doubts.
    """

    async def heads(self) -> KeptHeads:
        """Return all stored heads. Unreadable ones are counted and never raise."""
        ...

    async def keep(self, head: AuditHead, *, over: AuditHead | None) -> bool:
        """Store a head as the newest, durably, if `over` is the newest now; return False if it is not.

        `over` is the head that the caller compared its chain with, None if nothing is stored.
        Nothing is written if the link is below that of the newest, or is the same with another
        digest. The previous head is kept as that of its day if the new one is of another day.
        Repeating the call with the same head returns True and changes nothing.
        """
        ...

    async def doubt(self, doubt: Doubt) -> None:
        """Store evidence of tampering, once for each found link and digest; the first 16 are kept."""
        ...

    async def replace(
        self, head: AuditHead, daily: Sequence[AuditHead], *, over: AuditHead | None
    ) -> bool:
        """Replace all stored heads and doubts; return False if `over` is not the newest.

        Unreadable heads are replaced too. This is the only way back to a lower link, for operators.
        """
        ...
