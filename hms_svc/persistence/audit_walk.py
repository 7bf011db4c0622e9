"""Walking the audit chain: which rows were changed, which are missing, whether the end was cut."""

from __future__ import annotations

from collections.abc import Sequence

from hms_svc.domain.views import AuditFault, AuditRecord
from hms_svc.persistence.audit import chained


class AuditWalk:
    """Takes the sealed rows in the order of their links, and collects what does not hold.

    `gapless` says that a number between two rows that is missing was removed
    before it could be sealed. After a gap the chain is taken up again at the
    next row, whose own digest cannot be checked then.
    """

    def __init__(self, published_head: tuple[int, str] | None, *, gapless: bool) -> None:
        self._published = published_head
        self._gapless = gapless
        self._previous = ("", "")
        self._number: int | None = None
        self._head_digest: str | None = None
        self.link = 0
        self.faults: list[AuditFault] = []

    def take(self, records: Sequence[AuditRecord]) -> None:
        """Check the next rows; each begins where the last call ended."""
        for record in records:
            self._check(record)

    def finish(self) -> list[AuditFault]:
        """Compare with the head that was published, and give all faults."""
        if self._published is not None:
            link, digest = self._published
            if self.link < link or (self._head_digest or digest) != digest:
                self._fault(link, "truncated")
        return self.faults

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
        if self._published is not None and link == self._published[0]:
            self._head_digest = record.digest
        # Where a row was changed, its digest or its content is the one that the next row knows.
        self._previous = (record.digest, digests[0])
        self.link, self._number = link, record.number

    def _fault(self, link: int, fault: str) -> None:
        self.faults.append(AuditFault(link, fault))
