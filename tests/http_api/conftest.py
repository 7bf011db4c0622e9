"""The fixtures of these tests; see `tests.support.api`."""

from tests.support.api import any_service, attentive, connections, make_service, service, settings

__all__ = ["any_service", "attentive", "connections", "make_service", "service", "settings"]
