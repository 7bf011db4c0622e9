"""What every test shares. Fixtures of one kind of test stand in the conftest of its folder."""

from __future__ import annotations

pytest_plugins = ["tests.servers.redis"]
