"""Entry point of the supervisor process of `serve`: it uses little memory and runs no jobs."""

from __future__ import annotations

import socket
import sys

import msgspec

from hms_svc.observability.logs import set_up_logging
from hms_svc.processes.supervisor import ChildSpec, Supervisor
from hms_svc.settings import load_settings


def main(arguments: list[str]) -> int:
    """Supervise the processes of these specs (JSON), with the settings of the environment.

    A descriptor before the specs is the control socket of the console that these workers belong to.
    """
    settings = load_settings().settings
    set_up_logging(settings.log_level, settings.log_format)
    specs = msgspec.json.decode(arguments[-1], type=list[ChildSpec])
    line = socket.socket(fileno=int(arguments[0])) if len(arguments) > 1 else None
    return Supervisor(settings, specs, line).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
