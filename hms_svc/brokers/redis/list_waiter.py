"""Waits until a list has an item, without receiving the item: it may be huge."""

from __future__ import annotations

from redis.exceptions import ResponseError

from hms_svc.brokers.redis.link import Link


class Arrivals:
    """Moves the next item of a list to another list on the server, with the reply switched off.

    A server or proxy that does not support or allow CLIENT REPLY sends the item.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._is_silent = True

    async def next(self, source: str, target: str, seconds: int) -> None:
        """Return when an item was moved or `seconds` have passed; the caller cannot tell which."""
        if self._is_silent:
            try:
                await self._move_silently(source, target, seconds)
            except ResponseError:
                self._is_silent = False
            else:
                return
        await self._link.waiting.blmove(source, target, seconds, "RIGHT", "LEFT")

    async def _move_silently(self, source: str, target: str, seconds: int) -> None:
        pool = self._link.waiting.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # untyped in redis-py
        try:
            arguments = (
                ("CLIENT", "REPLY", "SKIP"),
                ("BLMOVE", source, target, "RIGHT", "LEFT", seconds),
                ("ECHO", "moved"),
            )
            await connection.send_packed_command(connection.pack_commands(arguments))
            await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)
