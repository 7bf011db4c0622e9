"""Places near which a pothole matters more: a GeoJSON file, read once into a grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from hms_svc.domain.errors import BadSetting, MalformedJson
from hms_svc.domain.strict_json import read_strict
from hms_svc.domain.utf8 import without_mark

BUNDLED: Final = Path(__file__).parent / "data" / "places.geojson"
METRES_PER_DEGREE: Final = 111_195.0
"""Metres per degree of latitude, on a sphere of 6,371 km."""
CELL_DEGREES: Final = 0.01
CELLS_AROUND: Final = 36_000
_SURROUNDINGS_KEPT: Final = 4_096
"""Of how many cells and kinds the segments around them are kept: those of a city, not of a country."""

Position: TypeAlias = "tuple[float, float]"
"""Latitude and longitude, WGS 84 degrees."""
Line: TypeAlias = "tuple[Position, ...]"
Area: TypeAlias = "tuple[Line, ...]"


class PlaceKind(StrEnum):
    """The supported values of a feature's property `kind`; features of other kinds are skipped."""

    HOSPITAL = "hospital"
    SCHOOL = "school"
    SCHOOL_BUS_ROUTE = "school_bus_route"


class Place(msgspec.Struct, frozen=True):
    """A named place: single points, lines of several, and areas.

    An area is the closed rings of one polygon: its edge, then its holes.
    """

    kind: PlaceKind
    name: str
    lines: tuple[Line, ...]
    areas: tuple[Area, ...] = ()

    @property
    def ways(self) -> Iterator[Line]:
        """Every point, line and ring."""
        yield from self.lines
        for rings in self.areas:
            yield from rings


class NearPlace(msgspec.Struct, frozen=True):
    """The nearest place of a kind, and its distance in metres."""

    name: str
    distance_m: float


_Segment: TypeAlias = "tuple[int, str, Position, Position]"
"""The number of its place in the file, the name, and both ends."""


class PlaceIndex:
    """Places by grid cells of a hundredth of a degree: a lookup reads a few cells.

    Areas are kept by the rows of the grid that they cover.
    """

    def __init__(self, places: Iterable[Place]) -> None:
        self.places: Final = tuple(places)
        self._around = lru_cache(_SURROUNDINGS_KEPT)(self._segments_around)
        self._cells: dict[tuple[PlaceKind, int, int], list[_Segment]] = {}
        self._areas: dict[tuple[PlaceKind, int], list[tuple[str, Area]]] = {}
        for number, place in enumerate(self.places):
            for rings in place.areas:
                for row in _rows_of(rings):
                    self._areas.setdefault((place.kind, row), []).append((place.name, rings))
            for segment in _segments(number, place):
                for row, column in _cells_of(segment):
                    self._cells.setdefault((place.kind, row, column), []).append(segment)

    def nearest(self, kind: PlaceKind, lat: float, lon: float, reach_m: float) -> NearPlace | None:
        """Return the nearest place of a kind within `reach_m` metres, None if there is none.

        Of places at the same distance it is the first of the file. The distance is 0 m within the place's own area.
        """
        for name, rings in self._areas.get((kind, _row(lat)), ()):
            if is_inside((lat, lon), rings):
                return NearPlace(name, 0.0)
        best: NearPlace | None = None
        for _, name, start, end in self._around(kind, _row(lat), _column(lon), reach_m):
            distance = distance_to_segment_m((lat, lon), start, end)
            if distance <= reach_m and (best is None or distance < best.distance_m):
                best = NearPlace(name, distance)
        return best

    def _segments_around(
        self, kind: PlaceKind, row: int, column: int, reach_m: float
    ) -> tuple[_Segment, ...]:
        """Return the segments that may be within `reach_m` metres of some place in a cell, as in the file."""
        rows, columns = _cells_around(row, column, reach_m)
        if len(rows) * len(columns) > len(self._cells):
            near = [cell for cell in self._cells if cell[0] == kind and cell[1] in rows]
        else:
            near = [(kind, each, other % CELLS_AROUND) for each in rows for other in columns]
        return tuple(sorted({segment for cell in near for segment in self._cells.get(cell, ())}))


class Places:
    """A places file that is read on first use; None means the bundled one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path or BUNDLED
        self._index: PlaceIndex | None = None

    def load(self) -> PlaceIndex:
        """Return the index, read now or before. Raises BadSetting if the file cannot be used."""
        if self._index is None:
            self._index = PlaceIndex(read_places(self._path))
        return self._index


def read_places(path: Path) -> list[Place]:
    """Read the known kinds from a GeoJSON FeatureCollection (RFC 7946), with any geometry.

    Features of other kinds, and those without a geometry or with an empty one, are skipped.
    Raises BadSetting that names the file, the feature by its number from 0, and what is wrong.
    """
    try:
        document = read_strict(without_mark(path.read_bytes()))
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
        except ValueError as error:
            raise BadSetting(f"places_file {path}: feature {number}: {error}") from error
        if place is not None:
            places.append(place)
    return places


def distance_to_segment_m(place: Position, start: Position, end: Position) -> float:
    """Return the metres from a place to a segment of up to a few kilometres, on a local plane."""
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


def is_inside(place: Position, area: Area) -> bool:
    """Return whether a place is within the edge of an area, and in none of its holes."""
    sides = (side for ring in area for side in pairwise(ring))
    return sum(_is_west_of(place, *side) for side in sides) % 2 == 1


def _is_west_of(place: Position, start: Position, end: Position) -> bool:
    """Return whether the line due east from a place crosses the side from `start` to `end`."""
    lat, lon = place
    if (start[0] > lat) == (end[0] > lat):
        return False
    return lon < start[1] + (lat - start[0]) / (end[0] - start[0]) * (end[1] - start[1])


def _place(feature: Any) -> Place | None:
    """Return the place that a feature describes, None if its kind is unknown or it has no position."""
    known = _object(feature, "it")
    properties = _object(known.get("properties") or {}, "its properties")
    kind = properties.get("kind")
    if not isinstance(kind, str) or kind not in set(PlaceKind):
        return None
    if "name" not in properties:
        raise ValueError("its properties have no name")
    if "geometry" not in known:
        raise ValueError("it has no geometry (null is a place without one)")
    if known["geometry"] is None:
        return None
    lines: list[Line] = []
    areas: list[Area] = []
    _read_geometry(known["geometry"], lines, areas)
    place = Place(PlaceKind(kind), str(properties["name"])[:200], tuple(lines), tuple(areas))
    return place if any(place.ways) else None


def _read_geometry(given: Any, lines: list[Line], areas: list[Area]) -> None:
    """Add the parts of a geometry to lines and areas; raise ValueError for an invalid one."""
    geometry = _object(given, "its geometry")
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        for part in _array(geometry.get("geometries"), "the geometries of a GeometryCollection"):
            _read_geometry(part, lines, areas)
        return
    coordinates = geometry.get("coordinates")
    match kind:
        case "Point":
            lines.append((_position(coordinates),))
        case "MultiPoint":
            lines.extend((each,) for each in _positions(coordinates, kind))
        case "LineString":
            lines.append(_line(coordinates, kind))
        case "MultiLineString":
            lines.extend(_line(each, kind) for each in _array(coordinates, kind))
        case "Polygon":
            areas.append(_area(coordinates, kind))
        case "MultiPolygon":
            areas.extend(_area(each, kind) for each in _array(coordinates, kind))
        case _:
            raise ValueError(f"its geometry has the type {kind!r:.40}, which is not a GeoJSON type")


def _object(given: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise ValueError(f"{name} must be an object, not {given!r:.40}")
    return given


def _array(given: Any, name: str) -> Sequence[Any]:
    if not isinstance(given, list):
        raise ValueError(f"{name} must be an array, not {given!r:.40}")
    return given


def _area(given: Any, name: str) -> Area:
    return tuple(_closed_line(each, name) for each in _array(given, name))


def _closed_line(given: Any, name: str) -> Line:
    ring = _line(given, name)
    return ring if ring[0] == ring[-1] else (*ring, ring[0])


def _line(given: Any, name: str) -> Line:
    line = _positions(given, name)
    if not line:
        raise ValueError(f"its {name} has a line without positions")
    return line


def _positions(given: Any, name: str) -> Line:
    return tuple(_position(each) for each in _array(given, name))


def _position(given: Any) -> Position:
    pair = given[:2] if isinstance(given, list) else ()
    if len(pair) != 2 or not all(type(each) in {int, float} for each in pair):
        raise ValueError(f"a position must be [longitude, latitude], not {given!r:.40}")
    lon, lat = float(pair[0]), float(pair[1])
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise ValueError(f"position {lon}, {lat} is not longitude, latitude")
    return lat, lon


def _rows_of(area: Area) -> range:
    rows = [_row(lat) for lat, _ in area[0]] if area else []
    return range(min(rows), max(rows) + 1) if rows else range(0)


def _segments(number: int, place: Place) -> Iterator[_Segment]:
    for line in place.ways:
        if len(line) == 1:
            yield number, place.name, line[0], line[0]
        for start, end in pairwise(line):
            pieces = math.ceil(
                max(abs(end[0] - start[0]), abs(end[1] - start[1]), CELL_DEGREES) / CELL_DEGREES
            )
            cuts = [_between(start, end, piece / pieces) for piece in range(pieces + 1)]
            yield from ((number, place.name, a, b) for a, b in pairwise(cuts))


def _between(start: Position, end: Position, share: float) -> Position:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _cells_of(segment: _Segment) -> set[tuple[int, int]]:
    _, _, start, end = segment
    rows = sorted((_row(start[0]), _row(end[0])))
    columns = sorted((_column(start[1]), _column(end[1])))
    return {
        (row, column % CELLS_AROUND)
        for row in range(rows[0], rows[1] + 1)
        for column in range(columns[0], columns[1] + 1)
    }


def _cells_around(row: int, column: int, reach_m: float) -> tuple[range, range]:
    """Return rows and columns of the cells within reach of a cell: counted in whole cells, so that none is missed."""
    degrees = reach_m / METRES_PER_DEGREE
    tall = math.ceil(degrees / CELL_DEGREES)
    farthest = (max(abs(row), abs(row + 1)) + tall) * CELL_DEGREES
    squeeze = max(math.cos(math.radians(min(90.0, farthest))), 1e-9)
    wide = min(math.ceil(degrees / squeeze / CELL_DEGREES), CELLS_AROUND // 2)
    return range(row - tall, row + tall + 1), range(column - wide, column + wide + 1)


def _row(lat: float) -> int:
    return math.floor(lat / CELL_DEGREES)


def _column(lon: float) -> int:
    return math.floor(lon / CELL_DEGREES)
