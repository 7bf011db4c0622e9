"""Documents of jobs: forms, places of faults, and what options add."""

from __future__ import annotations

import pytest

from hms_svc.domain.errors import BadInput
from hms_svc.domain.job import Job
from hms_svc.operations.intake import (
    Draft,
    Faults,
    SubmissionOptions,
    make_jobs,
    read_assignment,
    read_assignments,
    read_document,
)

NOW = 1_800_000_000_000


def read(raw: bytes) -> list[Draft]:
    faults = Faults()
    drafts = read_document("f", raw, faults)
    faults.check()
    return drafts


def shape(value: bytes, **options: object) -> list[Job]:
    (draft,) = read(value)
    return list(make_jobs(draft, SubmissionOptions(**options), NOW))  # type: ignore[arg-type]  # options of any name and type


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (b'{"type":"x","data":1}', 1),
        (b'\n\n{\n"type":"x",\n"data":1\n}\n', 1),
        (b'[{"type":"x","data":1},{"type":"y","data":2}]', 2),
        (b'{"type":"x","data":1}\n\n{"type":"y","data":2}\n', 2),
        (b'[{"type":"x","data":1}]\r\n[{"type":"y","data":2}]\r\n', 2),
    ],
)
def test_reads_objects_arrays_and_lines(raw: bytes, count: int) -> None:
    assert len(read(raw)) == count


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"type":"x","data":1}\n{"type":\n', "f:2: not JSON"),
        (b'{"a":NaN}\n{"type":"x","data":1}', "f:1: NaN"),
        (b"[1,\n2,,]", "f:2: not JSON"),
        (b'[{"type":"x","data":1},5]', "f:1, item 2: a job is a JSON object"),
        (b"\n\n7", "f:3: a job is a JSON object"),
        (b"[]", "f:1: the array has no jobs"),
        (b"", "f:1: empty"),
    ],
)
def test_names_document_line_and_item(raw: bytes, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(raw)
    assert message in str(caught.value)


def test_finds_the_line_of_a_field() -> None:
    (draft,) = read(b'\n{\n"type": "x",\n"data": {\n"lat": 1}}')
    assert draft.place("data.lat") == "f:5"
    assert draft.place("nowhere") == "f:2"


def test_many_faults_are_told_up_to_a_number() -> None:
    with pytest.raises(BadInput) as caught:
        read(b"[" + b",".join([b"1"] * 50) + b"]")
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[-2:] == ["… and 30 more", "nothing was enqueued"]


def test_type_fills_in_but_never_overrules() -> None:
    assert shape(b'{"data":1}', type="x")[0].type == "x"
    with pytest.raises(BadInput, match="--type is x"):
        shape(b'{"type":"y","data":1}', type="x")


def test_assignments_reach_into_the_job_or_its_data() -> None:
    assignments = tuple(
        read_assignment(text)
        for text in ("priority=5", "data.a.b=[1]", "lat=2.5", "name=12 Elm St", "tags.1=x")
    )
    (job,) = shape(b'{"type":"x","data":{"a":{"c":1},"tags":["p","q"]}}', assignments=assignments)
    assert job.priority == 5
    assert job.payload() == {
        "a": {"c": 1, "b": [1]},
        "lat": 2.5,
        "name": "12 Elm St",
        "tags": ["p", "x"],
    }


def test_a_path_that_is_set_twice_is_refused() -> None:
    with pytest.raises(BadInput, match=r"sets data\.lat again"):
        read_assignments(["lat=1", "data.lat=2"])
    assert len(read_assignments(["lat=1", "lon=2"])) == 2


def test_copies_are_numbered_and_leave_the_draft_alone() -> None:
    (draft,) = read(b'{"type":"x","data":{"u":{}}}')
    options = SubmissionOptions(assignments=(read_assignment("u.id=usr-{n}"),), count=3)
    jobs = list(make_jobs(draft, options, NOW))
    assert [job.payload() for job in jobs] == [{"u": {"id": f"usr-{n}"}} for n in (1, 2, 3)]
    assert len({job.id for job in jobs}) == 3
    assert draft.value == {"type": "x", "data": {"u": {}}}


@pytest.mark.parametrize("text", ["x", "=1", "a..b=1", 'a="\\ud800"=\ud800'])
def test_refuses_what_is_no_assignment(text: str) -> None:
    with pytest.raises(BadInput):
        read_assignment(text)


def test_refuses_copies_of_one_id_and_paths_that_lead_nowhere() -> None:
    with pytest.raises(BadInput, match="remove the id"):
        shape(b'{"id":"a","type":"x","data":1}', count=2)
    with pytest.raises(BadInput, match="there is no 'b' to set"):
        shape(b'{"type":"x","data":{"a":5}}', assignments=(read_assignment("a.b=1"),))
