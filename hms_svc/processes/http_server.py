"""The HTTP server process of `serve`."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import msgspec

from hms_svc import bootstrap
from hms_svc.domain.errors import Outage
from hms_svc.http_api.app import make_app
from hms_svc.http_api.authentication import Authentication
from hms_svc.http_api.context import ApiContext
from hms_svc.http_api.exposure import check_exposure, warn_of_plain_text
from hms_svc.http_api.listen_socket import bound_address
from hms_svc.http_api.server import names_of, serve
from hms_svc.http_api.service_metrics import ServiceMetrics
from hms_svc.http_api.settings_check import check_http_settings
from hms_svc.observability.logs import set_up_logging
from hms_svc.operations.batched_submission import BatchedSubmission
from hms_svc.operations.service import Operations, make_operations
from hms_svc.ports.backend import Backend
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.database import Database
from hms_svc.ports.tracing import Tracer
from hms_svc.processes.child_exit import exit_code_of
from hms_svc.processes.child_spec import ChildSpec
from hms_svc.processes.shutdown import leave_now
from hms_svc.processes.stop_signals import stop_signals
from hms_svc.processes.supervisor import DONE, READY, REPLACED_CODE, send, stop_reason
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings, load_settings

if TYPE_CHECKING:
    from hms_svc.http_api.identity_provider import IdentityProvider

log: Final = logging.getLogger("hms_svc.http")


def run_http_server(arguments: list[str]) -> int:
    """Run the HTTP server; the arguments are the descriptor of the control socket and the spec as JSON."""
    line = socket.socket(fileno=int(arguments[0]))
    spec = msgspec.json.decode(arguments[1], type=ChildSpec)

    def work() -> None:
        settings = load_settings().settings
        set_up_logging(settings.log_level, settings.log_format)
        check_http_settings(settings)
        asyncio.run(_receive(settings, spec, line))

    return exit_code_of(work)


async def _receive(settings: Settings, spec: ChildSpec, line: socket.socket) -> None:
    listening = socket.socket(fileno=spec.listening)
    stop = _stop_event(line)
    is_replaced = asyncio.Event()

    def on_replaced() -> None:
        is_replaced.set()
        stop.set()

    async with open_api(settings, on_replaced) as api:
        with suppress(Outage):  # Tokens are loaded now: the database may be unresponsive later.
            await api.authentication.is_open()
        await check_exposure(settings, listening, api.authentication.is_open)
        warn_of_plain_text(settings, listening)
        api.metrics.listen(socket.socket(fileno=spec.reports))
        app = make_app(api, hosts=names_of(settings), web=spec.web)
        log.info("listening on %s", bound_address(settings.http, listening))
        gc.freeze()
        gc.enable()
        await serve(app, api, listening, stop, lambda: send(line, READY))
    if is_replaced.is_set():
        leave_now(REPLACED_CODE)
    send(line, DONE)


@asynccontextmanager
async def open_api(
    settings: Settings, on_replaced: Callable[[], None] | None = None
) -> AsyncIterator[ApiContext]:
    """Open broker and database, and yield the context of the HTTP API; see `bootstrap.backend`."""
    clock = SystemClock()
    registry = bootstrap.application(settings)
    stores = bootstrap.database(settings, clock, on_replaced=on_replaced, bounded=True)
    traces = bootstrap.tracer(settings)
    queue = bootstrap.backend(settings, clock, on_replaced=on_replaced, bounded=True)
    async with queue:
        await stores.open()
        try:
            yield _make_context(settings, registry, queue, stores, traces)
        finally:
            await stores.close()
            if traces is not None:
                await traces.close()


def _make_context(
    settings: Settings,
    registry: Registry,
    queue: Backend,
    stores: Database,
    traces: Tracer | None,
) -> ApiContext:
    clock = SystemClock()

    def operations_for(actor: str) -> Operations:
        return make_operations(
            msgspec.structs.replace(settings, actor=actor),
            broker=queue.broker,
            inspection=queue.inspection,
            control=queue.control,
            bus=queue.bus,
            database=stores,
            registry=registry,
        )

    submission = BatchedSubmission(
        broker=queue.broker,
        inspection=queue.inspection,
        accepted_keys=stores.accepted_keys,
        registry=registry,
        clock=clock,
        queue_limit=settings.queue_limit,
    )
    return ApiContext(
        settings=settings,
        registry=registry,
        reads=operations_for(settings.actor).reads,
        submission=submission,
        authentication=Authentication(
            stores.tokens, clock, local_actor=settings.actor, provider=_provider(settings)
        ),
        operations_for=operations_for,
        envelopes=bootstrap.envelope_intake(settings),
        metrics=ServiceMetrics(clock, registry),
        tracer=traces,
    )


def _provider(settings: Settings) -> IdentityProvider | None:
    if not settings.jwks_url:
        return None
    from hms_svc.http_api.identity_provider import IdentityProvider

    return IdentityProvider(
        settings.jwks_url,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        scope_claims=settings.jwt_scopes,
        ca_file=settings.ca_file,
    )


def _stop_event(line: socket.socket) -> asyncio.Event:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in stop_signals():
        loop.add_signal_handler(number, stop.set)
    line.setblocking(False)

    def on_line() -> None:
        if stop_reason(line.fileno()):
            loop.remove_reader(line.fileno())
            stop.set()

    loop.add_reader(line.fileno(), on_line)
    return stop
