"""The type variables of handles and declared types.

Their defaults, for `Handle` without brackets, are for type checkers: Python has them from 3.13 on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from typing_extensions import TypeVar

    PayloadT = TypeVar("PayloadT", default=Any)
    ResultT_co = TypeVar("ResultT_co", covariant=True, default=Any)
    HandlerT_co = TypeVar(
        "HandlerT_co", covariant=True, bound=Callable[..., Any], default=Callable[..., Any]
    )
else:
    from typing import TypeVar

    PayloadT = TypeVar("PayloadT")
    ResultT_co = TypeVar("ResultT_co", covariant=True)
    HandlerT_co = TypeVar("HandlerT_co", covariant=True)
