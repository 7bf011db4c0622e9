"""What a batch adds to an explanation: of its jobs, and of those that are to follow and are not made."""

from __future__ import annotations

from hms_svc.domain.batches import BatchState, BatchView, FollowUp
from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.domain.plain_text import plural
from hms_svc.domain.views import JobView
from hms_svc.operations.action_table import BY_NAME


def job_clause(view: JobView, batch: BatchView | None) -> str:
    """Return what the batch of a job adds to the sentence about it, empty if it has none."""
    if batch is None:
        return ""
    not_made = [each for each in batch.follow_ups if not each.is_made]
    is_reason = view.state in TERMINAL and view.state is not State.COMPLETED
    if is_reason and not_made and batch.state is BatchState.STOPPED:
        return f"; because of it batch {batch.id} was stopped before {_named(not_made)}"
    return f"; it belongs to batch {batch.id}, of which {_ended(batch)}"


def not_made_yet(job_id: str, batch: BatchView) -> str:
    """Return the sentence about a job that a batch is to make."""
    type = next((each.type for each in batch.follow_ups if each.id == job_id), "")
    job = f"Job {job_id} ({type})"
    match batch.state:
        case BatchState.OPEN:
            return (
                f"{job} is to follow batch {batch.id}, of which not all jobs are accepted yet: "
                "its producer has not finished the submission, or must submit it again; "
                f"{BY_NAME['close-batch'].command_line(batch.id)} continues without the rest."
            )
        case BatchState.STOPPED:
            failed = plural(batch.failed, "job")
            return (
                f"{job} was not made: batch {batch.id} was stopped before it, because {failed} of it did not complete; "
                f"retry what hms-svc jobs list --where 'batch:{batch.id} -state:completed' shows, "
                "and it follows when all have completed."
            )
    return f"{job} is not made yet: it is to follow batch {batch.id}, of which {_ended(batch)}."


def _ended(batch: BatchView) -> str:
    verb = "has" if batch.ended == 1 else "have"
    return f"{batch.ended:,} of {plural(batch.total, 'job')} {verb} ended"


def _named(jobs: list[FollowUp]) -> str:
    shown = ", ".join(f"{each.id} ({each.type})" for each in jobs[:3])
    return f"{shown} and {len(jobs) - 3} more" if len(jobs) > 3 else shown
