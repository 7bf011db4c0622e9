"""The server of the HTTP tests, for the files with its answers."""

from tests.http_api.conftest import attentive, make_service, settings

__all__ = ["attentive", "make_service", "settings"]
