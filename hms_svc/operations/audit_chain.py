"""Verification of the audit record against the heads that the broker keeps."""

from __future__ import annotations

from typing import Final

import msgspec

from hms_svc.domain.audit_heads import (
    AuditHead,
    HeadSigner,
    KeptHeads,
    SealedChain,
    event_of,
    head_of,
    judge,
)
from hms_svc.domain.errors import BadInput, BrokerUnavailable, Refused
from hms_svc.domain.event import AUDIT_SEALED
from hms_svc.domain.views import AuditFault
from hms_svc.operations.action_table import AUDITED
from hms_svc.operations.journal import Journal
from hms_svc.operations.reads import Reads
from hms_svc.ports.bus import Bus

ACTION: Final = AUDITED["accept"]
_TRIES: Final = 3
_FLEETING: Final = (
    "the broker memory:// ends with its process, and loses the heads of the chain: nothing outside "
    "the database proves these rows; set broker_url to a file or to Redis"
)


class HeadStatus(msgspec.Struct, frozen=True):
    """The newest kept head, and the end of the chain; `lasting` is False for a broker within one process.

    `contained` is whether the chain contains that head.
    """

    newest: AuditHead | None
    chain_link: int
    contained: bool
    lasting: bool


class AuditChain:
    """Verifies the chain, reports its heads, and lets an operator accept a new one.

    `lasting` is False for a broker that ends with its process.
    """

    def __init__(
        self, *, bus: Bus, reads: Reads, journal: Journal, signer: HeadSigner, lasting: bool
    ) -> None:
        self._bus = bus
        self._reads = reads
        self._journal = journal
        self._signer = signer
        self._lasting = lasting

    async def verify(self) -> list[AuditFault]:
        """Walk the chain, compare it with every kept head, and return all faults.

        A record without rows and without a kept head has no fault.
        """
        kept, audit = await self._kept(), self._reads.database.audit
        chain = await audit.verify([head.link for head in kept.all])
        if kept == KeptHeads() and not await audit.records(limit=1, cursor=None):
            return []
        found = judge(kept, chain, self._signer)
        return [*chain.faults, *(found if self._lasting else map(_fleeting, found))]

    async def status(self) -> HeadStatus:
        """Return whether a head is kept, and whether the chain contains it. The work is bounded."""
        kept = await self._kept()
        newest = kept.newest
        chain = await self._reads.database.audit.sealed_chain([newest.link] if newest else [])
        return HeadStatus(
            newest=newest,
            chain_link=chain.link,
            contained=newest is not None and chain.contains(newest),
            lasting=self._lasting,
        )

    async def accept(self, *, note: str) -> AuditHead:
        """Accept the chain as right: its end becomes the head, and objections are dropped.

        Heads of earlier days that the chain contains are kept. Raises BadInput without a note, and
        Refused if the kept heads are signed and there is no key here.
        """
        self._journal.check_allowed(ACTION)
        if not note.strip():
            raise BadInput(
                "audit accept requires --reason: state what the record was compared with"
            )
        for _ in range(_TRIES):
            kept = await self._bus.audit_anchor.heads()
            if not self._signer.key and any(head.signature for head in kept.all):
                raise Refused(
                    "the kept heads are signed: set audit_key, then run audit accept again"
                )
            links = [head.link for head in kept.all]
            chain = await self._reads.database.audit.sealed_chain(links)
            if (head := await self._replace(kept, chain, note)) is not None:
                return head
        raise BrokerUnavailable("the kept head changed each time: try again")

    async def _replace(self, kept: KeptHeads, chain: SealedChain, note: str) -> AuditHead | None:
        now = self._journal.now_ms()
        head = self._signer.sign(AuditHead(link=chain.link, digest=chain.digest, at=now))
        found = judge(kept, chain, self._signer) if chain.link else []
        detail = {
            "note": note,
            "link": head.link,
            "digest": head.digest,
            "before": None if kept.newest is None else msgspec.to_builtins(kept.newest),
            "findings": [f"link {fault.link}: {fault.fault}" for fault in found],
        }
        await self._journal.intend(ACTION, "audit", detail)
        daily = [each for each in kept.daily if self._is_sound(each, chain)]
        done = await self._bus.audit_anchor.replace(head, daily, over=kept.newest)
        if done and head.link:
            await self._bus.publish([event_of(head, f"{head.link}:{head.digest}:accepted:{now}")])
        await self._journal.conclude(ACTION, [("audit", {"link": head.link, "done": done})])
        return head if done else None

    def _is_sound(self, head: AuditHead, chain: SealedChain) -> bool:
        return chain.contains(head) and (not self._signer.key or self._signer.has_signed(head))

    async def _kept(self) -> KeptHeads:
        """Return the kept heads; if an older program kept none, the one that the bus has."""
        kept = await self._bus.audit_anchor.heads()
        if kept.newest is not None:
            return kept
        announced = head_of(await self._bus.latest(AUDIT_SEALED))
        return msgspec.structs.replace(kept, newest=announced)


def _fleeting(fault: AuditFault) -> AuditFault:
    return AuditFault(fault.link, fault.fault, _FLEETING) if fault.fault == "no head" else fault
