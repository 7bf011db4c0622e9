"""The rows of the audit list: a bulk action is one row. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hms_svc.domain.audit_query import AuditQuery
from hms_svc.domain.errors import BadInput
from hms_svc.domain.plain_text import plural
from hms_svc.domain.strict_json import decode
from hms_svc.domain.views import AuditRecord
from hms_svc.tui import formats as f
from hms_svc.tui.table import server_terms
from hms_svc.tui.text import Row, cell

MOST_DETAIL: Final = 100_000
BATCH: Final = "batch:"
_OLDER_TERMS: Final = {"act": "action", "to": "subject"}


class Folded(msgspec.Struct, frozen=True):
    """One row of the list: a single record, or the records of a bulk action, newest first."""

    records: tuple[AuditRecord, ...]

    @property
    def newest(self) -> AuditRecord:
        """The newest record."""
        return self.records[0]

    @property
    def key(self) -> str:
        """The batch, or the number of the record."""
        newest = self.newest
        return f"{newest.action} {newest.subject}" if self.is_batch else str(newest.number)

    @property
    def is_batch(self) -> bool:
        """Whether the row is a bulk action."""
        return self.newest.subject.startswith(BATCH)


def fold(records: Iterable[AuditRecord]) -> list[Folded]:
    """Group the records of each bulk action at the place of its newest record."""
    found: dict[tuple[str, str] | int, list[AuditRecord]] = {}
    for record in records:
        is_batch = record.subject.startswith(BATCH)
        key = (record.action, record.subject) if is_batch else record.number
        found.setdefault(key, []).append(record)
    return [Folded(tuple(each)) for each in found.values()]


def read_audit_query(text: str) -> tuple[AuditQuery, str]:
    """Parse `actor:ann -action:case.* subject:ID words` into the server's query and the remaining words.

    Raise BadInput for a term that is given twice, and for `-subject:`.
    """
    terms, row_filter = server_terms(text, ("actor", "action", "subject"), _OLDER_TERMS)
    subject = terms.get("subject", "")
    if subject.startswith("-"):
        raise BadInput("subject: names one job, case, queue or batch, which cannot be left out")
    query = AuditQuery(
        actor=terms.get("actor", ""),
        action=terms.get("action", ""),
        subject=subject,
        folded=not subject,
    )
    return query, row_filter


def detail_of(record: AuditRecord) -> dict[str, object]:
    """Return the detail of a record; an empty dict if it is too long or not an object."""
    described = decode(record.detail) if len(record.detail) <= MOST_DETAIL else {}
    return dict(described) if isinstance(described, dict) else {}


def counts_of(records: Sequence[AuditRecord]) -> tuple[int, int]:
    """Return for how many jobs a bulk action succeeded and failed."""
    details = [detail_of(record) for record in records]
    done, failed = ([each.get(name) for each in details] for name in ("done", "not_done"))
    return _sum(done), _sum(failed)


def _sum(numbers: Iterable[object]) -> int:
    return sum(number for number in numbers if type(number) is int)


def audit_text(record: AuditRecord) -> str:
    """Describe an audit record: intent or outcome, the number of jobs, the note and the query."""
    described = detail_of(record)
    if not described:
        return record.detail[:MOST_DETAIL].decode(errors="replace")
    jobs = described.pop("jobs", ())
    parts = [str(described.pop("phase", ""))]
    parts += [plural(len(jobs), "job")] if isinstance(jobs, list) and len(jobs) > 1 else []
    described.pop("batch", None)
    parts += [f"{name}: {value}" for name, value in described.items() if value not in ("", None)]
    return ", ".join(part for part in parts if part)


def batch_text(records: Sequence[AuditRecord]) -> str:
    """Describe a bulk action: for how many jobs it succeeded, its note and its query."""
    done, failed = counts_of(records)
    parts = (
        [f"{plural(done, 'job')} done"] if done or failed else ["intent, outcome not recorded yet"]
    )
    parts += [f"{f.number(failed)} not"] if failed else []
    first = detail_of(records[-1])
    parts += [f"{name}: {first[name]}" for name in ("note", "where") if first.get(name)]
    return ", ".join(parts)


def audit_rows(folded: Iterable[Folded]) -> list[Row]:
    """Return the rows of the audit list."""
    return [
        Row(
            key=each.key,
            cells=(
                cell(f.clock(each.newest.at), "dim", rank=each.newest.number),
                cell(each.newest.actor, "strong"),
                cell(each.newest.action, "accent"),
                cell(each.newest.subject),
                cell(batch_text(each.records) if each.is_batch else audit_text(each.newest)),
                cell(
                    "" if each.newest.link is None else each.newest.link,
                    "dim",
                    rank=each.newest.link,
                ),
            ),
        )
        for each in folded
    ]
