"""Text and byte streams that replace the standard ones, and keep what jobs write."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, TextIO

from hms_svc.sdk.running_job import RunningJob, find_job

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class CapturedText(io.TextIOBase):
    """A text stream that gives the running job a copy; with `pass_on` it is shown as well.

    It wraps `beneath`, and shows on `original`. It has the interface of a text file.
    Calls that would change the stream for other jobs too are validated inside a job, and have no effect:
    `reconfigure`, `close`, `detach`.
    """

    def __init__(self, beneath: TextIO, original: TextIO, *, pass_on: bool) -> None:
        self._beneath = beneath
        self._original = original
        self._pass_on = pass_on
        self._retired = False
        self._buffer = CapturedBytes(self)

    def retire(self) -> TextIO:
        """Stop capturing for all holders of this stream; return the underlying stream that is still in use."""
        self._retired = True
        self._original = self._beneath
        beneath: Any = self._beneath
        while isinstance(beneath, CapturedText) and beneath._retired:
            beneath = beneath._beneath
        found: TextIO = beneath
        return found

    @property
    def buffer(self) -> CapturedBytes:
        """The same stream for bytes."""
        return self._buffer

    @property
    def name(self) -> Any:
        """The name of the original."""
        return self._original.name

    @property
    def mode(self) -> str:
        """The mode of the original."""
        return self._original.mode

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only, as in TextIOWrapper
        """The encoding of the original."""
        return self._original.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]  # read-only, as in TextIOWrapper
        """How the original handles what it cannot encode."""
        return self._original.errors

    @property
    def newlines(self) -> Any:  # type: ignore[override]  # read-only, as in TextIOWrapper
        """The kinds of line ends that the original has read."""
        return self._original.newlines

    @property
    def line_buffering(self) -> bool:
        """Whether the original is flushed at the end of each line."""
        return bool(getattr(self._original, "line_buffering", False))

    @property
    def write_through(self) -> bool:
        """Whether the original buffers nothing."""
        return bool(getattr(self._original, "write_through", False))

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return whether the original is a terminal."""
        return self._original.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the original."""
        return self._original.fileno()

    def flush(self) -> None:
        """Flush the original, if something may have been passed on to it."""
        if self.job is None or self._pass_on:
            self._original.flush()

    def reconfigure(self, **changes: Any) -> None:
        """Change the original; inside a job only validate the changes, as a text stream does."""
        if self.job is None or self._pass_on:
            self._original.reconfigure(**changes)  # type: ignore[attr-defined]  # TextIO does not declare it
        else:
            io.TextIOWrapper(io.BytesIO()).reconfigure(**changes)

    def detach(self) -> CapturedBytes:  # type: ignore[override]  # returns the buffer of this stream
        """Return `buffer`; this stream stays in use."""
        return self._buffer

    def close(self) -> None:
        """Do nothing: other code uses the stream, too."""

    def write(self, text: str) -> int:
        """Keep the text with the running job, or show it; raises TypeError for anything else."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        job = self.job
        if job is not None:
            job.capture(text)
        if job is None or self._pass_on:
            self._original.write(text)
        return len(text)

    def write_bytes(self, given: bytes) -> None:
        """Keep bytes in the stream's encoding with the running job, or show them."""
        job = self.job
        if job is not None:
            job.capture_bytes(given, self.encoding or "utf-8")
        if job is None or self._pass_on:
            _show(given, self._original)

    @property
    def job(self) -> RunningJob | None:
        """The job that current output belongs to."""
        return None if self._retired else find_job()


class CapturedBytes(io.BufferedIOBase):
    """The byte stream of a `CapturedText`: bytes are kept as the text that they encode."""

    mode = "wb"

    def __init__(self, text: CapturedText) -> None:
        self._text = text

    @property
    def name(self) -> Any:
        """The name of the original."""
        return self._text.name

    @property
    def raw(self) -> CapturedBytes:
        """The stream itself: nothing is buffered."""
        return self

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return whether the original is a terminal."""
        return self._text.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the original."""
        return self._text.fileno()

    def flush(self) -> None:
        """Flush the original, if something may have been passed on to it."""
        self._text.flush()

    def close(self) -> None:
        """Do nothing: a wrapper closes its stream when it is garbage-collected."""

    def write(self, given: ReadableBuffer) -> int:
        """Keep the bytes with the running job, or show them; raises TypeError for text."""
        if isinstance(given, str):
            raise TypeError("a bytes-like object is required, not 'str'")
        raw = memoryview(given).tobytes()
        self._text.write_bytes(raw)
        return len(raw)


def _show(given: bytes, original: TextIO) -> None:
    beneath = getattr(original, "buffer", None)
    if beneath is None:
        original.write(given.decode(errors="replace"))
        return
    original.flush()  # text that was written before comes first
    beneath.write(given)
