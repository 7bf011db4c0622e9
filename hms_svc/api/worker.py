"""`Worker` for scripts: one handler, run in this process until stopped."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence

from hms_svc import bootstrap
from hms_svc.api.portal import close as close_portal
from hms_svc.domain.errors import BadInput, ResourceFailed
from hms_svc.observability.application_logs import application_logging
from hms_svc.observability.logs import set_up_logging
from hms_svc.processes.shutdown import leave_if_stuck, leave_now, stop_on_signals
from hms_svc.processes.supervisor import OUTAGE_CODE
from hms_svc.runtime.worker import Worker as RuntimeWorker
from hms_svc.runtime.worker_ids import make_worker_id
from hms_svc.sdk.app_settings import read_app_settings
from hms_svc.sdk.captured_output import captured_output
from hms_svc.sdk.injection import Injection
from hms_svc.sdk.job_type import Handler, Validator
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.standard_streams import provide_standard_streams
from hms_svc.settings import Settings, load_settings


class Worker:
    """Serves the job types `jobs` with one handler, after `validators`, which must all accept the job.

    It also has the resources and the middleware of `registry`.
    """

    def __init__(
        self,
        jobs: str | Sequence[str],
        validators: Sequence[Validator] = (),
        *,
        registry: Registry | None = None,
    ) -> None:
        self._types = jobs
        self._validators = validators
        self._registry = registry

    def start(self, on_job: Handler) -> None:
        """Run until SIGTERM or SIGINT; running jobs may finish within the grace period.

        `on_job` is plain (run on a thread pool) or `async`, and takes the running
        job. Call it from the main thread. A job whose worker died is run alone. Invalid types,
        validators, handlers or resources end the process with exit code 2 and a message
        on standard error; a resource that cannot be opened ends it with 1, files that are replaced or removed while they are open end it with 5.
        """
        try:
            registry = _registry_of(self._types, self._validators, on_job, self._registry)
            Injection(registry)
            settings = bootstrap.resolve(load_settings().settings)
            read_app_settings(registry.scopes, settings.apps)
        except BadInput as error:
            print(f"hms-svc: {error}", file=sys.stderr)
            sys.exit(2)
        provide_standard_streams()
        if not logging.getLogger("hms_svc").handlers:
            set_up_logging(settings.log_level, settings.log_format)
        try:
            with (
                application_logging(settings.log_level, settings.log_format),
                captured_output(pass_on=True),
            ):
                asyncio.run(_serve(settings, registry))
        except ResourceFailed:
            sys.exit(1)  # it was logged
        close_portal()


def _registry_of(
    jobs: str | Sequence[str],
    validators: Sequence[Validator],
    on_job: Handler,
    given: Registry | None,
) -> Registry:
    types = (jobs,) if isinstance(jobs, str) else jobs
    if not isinstance(types, Sequence) or not types:
        raise BadInput(f"Worker: jobs {jobs!r:.80} is not a job type or a list of job types")
    registry = Registry() if given is None else given
    for type in types:
        registry.job(type, validators=validators)(on_job)
    return registry.only(types)


async def _serve(settings: Settings, registry: Registry) -> None:
    worker_id = make_worker_id()
    async with bootstrap.engines(
        settings, registry, worker_id, on_replaced=lambda: leave_now(OUTAGE_CODE)
    ) as engines:
        options = bootstrap.worker_options(settings, worker_id=worker_id, inline_suspects=True)
        worker = RuntimeWorker(engines, options)
        stop_on_signals(worker)
        await worker.run()
    leave_if_stuck(worker)
