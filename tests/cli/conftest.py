"""The fixtures of these tests; see `tests.support.command_line`."""

from tests.support.command_line import city, cli

__all__ = ["city", "cli"]
