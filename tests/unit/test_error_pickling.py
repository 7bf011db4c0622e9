"""Errors that go from one process to another."""

from __future__ import annotations

import pickle

import pytest

from hms_svc.domain.errors import (
    ActionHeld,
    BatchClosed,
    DuplicateCase,
    FieldFault,
    HmsError,
    JobDead,
    JobNotEnded,
    MalformedJob,
)


@pytest.mark.parametrize(
    "error",
    [
        HmsError("it is so"),
        MalformedJob("no job", "data", [FieldFault("data", "too large")]),
        DuplicateCase("near", case_id="c-1"),
        ActionHeld("wait", action="close_road", rule="roads", digest="d"),
        JobNotEnded("not yet", job_id="j", state="queued"),
        JobDead("dead", job_id="j", type="a", reason="error", by="handler", detail="boom"),
        BatchClosed("closed", batch_id="b", left_out=3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_as_it_was_sent(error: HmsError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))
