"""The events of the city: the same seed gives the same city. No I/O, no clock."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from hms_svc.demo.services import GRAFFITI, STREETLIGHT
from hms_svc.domain.strict_json import JsonValue
from hms_svc.services.analysis_run import TYPE as ANALYSIS
from hms_svc.services.crew_notify import TYPE as CREW
from hms_svc.services.places import METRES_PER_DEGREE, Position
from hms_svc.services.pothole_report import TYPE as POTHOLE

BLOCKED_USER: Final = "usr-66666"
REMEMBERED: Final = 40
NEAR_METRES: Final = 400.0
SAME_SPOT_METRES: Final = 8.0
UNSERVED: Final = "snow.report"


class Submission(msgspec.Struct, frozen=True):
    """One submission: a job's data, or bytes that are not a job; `delay_seconds` schedules it."""

    type: str
    data: JsonValue = None
    raw: bytes = b""
    delay_seconds: float = 0.0
    max_attempts: int | None = None


class City:
    """Generates submissions around the given spots (latitude, longitude), `rate` per second on average."""

    def __init__(self, spots: Sequence[Position], *, seed: int, rate: float, began_ms: int) -> None:
        self._spots = spots
        self._random = random.Random(seed)
        self._rate = rate
        self._began_ms = began_ms
        self._known: deque[Position] = deque(maxlen=REMEMBERED)
        self._kinds: dict[Callable[[], Submission], float] = {
            self._report: 50,
            self._again: 11,
            self._stranger: 5,
            self._nonsense: 3,
            self._blocked: 3,
            self._closure: 2,
            self._streetlight: 16,
            self._graffiti: 5,
            self._analysis: 1,
            self._noise: 1,
            self._snow: 1,
            self._later: 2,
            self._dispatch: 5,
        }

    def opening(self) -> list[Submission]:
        """Return one submission of every kind, so that there is something of each to see at once."""
        return [make() for make in self._kinds]

    def next(self) -> tuple[float, Submission]:
        """Return the seconds to wait, and the submission that follows."""
        [make] = self._random.choices(list(self._kinds), list(self._kinds.values()))
        return self._random.expovariate(self._rate), make()

    def _report(self) -> Submission:
        place = self._moved(self._random.choice(self._spots), NEAR_METRES)
        self._known.append(place)
        return Submission(POTHOLE, self._pothole(place))

    def _again(self) -> Submission:
        if not self._known:
            return self._report()
        place = self._random.choice(self._known)
        return Submission(POTHOLE, self._pothole(self._moved(place, SAME_SPOT_METRES)))

    def _stranger(self) -> Submission:
        name = self._random.choice(["troll!", "root", "usr-<script>", "usr-../../etc"])
        return Submission(POTHOLE, self._pothole(self._anywhere(), user_id=name))

    def _blocked(self) -> Submission:
        return Submission(POTHOLE, self._pothole(self._anywhere(), user_id=BLOCKED_USER))

    def _nonsense(self) -> Submission:
        return Submission(POTHOLE, {**self._pothole(self._anywhere()), "lat": 123.0})

    def _closure(self) -> Submission:
        return Submission(POTHOLE, {**self._pothole(self._anywhere()), "needs_road_closure": True})

    def _streetlight(self) -> Submission:
        data: JsonValue = {
            "user_id": self._user(),
            "lamp": f"L-{self._random.randrange(700, 10_000):04}",
            "fault": self._random.choice(["dark", "flickers", "leans"]),
            "city_began_ms": self._began_ms,
        }
        return Submission(STREETLIGHT, data)

    def _graffiti(self) -> Submission:
        wall = f"{self._random.randrange(1, 400)} {self._random.choice('KLMNPQ')} Street"
        area = round(self._random.uniform(0.5, 12), 1)
        return Submission(GRAFFITI, {"user_id": self._user(), "wall": wall, "square_metres": area})

    def _analysis(self) -> Submission:
        steps = self._random.randrange(15, 40)
        return Submission(ANALYSIS, {"dataset": "places", "steps": steps, "seconds_per_step": 1.0})

    def _noise(self) -> Submission:
        return Submission(POTHOLE, raw=b'{"type": "pothole.report", "data": {"lat": 38.9, ')

    def _dispatch(self) -> Submission:
        """Send a crew from the office, with few attempts."""
        latitude, longitude = self._anywhere()
        case = f"case-office-{self._random.randrange(10_000)}"
        data: JsonValue = {
            "case_id": case,
            "kind": "fallen-tree",
            "lat": latitude,
            "lon": longitude,
        }
        return Submission(CREW, data, max_attempts=3)

    def _snow(self) -> Submission:
        return Submission(UNSERVED, {"user_id": self._user(), "centimetres": 12})

    def _later(self) -> Submission:
        report = self._report()
        return msgspec.structs.replace(report, delay_seconds=self._random.uniform(20, 90))

    def _pothole(self, place: Position, user_id: str = "") -> dict[str, JsonValue]:
        latitude, longitude = place
        user = user_id or self._user()
        return {
            "user_id": user,
            "lat": round(latitude, 6),
            "lon": round(longitude, 6),
            "photo": f"https://photos.example.org/{self._random.randrange(10_000)}/street.jpg",
        }

    def _user(self) -> str:
        return f"usr-{self._random.randrange(10_000, 60_000)}"

    def _anywhere(self) -> Position:
        return self._moved(self._random.choice(self._spots), NEAR_METRES)

    def _moved(self, place: Position, metres: float) -> Position:
        degrees = metres / METRES_PER_DEGREE
        return (
            place[0] + self._random.uniform(-degrees, degrees),
            place[1] + self._random.uniform(-degrees, degrees),
        )
