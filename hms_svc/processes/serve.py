"""`hms-svc serve`: the process becomes the supervisor of its workers and the HTTP server."""

from __future__ import annotations

import os
import socket
import sys

import msgspec

from hms_svc import bootstrap
from hms_svc.domain import extras
from hms_svc.domain.backend_url import BackendKind
from hms_svc.processes.child_spec import ChildSpec, Role, python_module
from hms_svc.processes.first_worker import take_first_worker
from hms_svc.processes.supervisor import Supervisor
from hms_svc.settings import Settings, child_environment


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `serve`. Empty `types` means all, `http` None no HTTP; `web` is the console.

    With `reload` the service starts again when the source of an application changes.
    `owner` is the descriptor of a socket, or -1: the service ends when its other end is closed.
    """

    processes: int = 1
    types: tuple[str, ...] = ()
    drain: bool = False
    http: str | None = None
    web: bool = False
    reload: bool = False
    owner: int = -1


def serve(settings: Settings, options: ServeOptions) -> int:
    """Run workers until they are stopped or drained; return the exit code of `serve`.

    Replaces this process with the supervisor, which needs few of the modules that the command
    line has loaded. With `memory://` the supervisor runs in this process, because the folder
    is removed when it ends.
    """
    if options.reload:
        from hms_svc.processes.reload import serve_reloading

        return serve_reloading(settings, _specs(settings, options))
    bootstrap.check_application(settings)
    if options.types:
        bootstrap.application(settings).only(options.types)
    specs = _specs(settings, options)
    first = take_first_worker()
    if settings.broker.kind is BackendKind.MEMORY:
        line = socket.socket(fileno=options.owner) if options.owner >= 0 else None
        return Supervisor(bootstrap.resolve(settings), specs, line, first).run()
    sys.stdout.flush()
    sys.stderr.flush()
    command = [
        *python_module("hms_svc.processes.supervisor_main"),
        *((str(options.owner),) if options.owner >= 0 else ()),
        *(first.descriptors() if first is not None else ()),
        msgspec.json.encode(specs).decode(),
    ]
    return os.execve(  # noqa: S606 - nothing in it is input of a user
        sys.executable, command, child_environment(settings)
    )


def _specs(settings: Settings, options: ServeOptions) -> list[ChildSpec]:
    """Return the children of the supervisor, with the socket on which the HTTP server listens."""
    extras.check_database(settings.database_url)
    extras.check_traces(settings.otlp_endpoint)
    if options.web:
        extras.WEB.require("the console in a browser (--web)")
    specs = [ChildSpec(types=options.types, drain=options.drain)] * options.processes
    if options.http is not None:
        from hms_svc.http_api.exposure import refuse_exposure
        from hms_svc.http_api.listen_socket import listen
        from hms_svc.http_api.settings_check import check_http_settings

        check_http_settings(settings)
        listening = listen(options.http)
        refuse_exposure(settings, listening, lambda: bootstrap.database(settings))
        specs.append(ChildSpec(role=Role.HTTP, listening=listening.detach(), web=options.web))
    return specs
