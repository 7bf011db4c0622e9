"""The table of actions: what it says about each agrees with the enumerations that the engines know."""

from __future__ import annotations

import pytest

from hms_svc.domain.case import CaseStatus
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import WorkerState
from hms_svc.operations.action_table import (
    ACTIONS,
    BY_NAME,
    ON_CASES,
    ON_JOBS,
    ON_WORKERS,
    SCOPE,
    OperatorAction,
)
from hms_svc.operations.tokens import Scope
from hms_svc.ports.control import UNDOABLE, Act


def test_it_has_each_act_on_jobs_and_each_state_of_workers_and_cases() -> None:
    assert set(ON_JOBS) == set(Act)
    assert set(ON_WORKERS) == set(WorkerState)
    assert set(ON_CASES) == set(CaseStatus)
    assert Scope(SCOPE) is Scope.OPERATE


def test_it_says_that_undo_reverts_what_the_engines_can_revert() -> None:
    undone = {name for name, action in ON_JOBS.items() if action.undone_by == "undo"}
    assert undone == UNDOABLE


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_every_action_is_described_once_and_completely(action: OperatorAction) -> None:
    assert BY_NAME[action.name] is action
    assert action.help.endswith(".")
    assert action.undone_by in {"", *BY_NAME}
    assert not (action.undone_by and action.is_final)
    statuses = set(CaseStatus) if action.on == "case" else set(State)
    assert action.states <= statuses


def test_a_final_action_says_so_in_its_help_and_in_its_question() -> None:
    erase = BY_NAME["erase"]
    assert erase.reversal == "This cannot be undone."
    assert erase.asked("2 jobs") == "erase the data of 2 jobs permanently? This cannot be undone."
    assert BY_NAME["retry"].asked("2 jobs") == "retry 2 jobs?"
    assert BY_NAME["retry"].title_of("2 jobs") == "Retry 2 jobs"
    assert BY_NAME["discard"].reversal == "This can be undone for a limited time."
