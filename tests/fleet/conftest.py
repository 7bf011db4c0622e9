"""The fixtures of these tests; see `tests.support.fleet`."""

from tests.support.fleet import fleet, settings

__all__ = ["fleet", "settings"]
