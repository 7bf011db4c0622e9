"""Heads of the audit chain in one hash, to which no retention applies."""

from __future__ import annotations

from collections.abc import Sequence

from hms_svc.brokers import audit_heads as lines
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.audit_heads import DAYS_KEPT, DOUBTS_KEPT, AuditHead, Doubt, KeptHeads


class RedisAuditAnchor:
    """Implements `ports.audit_anchor.AuditAnchor`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def heads(self) -> KeptHeads:
        """Read the hash."""
        found = await self._link.ask("HGETALL", self._link.keys.ours("audit", "heads"))
        return lines.read_heads(
            {
                name.decode(errors="replace"): line.decode(errors="replace")
                for name, line in found.items()
            }
        )

    async def keep(self, head: AuditHead, *, over: AuditHead | None) -> bool:
        """Make a head the newest if `over` is the newest now."""
        arguments = (lines.mark_of(over), lines.head_line(head), DAYS_KEPT)
        return bool(await self._link.run("audit_heads", "keep", *arguments))

    async def doubt(self, doubt: Doubt) -> None:
        """Store evidence, up to its limit."""
        arguments = (lines.doubt_name(doubt), lines.doubt_line(doubt), DOUBTS_KEPT)
        await self._link.run("audit_heads", "doubt", *arguments)

    async def replace(
        self, head: AuditHead, daily: Sequence[AuditHead], *, over: AuditHead | None
    ) -> bool:
        """Replace all stored heads."""
        arguments = [
            argument for each in daily for argument in (lines.day_name(each), lines.head_line(each))
        ]
        marks = (lines.mark_of(over), lines.head_line(head))
        return bool(await self._link.run("audit_heads", "replace", *marks, *arguments))
