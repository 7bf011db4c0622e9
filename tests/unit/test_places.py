from __future__ import annotations

from math import atan2, cos, degrees, hypot, radians, sin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.domain.errors import BadInput
from hms_svc.persistence.places import (
    EARTH_RADIUS_M,
    MAX_RADIUS_M,
    cell_of,
    cells_within,
    distance_m,
)

latitudes = st.one_of(
    st.floats(-90, 90),
    st.floats(89.9, 90),
    st.floats(-90, -89.9),
    st.sampled_from([-90.0, 0.0, 90.0, 40.7128]),
)
longitudes = st.one_of(
    st.floats(-180, 180),
    st.floats(179.99, 180),
    st.floats(-180, -179.99),
    st.sampled_from([-180.0, 0.0, 180.0]),
)
radii = st.one_of(st.floats(0, 300), st.just(25.0))


def travel(lat: float, lon: float, metres: float, bearing: float) -> tuple[float, float]:
    """Go so far along a great circle; return latitude and longitude, both within their limits."""
    angle, north = metres / EARTH_RADIUS_M, radians(lat)
    up = sin(north) * cos(angle) + cos(north) * sin(angle) * cos(bearing)
    out = cos(north) * cos(angle) - sin(north) * sin(angle) * cos(bearing)
    aside = sin(angle) * sin(bearing)
    # An arc sine would be wrong by up to 0.1 m at the poles.
    reached = atan2(up, hypot(out, aside))
    return degrees(reached), (lon + degrees(atan2(aside, out)) + 540) % 360 - 180


@given(latitudes, longitudes, radii, st.floats(0, 1), st.floats(0, 6.2832))
def test_the_cells_hold_every_place_within_the_radius(
    lat: float, lon: float, radius: float, share: float, bearing: float
) -> None:
    reached = travel(lat, lon, radius * share, bearing)
    assert cell_of(*reached) in cells_within(lat, lon, radius)


@given(latitudes, longitudes, latitudes, longitudes, radii)
def test_whatever_is_near_by_distance_is_near_by_cell(
    lat: float, lon: float, other_lat: float, other_lon: float, radius: float
) -> None:
    if distance_m(lat, lon, other_lat, other_lon) <= radius:
        assert cell_of(other_lat, other_lon) in cells_within(lat, lon, radius)


@given(latitudes, longitudes, radii)
def test_cells_are_sorted_and_stand_once(lat: float, lon: float, radius: float) -> None:
    cells = cells_within(lat, lon, radius)
    assert cells == sorted(set(cells))


@given(latitudes, longitudes)
def test_a_small_radius_meets_few_cells(lat: float, lon: float) -> None:
    far_from_the_poles = abs(lat) < 89.9
    assert len(cells_within(lat, lon, 25.0)) <= (4 if far_from_the_poles else 16)


@given(latitudes, longitudes)
def test_a_cell_fits_into_a_signed_64_bit_integer(lat: float, lon: float) -> None:
    assert 0 <= cell_of(lat, lon) < 2**38


@given(latitudes, longitudes, st.floats(0, 5_000), st.floats(0, 6.2832))
def test_distance_is_the_length_of_the_way(
    lat: float, lon: float, metres: float, bearing: float
) -> None:
    reached = travel(lat, lon, metres, bearing)
    assert distance_m(lat, lon, *reached) == pytest.approx(metres, abs=0.02)


def test_both_sides_of_the_antimeridian_are_one_line() -> None:
    assert cell_of(10.0, 180.0) == cell_of(10.0, -180.0)
    assert distance_m(10.0, 180.0, 10.0, -180.0) == pytest.approx(0, abs=1e-6)


def test_opposite_places_are_half_the_earth_apart() -> None:
    assert distance_m(90, 0, -90, 77) == pytest.approx(3.14159265 * EARTH_RADIUS_M)


def test_the_largest_radius_still_answers_at_the_pole() -> None:
    assert len(cells_within(90.0, 0.0, MAX_RADIUS_M)) < 10_000


@pytest.mark.parametrize("radius", [-1.0, MAX_RADIUS_M + 1, float("nan"), float("inf")])
def test_a_radius_out_of_bounds_is_bad_input(radius: float) -> None:
    with pytest.raises(BadInput, match="radius"):
        cells_within(0.0, 0.0, radius)
