"""The fixtures of these tests; see `tests.support.broker_engines`."""

from tests.support.broker_engines import clock, harness, make_backend, settings

__all__ = ["clock", "harness", "make_backend", "settings"]
