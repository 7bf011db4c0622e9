"""What every child of `serve` has in common: its end in one line, and as an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from hms_svc.domain.errors import BadInput, HmsError, Outage, Replaced
from hms_svc.processes.supervisor import OUTAGE_CODE, REPLACED_CODE


def ending_of(work: Callable[[], None]) -> int:
    """Run a child of `serve` to its end; gives its exit code, with its error in one line."""
    try:
        work()
    except BadInput as error:
        return _complain(error, 2)
    except Replaced as error:
        return _complain(error, REPLACED_CODE)
    except Outage as error:
        return _complain(error, OUTAGE_CODE)
    except HmsError as error:
        return _complain(error, 1)
    return 0


def _complain(error: HmsError, code: int) -> int:
    print(f"hms-svc: {error}", file=sys.stderr)
    return code
