"""Walking the audit chain: which rows were changed, and which are missing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from hms_svc.domain.audit_heads import SealedChain
from hms_svc.domain.views import AuditFault, AuditRecord
from hms_svc.persistence.audit import chained

_TEXTS: Final = {
    "changed": "the row is not the one that was sealed: compare it with a backup",
    "missing": "a row that stood here is gone: look for it in a backup",
}


class AuditWalk:
    """Takes the sealed rows in the order of their links, and collects what does not hold.

    `links` are those whose digests are wanted. `gapless` says that a number
    between two rows that is missing was removed before it could be sealed. After
    a gap the chain is taken up again at the next row, whose own digest cannot
    be checked then.
    """

    def __init__(self, links: Collection[int], *, gapless: bool) -> None:
        self._wanted = frozenset(links)
        self._gapless = gapless
        self._previous = ("", "")
        self._number: int | None = None
        self._digests: dict[int, str] = {}
        self._faults: list[AuditFault] = []
        self.link = 0

    def take(self, records: Sequence[AuditRecord]) -> None:
        """Check the next rows; each begins where the last call ended."""
        for record in records:
            self._check(record)

    def finish(self) -> SealedChain:
        """Return the chain with all faults of its rows."""
        return SealedChain(
            link=self.link,
            digest=self._previous[0],
            digests=self._digests,
            faults=tuple(self._faults),
        )

    def _check(self, record: AuditRecord) -> None:
        link = record.link or 0
        digests = [chained(previous, record) for previous in self._previous]
        if link != self.link + 1:
            self._fault(self.link + 1, "missing")
        else:
            if record.digest not in digests:
                self._fault(link, "changed")
            if self._gapless and record.number > (self._number or 0) + 1:
                self._fault(link, "missing")
        if link in self._wanted:
            self._digests[link] = record.digest
        # Where a row was changed, its digest or its content is the one that the next row knows.
        self._previous = (record.digest, digests[0])
        self.link, self._number = link, record.number

    def _fault(self, link: int, fault: str) -> None:
        self._faults.append(AuditFault(link, fault, _TEXTS[fault]))
