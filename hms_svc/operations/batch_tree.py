"""A batch with some of its jobs, for a page that shows it as a tree."""

from __future__ import annotations

from typing import Final

import msgspec

from hms_svc.domain.batches import BatchView
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.views import JobView
from hms_svc.ports.inspection import Inspection

MOST_SHOWN: Final = 20


class BatchTree(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, some of its members, and by id those of the jobs that follow which are known.

    `more` members are not among them.
    """

    view: BatchView
    members: tuple[JobView, ...]
    following: dict[str, JobView]
    more: int


async def read_tree(inspection: Inspection, batch_id: str) -> BatchTree | None:
    """Return the tree of a batch, None if it is unknown."""
    view = await inspection.batch(batch_id)
    if view is None:
        return None
    follow_ups = [each.id for each in view.follow_ups if each.is_made][-MOST_SHOWN:]
    made = await inspection.details(follow_ups)
    following = {detail.view.id: detail.view for detail in made if detail is not None}
    where = parse_filter(f'batch:"{batch_id}"')
    page = await inspection.page(where, limit=MOST_SHOWN + len(following), cursor=None)
    members = [job for job in page.jobs if job.id not in following][:MOST_SHOWN]
    return BatchTree(
        view=view,
        members=tuple(members),
        following=following,
        more=max(0, view.members - len(members)),
    )
