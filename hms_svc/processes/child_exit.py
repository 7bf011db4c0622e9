"""How every child of `serve` ends: with an exit code, and an error in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable

from hms_svc.domain.errors import BadInput, HmsError, Outage, Replaced, ResourceFailed
from hms_svc.processes.supervisor import OUTAGE_CODE, REPLACED_CODE, RESOURCE_CODE


def exit_code_of(work: Callable[[], None]) -> int:
    """Run a child of `serve` to its end; print an error in one line, and return the exit code."""
    try:
        work()
    except BadInput as error:
        return _report(error, 2)
    except Replaced as error:
        return _report(error, REPLACED_CODE)
    except Outage as error:
        return _report(error, OUTAGE_CODE)
    except ResourceFailed:
        return RESOURCE_CODE  # it was logged with its traceback
    except HmsError as error:
        return _report(error, 1)
    return 0


def _report(error: HmsError, code: int) -> int:
    print(f"hms-svc: {error}", file=sys.stderr)
    return code
