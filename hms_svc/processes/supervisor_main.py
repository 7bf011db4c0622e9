"""Entry point of the supervisor process of `serve`: it uses little memory and runs no jobs."""

from __future__ import annotations

import socket
import sys

import msgspec

from hms_svc.observability.logs import set_up_logging
from hms_svc.processes.child_spec import ChildSpec
from hms_svc.processes.first_worker import taken_over
from hms_svc.processes.supervisor import Supervisor
from hms_svc.settings import load_settings


def main(arguments: list[str]) -> int:
    """Supervise the processes of these specs (JSON), with the settings of the environment.

    Before the specs there may be the descriptor of the control socket of the process that these workers
    belong to, such as a console, and then the two of the first worker.
    """
    settings = load_settings().settings
    set_up_logging(settings.log_level, settings.log_format)
    specs = msgspec.json.decode(arguments[-1], type=list[ChildSpec])
    *descriptors, _ = arguments
    line = socket.socket(fileno=int(descriptors.pop(0))) if len(descriptors) % 2 else None
    first = taken_over(*descriptors) if descriptors else None
    return Supervisor(settings, specs, line, first).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
