"""How urgent a pothole is: a pure judgement from the places near it."""

from __future__ import annotations

from typing import Final

import msgspec

from hms_svc.services.places import PlaceIndex, PlaceKind


class Weight(msgspec.Struct, frozen=True):
    """What a kind of place adds at most: all of it at the place, decreasing to none at `reach_m`."""

    points: int
    reach_m: float
    label: str


BASE: Final = 20
WEIGHTS: Final = {
    PlaceKind.HOSPITAL: Weight(40, 2000.0, "hospital"),
    PlaceKind.SCHOOL: Weight(25, 600.0, "school"),
    PlaceKind.SCHOOL_BUS_ROUTE: Weight(15, 60.0, "school-bus route"),
}


class Assessment(msgspec.Struct, frozen=True):
    """An urgency from 0 to 100, and the reasons for it as text."""

    urgency: int
    reasons: tuple[str, ...]


def assess(places: PlaceIndex, lat: float, lon: float) -> Assessment:
    """Judge a place (WGS 84 degrees): 20 points, and more for the nearest place of each kind."""
    points = float(BASE)
    reasons = []
    for kind, weight in WEIGHTS.items():
        near = places.nearest(kind, lat, lon, weight.reach_m)
        if near is None:
            continue
        added = weight.points * (1.0 - near.distance_m / weight.reach_m)
        points += added
        reasons.append(
            f"the {weight.label} {near.name} is {near.distance_m:.0f} m away (+{added:.0f})"
        )
    if not reasons:
        reasons.append("no hospital, school or school-bus route is near")
    return Assessment(round(points), tuple(reasons))
