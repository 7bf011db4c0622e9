"""Open cases around a place, from the rows read and the cases added since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from hms_svc.domain.errors import BadInput
from hms_svc.persistence.places import cells_within, distance_m
from hms_svc.persistence.statements import Query, among
from hms_svc.persistence.tables import cases
from hms_svc.ports.stores import NearCase, PlaceQuery

_OPEN_CASES: Final = Query(
    select(
        cases.c.kind, cases.c.open_cell, cases.c.id, cases.c.job_id, cases.c.lat, cases.c.lon
    ).where(among(cases.c.open_cell))
)


class OpenCase(NamedTuple):
    """An open case with a place."""

    cell: int
    case_id: str
    job_id: str
    lat: float
    lon: float


class NearbyCases:
    """The open cases of some cells, by kind and cell."""

    def __init__(self) -> None:
        self._cases: defaultdict[tuple[str, int], list[OpenCase]] = defaultdict(list)

    def add(self, kind: str, case: OpenCase) -> None:
        """Add a case that later queries find."""
        self._cases[kind, case.cell].append(case)

    def nearest(self, query: PlaceQuery, cells: Iterable[int]) -> NearCase | None:
        """Return the nearest case within the radius, in the cells that may contain one."""
        best: NearCase | None = None
        for cell in cells:
            for case in self._cases.get((query.kind, cell), ()):
                if case.job_id == query.not_of_job:
                    continue
                distance = distance_m(query.lat, query.lon, case.lat, case.lon)
                if distance <= query.radius_m and (best is None or distance < best.distance_m):
                    best = NearCase(case.case_id, case.job_id, distance)
        return best


def read_nearby(connection: Connection, wanted: Mapping[str, set[int]]) -> NearbyCases:
    """Read the open cases of the wanted cells, of all kinds."""
    found = NearbyCases()
    if wanted:
        # With the kind in the condition, PostgreSQL may read all rows of the kind.
        cells = set().union(*wanted.values())
        for kind, *case in _OPEN_CASES.run(connection, values=cells):
            found.add(kind, OpenCase._make(case))
    return found


def wanted_cells(
    queries: Sequence[PlaceQuery | None],
) -> tuple[list[list[int]], dict[str, set[int]]]:
    """Return the cells that each query must read (none without a place), and all cells of each kind.

    Raise BadInput for an invalid kind or radius.
    """
    wanted: defaultdict[str, set[int]] = defaultdict(set)
    of_each = []
    for query in queries:
        cells = cells_within(query.lat, query.lon, query.radius_m) if query else []
        of_each.append(cells)
        if query:
            wanted[_checked(query.kind)].update(cells)
    return of_each, wanted


def _checked(kind: object) -> str:
    if not isinstance(kind, str) or kind.encode(errors="replace").decode() != kind:
        raise BadInput(f"kind {kind!r:.80} is not a text that can be stored as UTF-8")
    return kind


def near(connection: Connection, queries: Sequence[PlaceQuery]) -> list[NearCase | None]:
    """Return the nearest case for each query, in order, from committed rows."""
    of_each, wanted = wanted_cells(queries)
    nearby = read_nearby(connection, wanted)
    return [nearby.nearest(query, cells) for query, cells in zip(queries, of_each, strict=True)]
