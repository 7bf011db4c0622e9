"""The filter of the list of cases. Pure."""

from __future__ import annotations

from hms_svc.domain.case import CaseStatus
from hms_svc.domain.errors import BadInput
from hms_svc.tui.table import server_terms


def read_case_query(text: str) -> tuple[CaseStatus | None, str | None, str]:
    """Parse `state:open kind:pothole words` into state, kind and the remaining words.

    Raise BadInput for an unknown state, and for `-kind:`.
    """
    terms, row_filter = server_terms(text, ("state", "kind"))
    state, kind = terms.get("state"), terms.get("kind")
    if kind is not None and kind.startswith("-"):
        raise BadInput("kind: names one kind, which cannot be left out")
    if state is None:
        return None, kind, row_filter
    named = [each for each in CaseStatus if each.value == state.removeprefix("-")]
    if not named:
        raise BadInput(f"no state {state!r}; there are: {', '.join(CaseStatus)}")
    [other] = [each for each in CaseStatus if each is not named[0]]
    return (other if state.startswith("-") else named[0]), kind, row_filter
