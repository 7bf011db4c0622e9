"""The nine states and their table of moves."""

from __future__ import annotations

from hms_svc.domain.lifecycle import MOVES, TERMINAL, WAITING, Cause, State, may_move


def test_every_state_has_its_row() -> None:
    assert set(MOVES) == {None, *State}


def test_only_an_operator_takes_a_job_out_of_a_terminal_state() -> None:
    for state in TERMINAL:
        for causes in MOVES[state].values():
            assert causes <= {Cause.OPERATOR, Cause.UNDONE}


def test_completed_is_final() -> None:
    assert MOVES[State.COMPLETED] == {}


def test_only_a_claim_makes_a_job_processing() -> None:
    sources = {source for source, targets in MOVES.items() if State.PROCESSING in targets}
    assert sources == {State.QUEUED}
    assert MOVES[State.QUEUED][State.PROCESSING] == {Cause.CLAIMED}


def test_every_state_can_be_reached_and_every_live_one_left() -> None:
    assert {target for targets in MOVES.values() for target in targets} == set(State)
    assert all(MOVES[state] for state in set(State) - TERMINAL)


def test_every_cause_moves_something() -> None:
    used = {cause for targets in MOVES.values() for causes in targets.values() for cause in causes}
    assert used == set(Cause)


def test_states_wait_run_or_are_done() -> None:
    assert WAITING | TERMINAL | {State.PROCESSING} == set(State)
    assert not WAITING & TERMINAL


def test_may_move_reads_the_table() -> None:
    assert may_move(None, State.QUEUED)
    assert may_move(State.HELD, State.QUEUED)
    assert not may_move(State.COMPLETED, State.QUEUED)
    assert not may_move(State.HELD, State.COMPLETED)
