"""The nine states and the table of transitions."""

from __future__ import annotations

from hms_svc.domain.lifecycle import TERMINAL, TRANSITIONS, WAITING, State, Trigger


def test_every_state_has_its_row() -> None:
    assert set(TRANSITIONS) == {None, *State}


def test_only_an_operator_takes_a_job_out_of_a_terminal_state() -> None:
    for state in TERMINAL:
        for triggers in TRANSITIONS[state].values():
            assert triggers <= {Trigger.OPERATOR, Trigger.UNDONE}


def test_completed_is_final() -> None:
    assert TRANSITIONS[State.COMPLETED] == {}


def test_only_a_claim_makes_a_job_processing() -> None:
    sources = {source for source, targets in TRANSITIONS.items() if State.PROCESSING in targets}
    assert sources == {State.QUEUED}
    assert TRANSITIONS[State.QUEUED][State.PROCESSING] == {Trigger.CLAIMED}


def test_every_state_can_be_reached_and_every_live_one_left() -> None:
    assert {target for targets in TRANSITIONS.values() for target in targets} == set(State)
    assert all(TRANSITIONS[state] for state in set(State) - TERMINAL)


def test_every_trigger_is_of_some_transition() -> None:
    used = {
        trigger
        for targets in TRANSITIONS.values()
        for triggers in targets.values()
        for trigger in triggers
    }
    assert used == set(Trigger)


def test_states_wait_run_or_are_done() -> None:
    assert WAITING | TERMINAL | {State.PROCESSING} == set(State)
    assert not WAITING & TERMINAL
