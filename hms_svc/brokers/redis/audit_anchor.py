"""Heads of the audit chain in one hash, to which no retention applies."""

from __future__ import annotations

from collections.abc import Sequence

from hms_svc.brokers import audit_heads as lines
from hms_svc.brokers.redis import bus_calls
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
        mark = lines.mark_of(over)
        return await self._link.run(
            bus_calls.keep_head(lines.head_line(head), over=mark, days=DAYS_KEPT)
        )

    async def doubt(self, doubt: Doubt) -> None:
        """Store evidence, up to its limit."""
        name, line = lines.doubt_name(doubt), lines.doubt_line(doubt)
        await self._link.run(bus_calls.doubt_head(name, line, most=DOUBTS_KEPT))

    async def replace(
        self, head: AuditHead, daily: Sequence[AuditHead], *, over: AuditHead | None
    ) -> bool:
        """Replace all stored heads."""
        further = [(lines.day_name(each), lines.head_line(each)) for each in daily]
        line, mark = lines.head_line(head), lines.mark_of(over)
        return await self._link.run(bus_calls.replace_heads(line, over=mark, further=further))
