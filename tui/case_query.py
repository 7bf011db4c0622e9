"""What is typed to narrow the list of cases. Pure."""

from __future__ import annotations

from hms_svc.domain.case import CaseStatus
from hms_svc.domain.errors import BadInput
from hms_svc.tui.table import asked_of_server


def read_case_query(text: str) -> tuple[CaseStatus | None, str | None, str]:
    """Read `state:open kind:pothole words`: the state and the kind that the server is asked for, and the other words.

    Raises BadInput for a state that there is not, and for `-kind:`.
    """
    terms, words = asked_of_server(text, ("state", "kind"))
    state, kind = terms.get("state"), terms.get("kind")
    if kind is not None and kind.startswith("-"):
        raise BadInput("kind: names one kind, which cannot be left out")
    if state is None:
        return None, kind, words
    named = [each for each in CaseStatus if each.value == state.removeprefix("-")]
    if not named:
        raise BadInput(f"no state {state!r}; there are: {', '.join(CaseStatus)}")
    [other] = [each for each in CaseStatus if each is not named[0]]
    return (other if state.startswith("-") else named[0]), kind, words
