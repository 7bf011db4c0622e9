"""The server of the HTTP tests, for the files with its answers."""

from tests.support.api import attentive, make_service, settings

__all__ = ["attentive", "make_service", "settings"]
