"""Capturing what jobs print: blocks that overlap, as a console's workers and a dry run do."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from hms_svc.domain.outcome import DeadLetter
from hms_svc.sdk.captured_output import captured_output
from hms_svc.sdk.captured_streams import CapturedText
from hms_svc.sdk.running_job import RunningJob, enter_job


@pytest.mark.parametrize("first_ends", [True, False])
def test_blocks_may_end_in_any_order(capsys: pytest.CaptureFixture[str], first_ends: bool) -> None:
    before = sys.stdout, sys.stderr
    blocks = [captured_output(pass_on=False), captured_output(pass_on=False)]
    for block in blocks:
        block.__enter__()
    last = sys.stdout
    ending = blocks if first_ends else blocks[::-1]
    ending[0].__exit__(None, None, None)
    assert (sys.stdout is last) is first_ends
    print("outside of jobs")
    ending[1].__exit__(None, None, None)
    assert (sys.stdout, sys.stderr) == before
    print("afterwards")
    assert capsys.readouterr().out == "outside of jobs\nafterwards\n"


class Original(io.TextIOWrapper):
    """A stream that shows what reached it."""

    def shown(self) -> bytes:
        self.flush()
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        return raw.getvalue()


@pytest.fixture
def original() -> Original:
    return Original(io.BytesIO(), encoding="utf-8", errors="backslashreplace", line_buffering=True)


@pytest.fixture
def captured(original: Original) -> CapturedText:
    return CapturedText(original, original, pass_on=False)


@pytest.fixture
def job() -> Iterator[RunningJob]:
    """A running job that only keeps what is printed."""
    job = RunningJob.__new__(RunningJob)
    job._decoder, job._log, job._log_size = None, [], 0
    enter_job(job)
    yield job
    enter_job(None)


def wrap(stream: Any) -> None:
    wrapper = io.TextIOWrapper(stream.detach(), encoding="utf-8", write_through=True)
    wrapper.write("wrapped")
    del wrapper
    stream.write(", and on")


WRITES: list[tuple[Callable[[Any], object], str]] = [
    (lambda stream: click.echo("from click", file=stream), "from click\n"),
    (lambda stream: click.secho("in red", fg="red", file=stream), "in red\n"),
    (lambda stream: click.echo(b"bytes", file=stream), "bytes\n"),
    (lambda stream: stream.buffer.write(b"raw"), "raw"),
    (lambda stream: stream.buffer.write(memoryview("ä".encode())), "ä"),
    (lambda stream: [stream.buffer.write(bytes([byte])) for byte in "€".encode()], "€"),
    (lambda stream: stream.buffer.raw.write(b"\xff"), "\N{REPLACEMENT CHARACTER}"),
    (lambda stream: stream.writelines(["a", "b"]), "ab"),
    (lambda stream: print("x", file=stream, flush=True), "x\n"),
    (wrap, "wrapped, and on"),
    (lambda stream: (stream.close(), stream.write("still open")), "still open"),
    (lambda stream: stream.reconfigure(encoding="latin-1", line_buffering=False), ""),
]


@pytest.mark.parametrize(("write", "kept"), WRITES)
def test_what_libraries_do_with_a_stream_is_kept_with_the_job(
    captured: CapturedText,
    original: Original,
    job: RunningJob,
    write: Callable[[Any], object],
    kept: str,
) -> None:
    write(captured)
    assert job.log_text() == kept
    assert original.shown() == b""
    assert (original.encoding, original.line_buffering) == ("utf-8", True)


@pytest.mark.parametrize(
    ("write", "kept"), [pair for pair in WRITES if pair[1] != "\N{REPLACEMENT CHARACTER}"]
)
def test_outside_of_jobs_it_goes_where_it_always_went(
    captured: CapturedText, original: Original, write: Callable[[Any], object], kept: str
) -> None:
    write(captured)
    assert original.shown().decode() == kept


REFUSALS: list[Callable[[Any], object]] = [
    lambda stream: stream.write(b""),
    lambda stream: stream.write(None),
    lambda stream: stream.buffer.write(""),
    lambda stream: stream.buffer.write(7),
    lambda stream: stream.reconfigure(encoding="no such"),
    lambda stream: stream.reconfigure(colour="red"),
    lambda stream: stream.read(),
    lambda stream: stream.readline(),
    lambda stream: stream.buffer.read(),
]


@pytest.mark.parametrize("refused", REFUSALS)
@pytest.mark.parametrize("inside", [True, False])
def test_it_refuses_what_a_real_stream_refuses(
    captured: CapturedText, inside: bool, refused: Callable[[Any], object], tmp_path: Path
) -> None:
    if inside:
        job = RunningJob.__new__(RunningJob)
        job._decoder, job._log, job._log_size = None, [], 0
        enter_job(job)
    with (
        open(tmp_path / "real", "w", encoding="utf-8") as real,
        pytest.raises((TypeError, ValueError, LookupError, OSError)) as theirs,
    ):
        refused(real)
    try:
        with pytest.raises(theirs.type):
            refused(captured)
    finally:
        enter_job(None)


@pytest.mark.parametrize(
    "name",
    ["name", "mode", "encoding", "errors", "newlines", "line_buffering", "write_through", "closed"],
)
def test_it_has_the_attributes_of_the_real_one(name: str) -> None:
    with open("/dev/null", "w", encoding="utf-8", errors="replace") as real:
        captured = CapturedText(real, real, pass_on=False)
        assert getattr(captured, name) == getattr(real, name)
        assert captured.fileno() == captured.buffer.fileno() == real.fileno()
        assert captured.isatty() is real.isatty()


def test_a_job_that_asks_for_a_debugger_nobody_could_see_is_told_so(job: RunningJob) -> None:
    with captured_output(pass_on=False), pytest.raises(DeadLetter, match="no terminal"):
        breakpoint()  # noqa: T100 - what is tested
