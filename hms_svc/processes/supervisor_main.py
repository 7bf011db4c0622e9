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

    One argument before the specs is the descriptor of the control socket of the console that these
    workers belong to, two are those of the first worker.
    """
    settings = load_settings().settings
    set_up_logging(settings.log_level, settings.log_format)
    specs = msgspec.json.decode(arguments[-1], type=list[ChildSpec])
    line = socket.socket(fileno=int(arguments[0])) if len(arguments) == 2 else None
    first = taken_over(arguments[0], arguments[1]) if len(arguments) == 3 else None
    return Supervisor(settings, specs, line, first).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
