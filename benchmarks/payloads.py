"""What the jobs of a measurement carry: small reports, no two of one place or one user."""

from __future__ import annotations

from typing import Any

_COLUMNS = 200


def noop(number: int, sent_ns: int = 0) -> dict[str, Any]:
    """Return the payload of a job that does nothing."""
    payload: dict[str, Any] = {
        "user_id": "usr-44321",
        "lat": 38.8977,
        "lon": -77.0365,
        "photo": "s3://uploads/ravi.jpg",
        "n": number,
    }
    return payload | {"sent_ns": sent_ns} if sent_ns else payload


def report(number: int) -> dict[str, Any]:
    """Return a pothole report: places are 90 m or more apart, each user reports once."""
    row, column = divmod(number, _COLUMNS)
    return {
        "user_id": f"usr-{number}",
        "lat": round(38.5 + row * 0.001, 6),
        "lon": round(-77.2 + column * 0.0015, 6),
        "photo": "s3://uploads/ravi.jpg",
    }
