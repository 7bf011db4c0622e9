"""The fixtures of these tests; see `tests.support.worker`."""

from tests.support.worker import open_harness, settings

__all__ = ["open_harness", "settings"]
