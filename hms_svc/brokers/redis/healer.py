"""Repairs indexes and counts that were deleted by others, and finds intakes of unknown types."""

from __future__ import annotations

import time
from typing import Final

from hms_svc.brokers.chunks import in_slices
from hms_svc.brokers.redis import repair_calls
from hms_svc.brokers.redis.intake import Intake
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.errors import MalformedJob
from hms_svc.domain.ids import check_job_type

_KEYS_A_STEP: Final = 1000
_STEPS_A_ROUND: Final = 5
_TYPES_A_ROUND: Final = 2000
_INTAKE: Final = "jobs:"
_INTAKE_SECONDS: Final = 1.0


class Healer:
    """Repairs in one round for each round of the reaper."""

    def __init__(self, link: Link, intake: Intake) -> None:
        self._link = link
        self._intake = intake
        self._cursor = 0
        self._rotated: list[str] = []
        self._unchecked: list[str] = []
        self._failed = 0

    async def run_once(self) -> None:
        """Walk all records if an index or a count is missing; then process intakes."""
        if await self.must_walk():
            await self._walk()
        await self._find_intakes()

    async def must_walk(self) -> bool:
        """Check some thousands of types, the next ones in each round, and the groups after all types."""
        begins = not self._unchecked
        types = self._unchecked or await self._types()
        self._rotated, self._unchecked = types[:_TYPES_A_ROUND], types[_TYPES_A_ROUND:]
        self._failed = 0 if begins else self._failed
        for some in in_slices(self._rotated) or [[]]:
            checked = await self._link.run(repair_calls.check(some))
            if checked.broken:
                return True
            self._failed += checked.failed
            for type in checked.stale:
                await self._write_mirror(type)
        if self._unchecked or self._failed == await self._link.run(repair_calls.grouped()):
            return False
        return await self._link.run(repair_calls.check_groups())

    async def _types(self) -> list[str]:
        found = await self._link.ask("SMEMBERS", self._link.keys.ours("job-types"))
        return sorted(type.decode() for type in found if type != b"!")

    async def _write_mirror(self, type: str) -> None:
        first, shown = 0, _KEYS_A_STEP
        while shown == _KEYS_A_STEP:
            shown = await self._link.run(
                repair_calls.mirror(type, first=first, number=_KEYS_A_STEP)
            )
            first += shown

    async def _walk(self) -> None:
        prefix = self._link.keys.ours("job", "")
        cursor = -1
        while cursor:
            cursor, names = await self._scan(max(cursor, 0), prefix + "*", "string")
            if names:
                ids = [name.removeprefix(prefix) for name in names]
                await self._link.run(repair_calls.heal(ids))
        for cause in await self._link.ask("SMEMBERS", self._link.keys.ours("causes")):
            await self._remove_surplus(cause.decode())
        for types in in_slices(await self._types()) or [[]]:
            await self._link.run(repair_calls.recount(types))
        await self._link.ask("DEL", self._link.keys.ours("healing"))

    async def _remove_surplus(self, cause: str) -> None:
        name, cursor = self._link.keys.ours("cause", cause), -1
        while cursor:
            following, found = await self._link.ask(
                "ZSCAN", name, max(cursor, 0), "COUNT", _KEYS_A_STEP
            )
            cursor = int(following)
            ids = [job_id for job_id, _ in found]
            await self._link.run(repair_calls.prune_group(cause, ids))

    async def _find_intakes(self) -> None:
        """Absorb items pushed for any type, for a second; the next round of the reaper continues."""
        until = time.monotonic() + _INTAKE_SECONDS
        for _ in range(_STEPS_A_ROUND):
            self._cursor, names = await self._scan(self._cursor, _INTAKE + "*", "list")
            found = (name.removeprefix(_INTAKE) for name in names)
            types = [type for type in found if _is_type(type)]
            if types:
                await self._intake.absorb_where_any(types, until)
            if not self._cursor:
                break
        for some in in_slices(self._rotated):
            await self._intake.absorb_where_any(some, until)

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
