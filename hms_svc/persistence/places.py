"""Places on the sphere: distances, and a fixed grid of cells of about 111 m for lookups.

A row is a thousandth of a degree of latitude. Each row has as many columns as
keep a cell at least as wide as it is high, down to a single one at the poles.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import asin, cos, degrees, floor, radians, sin, sqrt
from typing import Final

from hms_svc.domain.errors import BadInput

EARTH_RADIUS_M: Final = 6_371_008.8
"""The mean radius of the Earth (IUGG)."""
MAX_RADIUS_M: Final = 5_000.0
"""With a larger radius a query would read thousands of cells."""
_ROWS_PER_DEGREE: Final = 1_000
_ROWS: Final = 180 * _ROWS_PER_DEGREE
_COLUMN_BITS: Final = 20
_SLACK_M: Final = 0.01
"""Added to every radius, so that rounding never leaves a cell out."""


def distance_m(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Return the metres between two places on a sphere (the haversine formula)."""
    south, north = radians(lat), radians(other_lat)
    half_lat = sin((north - south) / 2)
    half_lon = sin(radians(other_lon - lon) / 2)
    chord = half_lat * half_lat + cos(south) * cos(north) * half_lon * half_lon
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(chord)))


def cell_of(lat: float, lon: float) -> int:
    """Return the number of the cell of a place: at most 38 bits, rows from the south."""
    row = _row(lat)
    columns = _columns(row)
    return row << _COLUMN_BITS | floor((lon + 180) / 360 * columns) % columns


def cells_within(lat: float, lon: float, radius_m: float) -> list[int]:
    """Return all cells in which a place within `radius_m` can be, sorted, without repetition.

    Raise BadInput for a radius that is negative or above MAX_RADIUS_M.
    """
    if not 0 <= radius_m <= MAX_RADIUS_M:
        raise BadInput(f"radius {radius_m:g} m is out of range: use 0 to {MAX_RADIUS_M:g} m")
    angle = (radius_m + _SLACK_M) / EARTH_RADIUS_M
    reach = degrees(angle)
    span = _span_of_longitude(lat, angle)
    cells: list[int] = []
    for row in range(_row(lat - reach), _row(lat + reach) + 1):
        columns = _columns(row)
        first = floor((lon - span + 180) / 360 * columns)
        last = floor((lon + span + 180) / 360 * columns)
        if last - first + 1 >= columns:
            reached: Iterable[int] = range(columns)
        elif first >= 0 and last < columns:
            reached = range(first, last + 1)
        else:
            reached = sorted(column % columns for column in range(first, last + 1))
        west = row << _COLUMN_BITS
        cells += [west | column for column in reached]
    return cells


def _row(lat: float) -> int:
    return min(max(floor((lat + 90) * _ROWS_PER_DEGREE), 0), _ROWS - 1)


@lru_cache(maxsize=8192)
def _columns(row: int) -> int:
    poleward = max(abs(row - _ROWS // 2), abs(row + 1 - _ROWS // 2)) / _ROWS_PER_DEGREE
    return max(1, floor(360 * _ROWS_PER_DEGREE * cos(radians(poleward))))


def _span_of_longitude(lat: float, angle: float) -> float:
    if abs(lat) + degrees(angle) >= 90:
        return 180.0
    return degrees(asin(min(1.0, sin(angle) / cos(radians(lat)))))
