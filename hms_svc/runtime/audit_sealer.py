"""Chains committed audit rows and publishes the head of the chain, so that tampering is detected."""

from __future__ import annotations

from typing import Final

import msgspec

from hms_svc.domain.audit_heads import (
    AuditHead,
    HeadSigner,
    KeptHeads,
    SealedChain,
    doubt_about,
    event_of,
    head_of,
    objections,
)
from hms_svc.domain.event import AUDIT_SEALED, Event
from hms_svc.domain.views import AuditFault
from hms_svc.ports.bus import Bus
from hms_svc.ports.clock import Clock
from hms_svc.ports.stores import AuditStore
from hms_svc.runtime.loop import Service, log

CHECK_MS: Final = 60_000
REPEAT_ERROR_MS: Final = 3_600_000


class AuditSealer(Service):
    """Seals new rows every second; publishes the head after each seal, and once a day.

    Once a minute, and at each seal, the chain is compared with the head that the broker
    stores. If it does not contain that head, rows are still sealed, the stored head stays,
    and an error is logged every hour.
    """

    def __init__(self, audit: AuditStore, bus: Bus, clock: Clock, signer: HeadSigner) -> None:
        super().__init__(interval_seconds=1.0)
        self._audit = audit
        self._bus = bus
        self._clock = clock
        self._signer = signer
        self._has_started = False
        self._examined_at: int | None = None
        self._reported_at = 0
        self._unsent: Event | None = None

    def wake(self) -> None:
        """Ignore wake-ups: rows are sealed in groups, once a second."""

    async def run_once(self) -> None:
        """Seal the rows committed since the last round, and publish the head if it is due."""
        if not self._has_started:
            # Publishing the empty chain before its first seal leaves no row unproven.
            await self._check()
            self._has_started = True
        sealed = await self._audit.seal()
        if sealed is not None or not self._has_checked_lately():
            self._examined_at = None
            await self._check()

    def _has_checked_lately(self) -> bool:
        examined_at = self._examined_at
        return examined_at is not None and 0 <= self._clock.now_ms() - examined_at < CHECK_MS

    async def _check(self) -> None:
        await self._send()
        kept = await self._bus.audit_anchor.heads()
        expected = kept.newest or head_of(await self._bus.latest(AUDIT_SEALED))
        chain = await self._audit.sealed_chain([expected.link] if expected else [])
        held = msgspec.structs.replace(kept, newest=expected)
        if found := objections(held, chain, self._signer):
            await self._report_faults(held, chain, found)
        else:
            await self._publish(kept, held, chain)
            self._reported_at = 0
        self._examined_at = self._clock.now_ms()

    async def _publish(self, kept: KeptHeads, held: KeptHeads, chain: SealedChain) -> None:
        now, newest = self._clock.now_ms(), held.newest
        unproven = chain.link if newest is None else newest.unproven
        bare = AuditHead(link=chain.link, digest=chain.digest, at=now, unproven=unproven)
        head = self._signer.sign(bare)
        if newest is not None and kept.newest is not None and not _is_due(head, newest):
            return
        if await self._bus.audit_anchor.keep(head, over=kept.newest) and head.link:
            again = newest is not None and newest.link == head.link
            key = f"{head.link}:{head.digest}"
            signed = ":signed" if head.signature else ""
            self._unsent = event_of(head, f"{key}:{head.day}{signed}" if again else key)
            await self._send()

    async def _send(self) -> None:
        if self._unsent is not None:
            await self._bus.publish([self._unsent])
            self._unsent = None

    async def _report_faults(
        self, held: KeptHeads, chain: SealedChain, found: list[AuditFault]
    ) -> None:
        now = self._clock.now_ms()
        if held.newest is not None and not chain.contains(held.newest):
            await self._bus.audit_anchor.doubt(doubt_about(held.newest, chain, now))
        if 0 <= now - self._reported_at < REPEAT_ERROR_MS:
            return
        self._reported_at = now
        for fault in found:
            log.error("audit: link %d: %s: %s", fault.link, fault.fault, fault.text)
        log.error("audit: rows are still sealed, but no head is published over the stored one")


def _is_due(head: AuditHead, newest: AuditHead) -> bool:
    """Return whether the head has more rows than the newest, or is of a later day."""
    return head.link > newest.link or head.day > newest.day
