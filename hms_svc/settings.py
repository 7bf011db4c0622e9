"""All settings, and where each value came from: defaults < file < environment < options.

The only module that reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from hms_svc.domain.app_sections import (
    TABLE,
    VARIABLE,
    Sections,
    encode_sections,
    is_of_application,
    read_sections,
)
from hms_svc.domain.backend_url import (
    MASK,
    BackendUrl,
    mask_broken,
    mask_password,
    read_broker_url,
    read_database_url,
    sqlite_url,
)
from hms_svc.domain.errors import BadSetting
from hms_svc.domain.setting_values import (
    PLACES,
    Reader,
    address,
    choice,
    flag,
    networks,
    number,
    settings_of_context,
    take_table,
    text,
    text_list,
    whole,
    zone,
)
from hms_svc.domain.suggestions import did_you_mean
from hms_svc.machine import (
    config_folder,
    data_folder,
    file_fault,
    file_value,
    login_name,
    passing_folder,
    path_value,
    read_text_file,
    secret_in,
)

PREFIX: Final = "HMS_SVC_"
CONFIG_VARIABLE: Final = "HMS_SVC_CONFIG"
CONFIG_FILE: Final = "config.toml"
TEST_PREFIX: Final = "HMS_SVC_TEST_"
APP_NAME: Final = "hms-svc"
CONSOLE_CONCURRENCY: Final = 8
THEMES: Final = ("dark", "light", "contrast", "sixteen")
_SECRETS: Final = frozenset({"webhook_secret", "audit_key"})
_FROM_FILES: Final = {
    f"{PREFIX}{name.upper()}_FILE": name
    for name in (*sorted(_SECRETS), "broker_url", "database_url")
}
"""The variables that name a file with a secret, or with an address that may have a password."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of an hms-svc process. Durations are seconds or days, according to the name.

    Addresses and paths are absolute: relative ones were resolved when they were read. `apps` has
    the settings of applications, which their models have not read yet.
    """

    broker_url: str
    database_url: str
    data_dir: Path
    actor: str
    namespace: str = "default"
    lease_seconds: float = 30.0
    job_timeout_seconds: float = 300.0
    concurrency: int = 20
    grace_seconds: float = 25.0
    wait_seconds: float = 60.0
    completed_days: float = 7.0
    completed_max: int = 100_000
    failed_days: float = 90.0
    discard_undo_seconds: float = 600.0
    unserved_days: float = 7.0
    case_radius_m: float = 25.0
    reports_per_hour: int = 10
    blocked_users: tuple[str, ...] = ()
    builtin_types: bool = True
    places_file: Path | None = None
    policy_file: Path | None = None
    policy_url: str = ""
    policy_timeout_seconds: float = 5.0
    ca_file: Path | None = None
    webhook_url: str = ""
    webhook_secret: str = ""
    webhook_allowed_hosts: tuple[str, ...] = ()
    audit_key: str = ""
    agencies_file: Path | None = None
    http: str = "127.0.0.1:8710"
    http_hosts: tuple[str, ...] = ()
    http_origins: tuple[str, ...] = ()
    http_proxies: tuple[str, ...] = ()
    http_tls_certificate: Path | None = None
    http_tls_key: Path | None = None
    queue_limit: int = 0
    jwks_url: str = ""
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_scopes: tuple[str, ...] = ("scope", "scp", "roles")
    otlp_endpoint: str = ""
    sqlite_synchronous: str = "FULL"
    database_pool_size: int = 5
    database_statement_timeout_seconds: float = 5.0
    app: tuple[str, ...] = ()
    profile: str = ""
    production: bool = False
    theme: str = "dark"
    notify: str = "off"
    time_zone: str = ""
    log_level: str = "info"
    log_format: str = "text"
    apps: Sections = msgspec.field(default_factory=dict)

    @property
    def broker(self) -> BackendUrl:
        """The broker's address, parsed."""
        return read_broker_url(self.broker_url)

    @property
    def database(self) -> BackendUrl:
        """The database's address, parsed."""
        return read_database_url(self.database_url)


class Loaded(msgspec.Struct, frozen=True):
    """Settings with the origin of every value, and warnings.

    `contexts` are the names of the installations in the file; `read_only` is the setting of the
    chosen one. `keys` are the key bindings of the console that the file changes.
    """

    settings: Settings
    sources: dict[str, str]
    warnings: tuple[str, ...]
    contexts: tuple[str, ...] = ()
    read_only: bool = False
    keys: Mapping[str, str] = msgspec.field(default_factory=dict)


_WEB: Final = text(r"https?://[^\s/]+\S*", "an address such as https://host/path")
READERS: Final[dict[str, Reader]] = {
    "broker_url": address(read_broker_url),
    "database_url": address(read_database_url),
    "data_dir": path_value,
    "actor": text(r"[^\x00-\x1f\x7f]{1,128}", "a name of 1 to 128 printable characters"),
    "namespace": text(r"[a-z0-9][a-z0-9_-]{0,62}", "a name such as city-1: a-z, 0-9, _ and -"),
    "lease_seconds": number(1, 3600),
    "job_timeout_seconds": number(0.1, 7 * 86_400),
    "concurrency": whole(1, 1000),
    "grace_seconds": number(0, 3600),
    "wait_seconds": number(0, 7 * 86_400),
    "completed_days": number(0, 3650, "days"),
    "completed_max": whole(0, 100_000_000),
    "failed_days": number(0, 3650, "days"),
    "discard_undo_seconds": number(0, 7 * 86_400),
    "unserved_days": number(0, 3650, "days"),
    "case_radius_m": number(0.1, 5_000, "metres"),
    "reports_per_hour": whole(1, 1_000_000),
    "blocked_users": text_list(r"\S+", "a list of user ids"),
    "builtin_types": flag,
    "places_file": file_value,
    "policy_file": file_value,
    "policy_url": _WEB,
    "policy_timeout_seconds": number(0.05, 300),
    "ca_file": file_value,
    "webhook_url": _WEB,
    "webhook_secret": text(r".{8,}", "a secret of 8 characters or more"),
    "webhook_allowed_hosts": text_list(r"[A-Za-z0-9.:\[\]-]+", "a list of host names"),
    "audit_key": text(r".{16,}", "a secret of 16 characters or more"),
    "agencies_file": file_value,
    "http": text(r"[A-Za-z0-9.-]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}", "HOST:PORT"),
    "http_hosts": text_list(r"[A-Za-z0-9.:\[\]-]+", "a list of host names"),
    "http_origins": text_list(
        r"https?://[A-Za-z0-9.:\[\]-]+", "a list such as https://city.example"
    ),
    "http_proxies": networks,
    "http_tls_certificate": file_value,
    "http_tls_key": file_value,
    "queue_limit": whole(0, 1_000_000_000),
    "jwks_url": _WEB,
    "jwt_issuer": text(r"\S{1,256}", "the `iss` of tokens"),
    "jwt_audience": text(r"\S{1,256}", "the `aud` of tokens"),
    "jwt_scopes": text_list(r"[^\s,]+", "a list of claims such as scope or realm_access.roles"),
    "otlp_endpoint": _WEB,
    "sqlite_synchronous": choice("FULL", "NORMAL"),
    "database_pool_size": whole(2, 100),
    "database_statement_timeout_seconds": number(0.5, 600),
    "app": text_list(r"[\w.]+:\w+", "a list of package.module:name"),
    "profile": text(r"[^\x00-\x1f\x7f]{1,40}", "a name of 1 to 40 printable characters"),
    "production": flag,
    "theme": choice(*THEMES),
    "notify": choice("off", "bell", "osc9", "osc777"),
    "time_zone": zone,
    "log_level": choice("debug", "info", "warning", "error"),
    "log_format": choice("text", "json"),
}
"""The parser of every setting: the one table that file, environment and options share."""


def load_settings(
    overrides: Mapping[str, object] | None = None,
    *,
    config_path: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    context: str = "",
) -> Loaded:
    """Combine the four layers; `overrides` are options by setting name, None is not given.

    With a `context` its settings override file and environment, which then do not
    decide where broker, database and data directory are.

    The file is `config_path`, else that of HMS_SVC_CONFIG (empty: none), else the one in the
    user's configuration directory, if there is one. Raises BadSetting naming
    setting, value, origin and the expected form.
    """
    environ = os.environ if environ is None else environ
    warnings = _unknown_variables(environ)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    content, file = _read_file(_config_file(config_path, environ))
    contexts, keys, apps = (take_table(content, name, file) for name in ("contexts", "keys", TABLE))
    if isinstance(content.get("app"), dict):
        raise BadSetting(f"setting app ({file}) is a table: an application's is [{TABLE}.NAME]")
    chosen = settings_of_context(contexts, context, file) if context else {}
    read_only = flag(chosen.pop("read_only", False))
    layers = [
        *((name, value, file) for name, value in content.items()),
        *_from_environment(environ),
    ]
    for name, value, source in (
        *(layer for layer in layers if not context or layer[0] not in PLACES),
        *((name, value, f"context {context}") for name, value in chosen.items()),
        *((name, value, "option") for name, value in (overrides or {}).items()),
    ):
        if value is not None:
            values[name] = _read(name, value, source)
            sources[name] = source
    _fill_in(values)
    settings = Settings(**values, apps=read_sections(apps, file, environ))
    origins = {name: sources.get(name, "default") for name in READERS}
    return Loaded(settings, origins, tuple(warnings), tuple(contexts), read_only, keys)


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a child process that has exactly these settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) or name.startswith(TEST_PREFIX)
    }
    for name in READERS:
        value = getattr(settings, name)
        if value not in (None, "", ()):
            kept[PREFIX + name.upper()] = ",".join(value) if type(value) is tuple else str(value)
    if settings.apps:
        kept[VARIABLE] = encode_sections(settings.apps)
    return {**kept, CONFIG_VARIABLE: ""}


def editor_command() -> str:
    """Return the command of the user's editor."""
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"


def is_in_tmux() -> bool:
    """Return whether the terminal runs within tmux."""
    return bool(os.environ.get("TMUX"))


def masked(name: str, value: object) -> object:
    """Return a setting's value for display: secrets are masked, also passwords inside addresses."""
    if name in _SECRETS:
        return MASK if value else value
    return mask_password(value) if isinstance(value, str) else value


def _read(name: str, value: object, source: str) -> Any:
    reader = READERS.get(name)
    if reader is None:
        raise BadSetting(f"unknown setting {name!r} ({source}){did_you_mean(name, READERS)}")
    try:
        return reader(value)
    except ValueError as error:
        shown = MASK if name in _SECRETS else f"{mask_broken(str(value))!r:.200}"
        raise BadSetting(
            f"setting {name} = {shown} ({source}) is wrong: expected {error}"
        ) from error


def _config_file(given: str | Path | None, environ: Mapping[str, str]) -> Path | None:
    if given is None and CONFIG_VARIABLE in environ:
        given = environ[CONFIG_VARIABLE]
        if not given:
            return None
    if given is not None:
        path = _path_of_configuration(given)
        if fault := file_fault(path):
            raise BadSetting(f"configuration file {str(path)!r} {fault}")
        return path
    folder = config_folder(APP_NAME)
    # A default file that this user may not read, such as root's, is ignored, since it was not named.
    return None if folder is None or file_fault(folder / CONFIG_FILE) else folder / CONFIG_FILE


def _path_of_configuration(given: str | Path) -> Path:
    try:
        return path_value(given)
    except ValueError as error:
        raise BadSetting(
            f"configuration file {str(given)!r:.200} is wrong: expected {error}"
        ) from error


def _read_file(path: Path | None) -> tuple[dict[str, Any], str]:
    """Return the content of the configuration file, and its name as an origin."""
    if path is None:
        return {}, ""
    import tomllib

    try:
        content = tomllib.loads(read_text_file(path))
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"configuration file {str(path)!r} cannot be read: {error}") from error
    except ValueError as error:
        raise BadSetting(f"configuration file {str(path)!r} {error}") from error
    return content, f"file {path}"


def _from_environment(environ: Mapping[str, str]) -> Iterable[tuple[str, object, str]]:
    for name in READERS:
        variable = PREFIX + name.upper()
        if value := environ.get(variable):
            yield name, value, f"environment {variable}"
    for variable, name in _FROM_FILES.items():
        if path := environ.get(variable):
            beside = PREFIX + name.upper()
            if environ.get(beside):
                raise BadSetting(f"{beside} and {variable} are both set: expected only one of them")
            yield name, secret_in(path, variable), f"environment {variable}"


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = {CONFIG_VARIABLE, VARIABLE, *_FROM_FILES, *(PREFIX + name.upper() for name in READERS)}
    return [
        f"unknown environment variable {name} is ignored{did_you_mean(name, known)}"
        for name in sorted(environ)
        if name.startswith(PREFIX)
        and not name.startswith(TEST_PREFIX)
        and name not in known
        and not is_of_application(name)
    ]


def _fill_in(values: dict[str, Any]) -> None:
    if "data_dir" not in values:
        values["data_dir"] = _data_dir(is_used=not {"broker_url", "database_url"} <= values.keys())
    for name, file in (("broker_url", "queue.db"), ("database_url", "cases.db")):
        if name not in values:
            values[name] = _read(name, sqlite_url(str(values["data_dir"] / file)), "data_dir")
    values.setdefault("actor", _actor())


def _data_dir(*, is_used: bool) -> Path:
    folder = data_folder(APP_NAME)
    if folder is None and is_used:
        raise BadSetting(
            f"data_dir has no default: HOME is not set, and user id {os.getuid()} has no home; "
            f"set it, such as --data-dir /var/lib/hms-svc or {PREFIX}DATA_DIR"
        )
    return folder or passing_folder(APP_NAME)


def _actor() -> str:
    try:
        return str(READERS["actor"](login_name()))
    except ValueError:
        return f"uid-{os.getuid()}"
