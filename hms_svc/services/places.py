"""Places near which a pothole matters more: a GeoJSON file, read once into a grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from hms_svc.domain.errors import BadSetting, MalformedJson
from hms_svc.domain.strict_json import read_strict

BUNDLED: Final = Path(__file__).parent / "data" / "places.geojson"
METRES_PER_DEGREE: Final = 111_195.0
"""Of latitude, on a sphere of 6,371 km."""
CELL_DEGREES: Final = 0.01
CELLS_AROUND: Final = 36_000

Position: TypeAlias = "tuple[float, float]"
"""Latitude and longitude, WGS 84 degrees."""


class PlaceKind(StrEnum):
    """What a feature's property `kind` may say; features of other kinds are passed over."""

    HOSPITAL = "hospital"
    SCHOOL = "school"
    SCHOOL_BUS_ROUTE = "school_bus_route"


class Place(msgspec.Struct, frozen=True):
    """A named place: single points, or lines of several."""

    kind: PlaceKind
    name: str
    lines: tuple[tuple[Position, ...], ...]


class NearPlace(msgspec.Struct, frozen=True):
    """The nearest place of a kind, and its distance in metres."""

    name: str
    distance_m: float


_Segment: TypeAlias = "tuple[str, Position, Position]"


class PlaceIndex:
    """Places by grid cells of a hundredth of a degree: a question looks at a few cells."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.places: Final = tuple(places)
        self._cells: dict[tuple[PlaceKind, int, int], list[_Segment]] = {}
        for place in self.places:
            for segment in _segments(place):
                for row, column in _cells_of(segment):
                    self._cells.setdefault((place.kind, row, column), []).append(segment)

    def nearest(self, kind: PlaceKind, lat: float, lon: float, reach_m: float) -> NearPlace | None:
        """Give the nearest place of a kind within `reach_m` metres, None where there is none."""
        best: NearPlace | None = None
        for name, start, end in self._segments_around(kind, lat, lon, reach_m):
            distance = distance_to_segment_m((lat, lon), start, end)
            if distance <= reach_m and (best is None or distance < best.distance_m):
                best = NearPlace(name, distance)
        return best

    def _segments_around(
        self, kind: PlaceKind, lat: float, lon: float, reach_m: float
    ) -> Iterator[_Segment]:
        rows, columns = _cells_around(lat, lon, reach_m)
        if len(rows) * len(columns) > len(self._cells):
            near = [cell for cell in self._cells if cell[0] is kind and cell[1] in rows]
        else:
            near = [(kind, row, column % CELLS_AROUND) for row in rows for column in columns]
        for cell in near:
            yield from self._cells.get(cell, ())


class Places:
    """A places file that is read at the first need; None is the bundled one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path or BUNDLED
        self._index: PlaceIndex | None = None

    def load(self) -> PlaceIndex:
        """Give the index, read now or before. Raises BadSetting where the file cannot be used."""
        if self._index is None:
            self._index = PlaceIndex(read_places(self._path))
        return self._index


def read_places(path: Path) -> list[Place]:
    """Read the known kinds from a GeoJSON FeatureCollection (RFC 7946) of points and lines."""
    try:
        document = read_strict(path.read_bytes())
    except OSError as error:
        raise BadSetting(f"places_file {path} cannot be read: {error.strerror}") from error
    except MalformedJson as error:
        raise BadSetting(f"places_file {path}: {error}") from error
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise BadSetting(f"places_file {path} is not a GeoJSON FeatureCollection")
    places = []
    for number, feature in enumerate(features):
        try:
            place = _place(feature)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BadSetting(
                f"places_file {path}: feature {number} is not a named point or line: {error}"
            ) from error
        if place is not None:
            places.append(place)
    return places


def distance_to_segment_m(place: Position, start: Position, end: Position) -> float:
    """Give the metres from a place to a segment of up to a few kilometres, on a local plane."""
    squeeze = math.cos(math.radians(place[0]))
    ax, ay = _offset_m(place, start, squeeze)
    bx, by = _offset_m(place, end, squeeze)
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    share = 0.0 if length == 0.0 else min(1.0, max(0.0, -(ax * dx + ay * dy) / length))
    return math.hypot(ax + share * dx, ay + share * dy)


def _offset_m(origin: Position, point: Position, squeeze: float) -> Position:
    east = (point[1] - origin[1] + 180.0) % 360.0 - 180.0
    return east * squeeze * METRES_PER_DEGREE, (point[0] - origin[0]) * METRES_PER_DEGREE


def _place(feature: Any) -> Place | None:
    properties: Mapping[str, Any] = feature["properties"]
    if properties.get("kind") not in set(PlaceKind):
        return None
    geometry: Mapping[str, Any] = feature["geometry"]
    lines = tuple(
        tuple(_position(pair) for pair in line)
        for line in _lines(geometry["type"], geometry["coordinates"])
    )
    if not all(lines):
        raise ValueError("a line without positions")
    return Place(PlaceKind(properties["kind"]), str(properties["name"])[:200], lines)


def _lines(kind: str, coordinates: Sequence[Any]) -> Sequence[Sequence[Any]]:
    match kind:
        case "Point":
            return [[coordinates]]
        case "MultiPoint":
            return [[pair] for pair in coordinates]
        case "LineString":
            return [coordinates]
        case "MultiLineString" | "Polygon":
            return coordinates
        case _:
            raise ValueError(f"geometry {kind} is not read; give points or lines")


def _position(pair: Sequence[Any]) -> Position:
    lon, lat = float(pair[0]), float(pair[1])
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise ValueError(f"position {lon}, {lat} is not longitude, latitude")
    return lat, lon


def _segments(place: Place) -> Iterator[_Segment]:
    for line in place.lines:
        if len(line) == 1:
            yield place.name, line[0], line[0]
        for start, end in pairwise(line):
            pieces = math.ceil(
                max(abs(end[0] - start[0]), abs(end[1] - start[1]), CELL_DEGREES) / CELL_DEGREES
            )
            cuts = [_between(start, end, piece / pieces) for piece in range(pieces + 1)]
            yield from ((place.name, a, b) for a, b in pairwise(cuts))


def _between(start: Position, end: Position, share: float) -> Position:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _cells_of(segment: _Segment) -> set[tuple[int, int]]:
    _, start, end = segment
    rows = sorted((_row(start[0]), _row(end[0])))
    columns = sorted((_column(start[1]), _column(end[1])))
    return {
        (row, column % CELLS_AROUND)
        for row in range(rows[0], rows[1] + 1)
        for column in range(columns[0], columns[1] + 1)
    }


def _cells_around(lat: float, lon: float, reach_m: float) -> tuple[range, range]:
    tall = reach_m / METRES_PER_DEGREE
    squeeze = max(math.cos(math.radians(min(90.0, abs(lat) + tall))), 1e-9)
    wide = min(tall / squeeze, 180.0 - CELL_DEGREES)
    rows = range(_row(lat - tall), _row(lat + tall) + 1)
    return rows, range(_column(lon - wide), _column(lon + wide) + 1)


def _row(lat: float) -> int:
    return math.floor(lat / CELL_DEGREES)


def _column(lon: float) -> int:
    return math.floor(lon / CELL_DEGREES)
