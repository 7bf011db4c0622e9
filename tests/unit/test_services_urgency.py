from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from hms_svc.domain.errors import BadSetting
from hms_svc.services.places import (
    METRES_PER_DEGREE,
    NearPlace,
    Place,
    PlaceIndex,
    PlaceKind,
    Places,
    distance_to_segment_m,
    read_places,
)
from hms_svc.services.urgency import assess

HOSPITAL, SCHOOL, ROUTE = PlaceKind.HOSPITAL, PlaceKind.SCHOOL, PlaceKind.SCHOOL_BUS_ROUTE
METRE = 1 / METRES_PER_DEGREE


def point(kind: PlaceKind, lat: float, lon: float, name: str = "P") -> Place:
    return Place(kind, name, (((lat, lon),),))


def test_far_from_everything_the_urgency_is_the_base() -> None:
    found = assess(PlaceIndex([]), 0.0, 0.0)
    assert (found.urgency, found.reasons) == (
        20,
        ("no hospital, school or school-bus route is near",),
    )


@pytest.mark.parametrize(
    ("kind", "metres", "urgency"),
    [
        (HOSPITAL, 0, 60),
        (HOSPITAL, 1000, 40),
        (HOSPITAL, 2001, 20),
        (SCHOOL, 0, 45),
        (SCHOOL, 300, 32),
        (SCHOOL, 601, 20),
        (ROUTE, 0, 35),
        (ROUTE, 30, 28),
        (ROUTE, 61, 20),
    ],
)
def test_each_kind_fades_with_distance(kind: PlaceKind, metres: int, urgency: int) -> None:
    assert assess(PlaceIndex([point(kind, metres * METRE, 0.0)]), 0.0, 0.0).urgency == urgency


def test_all_kinds_at_the_spot_make_a_hundred_with_three_reasons() -> None:
    index = PlaceIndex([point(kind, 10.0, 20.0, kind.value) for kind in PlaceKind])
    found = assess(index, 10.0, 20.0)
    assert found.urgency == 100
    assert found.reasons == (
        "the hospital hospital is 0 m away (+40)",
        "the school school is 0 m away (+25)",
        "the school-bus route school_bus_route is 0 m away (+15)",
    )


def test_only_the_nearest_of_a_kind_counts() -> None:
    near, far = point(SCHOOL, 100 * METRE, 0.0, "near"), point(SCHOOL, 200 * METRE, 0.0, "far")
    assert assess(PlaceIndex([far, near]), 0.0, 0.0) == assess(PlaceIndex([near]), 0.0, 0.0)


@pytest.mark.parametrize(
    ("lat", "lon", "other_lat", "other_lon"),
    [
        (0.0, 179.9995, 0.0, -179.9995),
        (0.0, -180.0, 0.0, 180.0),
        (89.9, 0.0, 89.9, 1.0),
        (-89.9, 179.5, -89.9, -179.5),
        (38.8999999, -77.0000001, 38.9000001, -76.9999999),
    ],
)
def test_neighbours_across_the_edges_of_the_map_and_of_cells_are_found(
    lat: float, lon: float, other_lat: float, other_lon: float
) -> None:
    index = PlaceIndex([point(SCHOOL, other_lat, other_lon)])
    assert index.nearest(SCHOOL, lat, lon, 500.0) is not None


@pytest.mark.parametrize(("lat", "lon"), [(0.0, 0.0), (52.1, 4.3), (-33.9, 179.99), (89.98, 0.0)])
@pytest.mark.parametrize("reach_m", [60.0, 600.0, 5000.0])
def test_the_index_finds_what_the_distance_to_all_of_them_finds(
    lat: float, lon: float, reach_m: float
) -> None:
    chance = random.Random(1)

    def somewhere() -> tuple[float, float]:
        east = lon + chance.uniform(-0.1, 0.1)
        return min(90.0, lat + chance.uniform(-0.1, 0.1)), (east + 180.0) % 360.0 - 180.0

    spots = [somewhere() for _ in range(300)]
    index = PlaceIndex([point(SCHOOL, *spot) for spot in spots])
    for _ in range(100):
        here = somewhere()
        nearest_m = min(distance_to_segment_m(here, spot, spot) for spot in spots)
        found = index.nearest(SCHOOL, *here, reach_m)
        assert (found.distance_m if found else None) == (
            nearest_m if nearest_m <= reach_m else None
        )


def test_of_places_at_one_distance_the_first_of_the_file_is_named() -> None:
    lines = [((10.0, 10.0), (10.0 + east, 10.0 + north)) for east in (-1, 1) for north in (-1, 1)]
    index = PlaceIndex([Place(ROUTE, str(number), (line,)) for number, line in enumerate(lines)])
    near = index.nearest(ROUTE, 10.0, 10.0, 60.0)
    assert near is not None
    assert near.name == "0"


def test_a_long_route_is_found_in_its_middle() -> None:
    index = PlaceIndex([Place(ROUTE, "ring", (((10.0, 10.0), (10.5, 11.0)),))])
    near = index.nearest(ROUTE, 10.25, 10.5, 60.0)
    assert near is not None
    assert near.distance_m < 1.0


def test_distance_to_a_segment_is_to_its_nearest_point() -> None:
    start, end = (0.0, -100 * METRE), (0.0, 100 * METRE)
    assert distance_to_segment_m((30 * METRE, 0.0), start, end) == pytest.approx(30.0, abs=0.01)
    assert distance_to_segment_m((0.0, 150 * METRE), start, end) == pytest.approx(50.0, abs=0.01)
    assert distance_to_segment_m((0.0, 0.0), end, end) == pytest.approx(100.0, abs=0.01)


def test_the_bundled_places_know_every_kind_and_the_seed_has_a_hospital_in_reach() -> None:
    index = Places(None).load()
    assert {place.kind for place in index.places} == set(PlaceKind)
    found = assess(index, 38.8977, -77.0365)
    assert found.urgency > 20
    assert "George Washington University Hospital" in found.reasons[0]


def write(path: Path, *features: object) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def feature(kind: str, geometry: object, name: str = "N") -> dict[str, object]:
    return {"type": "Feature", "properties": {"kind": kind, "name": name}, "geometry": geometry}


LINE = [[1.0, 2.0], [1.5, 2.5]]
RING = [[0.0, 0.0], [0.04, 0.0], [0.04, 0.04], [0.0, 0.04], [0.0, 0.0]]
HOLE = [[0.01, 0.01], [0.03, 0.01], [0.03, 0.03], [0.01, 0.03], [0.01, 0.01]]
FAR_RING = [[lon + 10.0, lat] for lon, lat in RING]
POINT = {"type": "Point", "coordinates": [1.0, 2.0]}
POLYGON = {"type": "Polygon", "coordinates": [RING, HOLE]}
TWO_POLYGONS = {"type": "MultiPolygon", "coordinates": [[RING, HOLE], [FAR_RING]]}


@pytest.mark.parametrize(
    ("geometry", "lines", "areas"),
    [
        ({"type": "Point", "coordinates": [1.0, 2.0, 30.0]}, 1, 0),
        ({"type": "MultiPoint", "coordinates": LINE}, 2, 0),
        ({"type": "LineString", "coordinates": LINE}, 1, 0),
        ({"type": "MultiLineString", "coordinates": [LINE, LINE]}, 2, 0),
        (POLYGON, 0, 1),
        (TWO_POLYGONS, 0, 2),
        ({"type": "GeometryCollection", "geometries": [POINT, POLYGON]}, 1, 1),
        (
            {
                "type": "GeometryCollection",
                "geometries": [{"type": "GeometryCollection", "geometries": [POINT]}],
            },
            1,
            0,
        ),
    ],
)
def test_a_city_file_may_hold_every_geometry(
    tmp_path: Path, geometry: object, lines: int, areas: int
) -> None:
    path = write(tmp_path / "places.geojson", feature("school", geometry), feature("museum", None))
    [place] = read_places(path)
    assert (len(place.lines), len(place.areas)) == (lines, areas)
    [first, *_] = place.ways
    lat, lon = first[0]
    assert PlaceIndex([place]).nearest(SCHOOL, lat, lon, 1.0) == NearPlace("N", 0.0)


@pytest.mark.parametrize(
    "nowhere",
    [
        feature("school", None),
        feature("school", {"type": "GeometryCollection", "geometries": []}),
        feature("school", {"type": "MultiPoint", "coordinates": []}),
        feature("school", {"type": "Polygon", "coordinates": []}),
        {"type": "Feature", "properties": None, "geometry": None},
        {"type": "Feature", "properties": {"kind": ["school"]}, "geometry": None},
    ],
)
def test_a_feature_that_is_nowhere_or_nothing_of_ours_is_passed_over(
    tmp_path: Path, nowhere: object
) -> None:
    path = write(tmp_path / "places.geojson", nowhere, feature("school", POINT))
    assert [place.lines for place in read_places(path)] == [(((2.0, 1.0),),)]


@pytest.mark.parametrize(
    ("geometry", "lat", "lon", "distance_m"),
    [
        (POLYGON, 0.005, 0.02, 0.0),
        (POLYGON, 0.0, 0.02, 0.0),
        (POLYGON, 0.035, 0.005, 0.0),
        (POLYGON, 0.02, 0.02, 0.01 / METRE),
        (POLYGON, 0.02, 0.041, 0.001 / METRE),
        (TWO_POLYGONS, 0.02, 10.02, 0.0),
        ({"type": "Polygon", "coordinates": [RING[:-1]]}, 0.02, 0.02, 0.0),
        ({"type": "GeometryCollection", "geometries": [POINT, POLYGON]}, 0.005, 0.02, 0.0),
    ],
)
def test_inside_an_area_is_no_distance_and_its_holes_are_outside(
    tmp_path: Path, geometry: object, lat: float, lon: float, distance_m: float
) -> None:
    path = write(tmp_path / "places.geojson", feature("school", geometry))
    near = Places(path).load().nearest(SCHOOL, lat, lon, 5_000.0)
    assert near is not None
    assert near.distance_m == pytest.approx(distance_m, abs=0.5)


@pytest.mark.parametrize(
    ("geometry", "told"),
    [
        ({"type": "Point", "coordinates": [1.0]}, r"\[longitude, latitude\], not \[1.0\]"),
        ({"type": "Point", "coordinates": ["east", "north"]}, "not \\['east', 'north'\\]"),
        ({"type": "Point"}, "not None"),
        ({"type": "Point", "coordinates": [1.0, 91.0]}, "1.0, 91.0 is not longitude, latitude"),
        ({"type": "LineString", "coordinates": []}, "without positions"),
        ({"type": "Polygon", "coordinates": [[]]}, "without positions"),
        ({"type": "GeometryCollection", "coordinates": []}, "geometries of a GeometryCollection"),
        ({"type": "Circle", "coordinates": []}, "type 'Circle'"),
        ("here", "its geometry must be an object, not 'here'"),
    ],
)
def test_a_feature_that_cannot_be_read_is_named(
    tmp_path: Path, geometry: object, told: str
) -> None:
    path = write(tmp_path / "places.geojson", feature("school", POINT), feature("school", geometry))
    with pytest.raises(BadSetting, match=f"feature 1: .*{told}"):
        read_places(path)


@pytest.mark.parametrize(
    "broken",
    ["x", {"properties": {"kind": "school"}}, {"properties": {"kind": "school", "name": 1}}],
)
def test_a_feature_that_is_none_is_named(tmp_path: Path, broken: object) -> None:
    with pytest.raises(BadSetting, match=r"feature 0: .*(object|name|geometry)"):
        read_places(write(tmp_path / "places.geojson", broken))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"features": 5}', '{"features": NaN}'])
def test_a_file_that_is_no_collection_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "places.geojson"
    path.write_text(text)
    with pytest.raises(BadSetting, match="places_file"):
        read_places(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="cannot be read"):
        Places(tmp_path / "none.geojson").load()
