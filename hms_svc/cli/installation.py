"""`hms-svc doctor` and `hms-svc config`: the checks and the settings of this installation."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import typer

from hms_svc.cli.options import AsJson
from hms_svc.cli.output import echo, emit, table
from hms_svc.cli.root import DONE, OUR_FAULT, complain
from hms_svc.cli.session import Session, run, session_of
from hms_svc.domain.errors import HmsError, Outage

if TYPE_CHECKING:
    from hms_svc.operations.doctor import Finding
    from hms_svc.settings import Settings

SIGNS = {"ok": "✓", "note": "!", "error": "✗"}


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check this installation; exit 1 if something is wrong."""
    findings = run(lambda: _examine(session_of(context)))
    for finding in findings:
        level = finding.level.value
        if as_json:
            emit(finding)
        else:
            echo(f"{SIGNS[level]} {finding.check}: {finding.text}")
    bad = any(finding.level.value == "error" for finding in findings)
    raise typer.Exit(OUR_FAULT if bad else DONE)


def config(context: typer.Context, as_json: AsJson = False) -> None:
    """Show all settings and their origins; secrets are masked."""
    from pathlib import Path

    from hms_svc.settings import READERS, masked

    loaded = session_of(context).loaded
    rows = []
    for name in READERS:
        value = masked(name, getattr(loaded.settings, name))
        plain_value = str(value) if isinstance(value, Path) else value
        rows.append((name, plain_value, loaded.sources[name]))
    rows += _app_settings(loaded.settings)
    if as_json:
        from hms_svc.operations.answers.installation import Setting

        for name, value, source in rows:
            emit(Setting(setting=name, value=value, source=source))
    else:
        table(("setting", "value", "from"), [(n, _written(v), s) for n, v, s in rows])


def _app_settings(settings: Settings) -> list[tuple[str, object, str]]:
    """Return the settings of applications; all values are masked if the applications cannot be loaded."""
    from hms_svc.bootstrap import application
    from hms_svc.domain.backend_url import MASK
    from hms_svc.sdk.app_settings import shown_app_settings
    from hms_svc.sdk.apps import installed_apps

    if not settings.app and not settings.apps and not installed_apps():
        return []
    try:
        return list(shown_app_settings(application(settings).scopes, settings.apps))
    except HmsError as error:
        complain(f"warning: {error}")
        return [
            (f"apps.{name}.{key}", MASK, given.source)
            for name, section in settings.apps.items()
            for key, given in section.items()
        ]


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


async def _examine(session: Session) -> list[Finding]:
    from hms_svc.operations.doctor import (
        examine_engines,
        examine_machine,
        failed,
        outage_findings,
    )

    findings = await examine_machine(session.settings)
    findings += [
        *_extras(session),
        *_policy(session),
        *_agencies(session),
        *_places(session),
        *_tls(session),
        *_apps(session),
    ]
    if any(finding.level.value == "error" for finding in findings):
        return findings
    async with AsyncExitStack() as stack:
        try:
            operations = await stack.enter_async_context(session.operations())
        except Outage as error:
            return [*findings, *outage_findings(error, session.settings)]
        except HmsError as error:
            return [*findings, failed("engines", error)]
        findings += await examine_engines(operations.reads, operations.audit, session.settings)
    return findings


def _extras(session: Session) -> list[Finding]:
    from hms_svc.domain import extras
    from hms_svc.domain.version import CLIENT, installed_distributions
    from hms_svc.operations.doctor import Finding, FindingLevel, failed

    found = []
    for check, value in (  # jwks_url is checked with the HTTP settings
        (extras.check_database, session.settings.database_url),
        (extras.check_traces, session.settings.otlp_endpoint),
    ):
        try:
            check(value)
        except HmsError as error:
            found.append(failed("extras", error))
    if CLIENT in installed_distributions():
        text = f"{CLIENT} is installed beside hms-svc, and their files overwrite each other: uninstall both, then install hms-svc"
        found.append(Finding("extras", FindingLevel.ERROR, text))
    installed = ", ".join(extra.name for extra in extras.EXTRAS if extra.is_installed)
    return found or [Finding("extras", FindingLevel.OK, f"installed: {installed or 'none'}")]


def _policy(session: Session) -> list[Finding]:
    from hms_svc.bootstrap import policy
    from hms_svc.operations.doctor import Finding, FindingLevel, failed

    try:
        policy(session.settings)
    except HmsError as error:
        return [failed("policy", error)]
    where = session.settings.policy_url or session.settings.policy_file or "the bundled default"
    return [Finding("policy", FindingLevel.OK, f"{where} is in use")]


def _agencies(session: Session) -> list[Finding]:
    from hms_svc.operations.doctor import Finding, FindingLevel, failed
    from hms_svc.sdk.agencies_file import load_agencies

    file = session.settings.agencies_file
    if file is None:
        return []
    try:
        found = load_agencies(file)
    except HmsError as error:
        return [failed("agencies", error)]
    text = f"senders {len(found.senders)}, receivers {len(found.receivers)}"
    return [Finding("agencies", FindingLevel.OK, f"{file} is in use: {text}")]


def _places(session: Session) -> list[Finding]:
    from hms_svc.operations.doctor import Finding, FindingLevel, failed
    from hms_svc.services.places import read_places

    file = session.settings.places_file
    if file is None:
        return []
    try:
        found = read_places(file)
    except HmsError as error:
        return [failed("places", error)]
    return [Finding("places", FindingLevel.OK, f"{file} is in use: places {len(found)}")]


def _tls(session: Session) -> list[Finding]:
    from hms_svc.http_api.settings_check import check_http_settings
    from hms_svc.operations.doctor import Finding, FindingLevel, failed

    try:
        check_http_settings(session.settings)
    except HmsError as error:
        return [failed("http", error)]
    file = session.settings.http_tls_certificate
    return (
        [Finding("http", FindingLevel.OK, f"{file} and its key match")] if file is not None else []
    )


def _apps(session: Session) -> list[Finding]:
    from hms_svc.bootstrap import application
    from hms_svc.operations.doctor import Finding, FindingLevel, failed
    from hms_svc.sdk.app_settings import check_app_settings
    from hms_svc.sdk.apps import installed_apps

    apps = (*session.settings.app, *installed_apps())
    if not apps and not session.settings.apps:
        return []
    try:
        registry = application(session.settings)
        check_app_settings(registry.scopes, session.settings.apps)
    except HmsError as error:
        return [failed("app", error)]
    replaced = [Finding("app", FindingLevel.NOTE, str(each)) for each in registry.replacements]
    text = f"{', '.join(apps) or 'none'} can be loaded"
    return [Finding("app", FindingLevel.OK, text), *replaced]
