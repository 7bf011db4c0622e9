"""Mends what was deleted from under us, and finds intakes of types that nobody has heard of."""

from __future__ import annotations

from typing import Final

from hms_svc.brokers.redis.foreign import Intake
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.errors import MalformedJob
from hms_svc.domain.ids import check_job_type

_KEYS_A_STEP: Final = 1000
_STEP_SECONDS: Final = 60
"""A walk that takes longer over one step than this is given up for dead."""
_STEPS_A_ROUND: Final = 5
_INTAKE: Final = "jobs:"


class Healer:
    """One round goes with each round of the reaper."""

    def __init__(self, link: Link, intake: Intake) -> None:
        self._link = link
        self._intake = intake
        self._cursor = 0

    async def run_once(self) -> None:
        """Walk all records where an index or a tally is gone; look for what stands in intakes."""
        must_walk, *stale = await self._link.run("check", _STEP_SECONDS)
        if must_walk:
            await self._walk()
        for type in stale:
            await self._write_mirror(type)
        await self._find_intakes()

    async def _write_mirror(self, type: bytes) -> None:
        first, shown = 0, _KEYS_A_STEP
        while shown == _KEYS_A_STEP:
            shown = await self._link.run("mirror", type, first, _KEYS_A_STEP)
            first += shown

    async def _walk(self) -> None:
        prefix = self._link.keys.ours("job", "")
        cursor = -1
        while cursor:
            cursor, names = await self._scan(max(cursor, 0), prefix + "*", "string")
            if names:
                ids = (name.removeprefix(prefix) for name in names)
                await self._link.run("heal", _STEP_SECONDS, *ids)
        for cause in await self._link.ask("SMEMBERS", self._link.keys.ours("causes")):
            await self._strike_surplus(cause.decode())
        await self._link.run("recount")
        await self._link.ask("DEL", self._link.keys.ours("healing"))

    async def _strike_surplus(self, cause: str) -> None:
        name, cursor = self._link.keys.ours("cause", cause), -1
        while cursor:
            following, found = await self._link.ask(
                "ZSCAN", name, max(cursor, 0), "COUNT", _KEYS_A_STEP
            )
            cursor = int(following)
            ids = (job_id for job_id, _ in found)
            await self._link.run("strike", _STEP_SECONDS, cause, *ids)

    async def _find_intakes(self) -> None:
        for _ in range(_STEPS_A_ROUND):
            self._cursor, names = await self._scan(self._cursor, _INTAKE + "*", "list")
            found = (name.removeprefix(_INTAKE) for name in names)
            types = [type for type in found if _is_type(type)]
            if types:
                await self._intake.absorb_where_any(types)
            if not self._cursor:
                break
        known = await self._link.ask("SMEMBERS", self._link.keys.ours("types"))
        await self._intake.absorb_where_any([type.decode() for type in known if type != b"!"])

    async def _scan(self, cursor: int, pattern: str, kind: str) -> tuple[int, list[str]]:
        following, names = await self._link.ask(
            "SCAN", cursor, "MATCH", pattern, "COUNT", _KEYS_A_STEP, "TYPE", kind
        )
        return int(following), [name.decode("utf-8", "replace") for name in names]


def _is_type(text: str) -> bool:
    try:
        check_job_type(text)
    except MalformedJob:
        return False
    return True
