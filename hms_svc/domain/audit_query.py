"""Which audit rows are requested."""

from __future__ import annotations

from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.domain.views import AuditRecord

ROWS_EXAMINED_BY_PAGE: Final = 20_000
"""Rows that one page examines if no index serves the query."""
IN_BATCH: Final = "in_batch"
"""In the detail of a row about one job: the action was applied to many, whose rows have the batch as their subject."""


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Audit rows about one `subject`, by an `actor`, of an `action`; empty is any.

    `actor` and `action` may end with `*`, and begin with `-`, which excludes what they name. `folded`
    leaves out the rows about each job of an action that was applied to many: the row of its batch remains.
    Raises BadInput for a `*` elsewhere.
    """

    subject: str = ""
    actor: str = ""
    action: str = ""
    folded: bool = False

    def __post_init__(self) -> None:
        """Check the patterns."""
        for name in ("actor", "action"):
            given: str = getattr(self, name)
            if "*" in given[:-1] or given in {"-", "-*"}:
                raise BadInput(f"{name} {given!r} is not a name with at most one * at its end")

    @property
    def is_served(self) -> bool:
        """Whether an index finds the rows, or all match."""
        return bool(self.subject) or not (self.actor or self.action or self.folded)


class AuditPage(msgspec.Struct, frozen=True):
    """Audit rows, newest first; `cursor` continues them, None at the end, however few they are."""

    records: tuple[AuditRecord, ...]
    cursor: str | None


EVERY_ROW: Final = AuditQuery()
