"""The chain of audit rows: the digest of each, and the check for changed and missing rows."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Final

from hms_svc.domain.audit_heads import SealedChain
from hms_svc.domain.strict_json import encode_sorted
from hms_svc.domain.views import AuditFault, AuditRecord

_TEXTS: Final = {
    "changed": "the row was changed after it was sealed: compare it with a backup",
    "missing": "a row is missing here: look for it in a backup",
}


def chained(previous: str, record: AuditRecord) -> str:
    """Return the digest of a row after the one with the digest `previous` (empty at the start)."""
    own = {
        "number": record.number,
        "at": record.at,
        "actor": record.actor,
        "action": record.action,
        "subject": record.subject,
        "detail": record.detail.decode(errors="backslashreplace"),
    }
    return hashlib.sha256(previous.encode() + encode_sorted(own)).hexdigest()


class AuditWalk:
    """Takes the sealed rows in the order of their links, and collects their faults.

    `links` are those whose digests are returned. With `gapless`, a missing number between
    two rows means that a row was removed before it was sealed. After a gap the check
    continues at the next row, whose own digest cannot be checked.
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
        """Check the next rows, which follow those of the previous call."""
        for record in records:
            self._check(record)

    def finish(self) -> SealedChain:
        """Return the chain with the faults of its rows."""
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
        # If a row was changed, the next row was chained either to its digest or to its content.
        self._previous = (record.digest, digests[0])
        self.link, self._number = link, record.number

    def _fault(self, link: int, fault: str) -> None:
        self._faults.append(AuditFault(link, fault, _TEXTS[fault]))
