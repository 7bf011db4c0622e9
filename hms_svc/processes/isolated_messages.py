"""What a worker and the process of an isolated handler send each other, each with its length in front."""

from __future__ import annotations

import asyncio
import struct
from typing import Final, TypeAlias

import msgspec

from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.outcome import Disposition

_LENGTH: Final = struct.Struct("<I")


class Begin(msgspec.Struct, frozen=True, tag=True):
    """Run this job; `claimed` has the present end of its lease."""

    claimed: ClaimedJob


class Renewed(msgspec.Struct, frozen=True, tag=True):
    """The lease of the running job ends at `lease_until` (milliseconds of the lease clock)."""

    lease_until: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The process can run a job."""


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The job ended: what becomes of it."""

    disposition: Disposition


Message: TypeAlias = Begin | Renewed | Ready | Ended
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)


def send_message(writer: asyncio.StreamWriter, message: Message) -> None:
    """Send a message; if the other side is gone, it is dropped: then reading ends."""
    text = _encoder.encode(message)
    if not writer.is_closing():
        writer.write(_LENGTH.pack(len(text)) + text)


async def receive_message(reader: asyncio.StreamReader) -> Message | None:
    """Return the next message, None when the other side is gone."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return _decoder.decode(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
