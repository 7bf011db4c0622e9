"""The CEL library's evaluator, without the command line that its package also imports.

That command line costs 130 ms and 15 MB in every worker. Its package is
entered into `sys.modules` empty, so that only the extension inside it loads.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from cel import Context, Program


_loading = threading.Lock()


def compile_expression(source: str) -> Program:
    """Compile an expression; ValueError says what is wrong with it, and where."""
    return cast("Program", _engine().compile(source))


def make_context(variables: dict[str, Any]) -> Context:
    """Return the variables to any number of executions."""
    return cast("Context", _engine().Context(variables))


def _engine() -> Any:
    with _loading:  # a console and its workers may come here at the same moment
        if "cel" not in sys.modules:
            spec = find_spec("cel")
            if spec is None:
                raise ModuleNotFoundError("no module named 'cel'", name="cel")
            sys.modules["cel"] = module_from_spec(spec)
        return import_module("cel.cel")
