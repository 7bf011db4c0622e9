"""Closes connections whose client does not read what it requested."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

STALLED_SECONDS: Final = 60.0
TERMINAL_PATH: Final = "/console/socket"


class WriteTimeout(asyncio.Protocol):
    """Closes a connection that has not read a byte of a full buffer for a minute."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _stall: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Start the timer."""
        super().pause_writing()
        self.forget_stall()
        self._stall = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timer."""
        self.forget_stall()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self.forget_stall()
        super().connection_lost(exc)

    def forget_stall(self) -> None:
        """Restart the timer for what is under way."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


class FollowerProtocol(WriteTimeout, WebSocketsSansIOProtocol):
    """The WebSocket of a follower: its messages are ignored, except by a terminal."""

    async def send(self, message: Any) -> None:
        """Send on; a handshake that was rejected as text is complete, which uvicorn misses."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    def send_receive_event_to_app(self) -> None:
        """Drop a message if nothing would read it."""
        if self.scope["path"] == TERMINAL_PATH:
            super().send_receive_event_to_app()
        else:
            self.frames = []
