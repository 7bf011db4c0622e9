"""One broker with its faces, as the composition root puts it together."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from hms_svc.ports.broker import Broker

if TYPE_CHECKING:
    from hms_svc.ports.bus import Bus
    from hms_svc.ports.control import Control
    from hms_svc.ports.inspection import Inspection


class Backend:
    """One broker with its faces. Use it as `async with`; closed, it can be opened again.

    The faces are made when they are first asked for: a producer needs one.
    """

    def __init__(self, broker: Broker, face: Callable[[str], Any]) -> None:
        self.broker = broker
        self._face = face

    @cached_property
    def inspection(self) -> Inspection:
        """The operator's reads."""
        return cast("Inspection", self._face("inspection"))

    @cached_property
    def control(self) -> Control:
        """The operator's changes."""
        return cast("Control", self._face("control"))

    @cached_property
    def bus(self) -> Bus:
        """The result bus."""
        return cast("Bus", self._face("bus"))

    async def open(self) -> None:
        """Connect; raises BrokerUnavailable."""
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
