"""One broker with its interfaces, as the composition root assembles it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hms_svc.ports.broker import Broker

if TYPE_CHECKING:
    from hms_svc.ports.bus import Bus
    from hms_svc.ports.control import Control
    from hms_svc.ports.inspection import Inspection


class Backend:
    """One broker with its interfaces, for use with `async with`. It can be opened again after a close.

    Each interface is made on first use: a producer needs only the broker.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        inspection: Callable[[], Inspection],
        control: Callable[[], Control],
        bus: Callable[[], Bus],
    ) -> None:
        self.broker = broker
        self._make_inspection = inspection
        self._make_control = control
        self._make_bus = bus

    @cached_property
    def inspection(self) -> Inspection:
        """The operator's reads."""
        return self._make_inspection()

    @cached_property
    def control(self) -> Control:
        """The operator's changes."""
        return self._make_control()

    @cached_property
    def bus(self) -> Bus:
        """The result bus."""
        return self._make_bus()

    async def open(self) -> None:
        """Connect; raise BrokerUnavailable if the engine cannot be reached."""
        await self.broker.open()

    async def close(self) -> None:
        """Disconnect."""
        await self.broker.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
