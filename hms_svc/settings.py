"""All settings, and where each value came from: defaults < file < environment < options.

The only module that reads the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from hms_svc.domain.backend_url import (
    MASK,
    BackendUrl,
    absolute_path,
    mask_password,
    read_broker_url,
    read_database_url,
    sqlite_url,
)
from hms_svc.domain.errors import BadSetting

PREFIX: Final = "HMS_SVC_"
CONFIG_VARIABLE: Final = "HMS_SVC_CONFIG"
TEST_PREFIX: Final = "HMS_SVC_TEST_"
APP_NAME: Final = "hms-svc"
CONSOLE_CONCURRENCY: Final = 8
THEMES: Final = ("dark", "light", "contrast", "sixteen")
_SECRETS: Final = frozenset({"webhook_secret", "audit_key"})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an hms-svc process is told. Durations are seconds or days, as the name says.

    Addresses and paths are complete: relative ones were resolved when they were read.
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
    places_file: Path | None = None
    policy_file: Path | None = None
    policy_url: str = ""
    policy_timeout_seconds: float = 5.0
    webhook_url: str = ""
    webhook_secret: str = ""
    webhook_allowed_hosts: tuple[str, ...] = ()
    audit_key: str = ""
    agencies_file: Path | None = None
    http: str = "127.0.0.1:8710"
    http_hosts: tuple[str, ...] = ()
    http_origins: tuple[str, ...] = ()
    http_tls_certificate: Path | None = None
    http_tls_key: Path | None = None
    queue_limit: int = 0
    jwks_url: str = ""
    jwt_issuer: str = ""
    jwt_audience: str = ""
    otlp_endpoint: str = ""
    sqlite_synchronous: str = "FULL"
    database_pool_size: int = 5
    database_statement_timeout_seconds: float = 5.0
    app: tuple[str, ...] = ()
    profile: str = ""
    production: bool = False
    theme: str = "dark"
    log_level: str = "info"
    log_format: str = "text"

    @property
    def heartbeat_seconds(self) -> float:
        """How often a lease is renewed: a quarter of it."""
        return self.lease_seconds / 4

    @property
    def broker(self) -> BackendUrl:
        """The broker's address, read."""
        return read_broker_url(self.broker_url)

    @property
    def database(self) -> BackendUrl:
        """The database's address, read."""
        return read_database_url(self.database_url)


class Loaded(msgspec.Struct, frozen=True):
    """Settings with the origin of every value, and what there was to complain about."""

    settings: Settings
    sources: dict[str, str]
    warnings: tuple[str, ...]


Reader = Callable[[object], Any]
"""Reads a value as file, environment or option gave it; ValueError says what would be right."""


def _number(low: float, high: float, unit: str = "seconds") -> Reader:
    def read(value: object) -> float:
        right = f"a number of {unit} from {low:g} to {high:g}"
        try:
            number = float(value) if not isinstance(value, bool) else None  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = None
        if number is None or not low <= number <= high:
            raise ValueError(right)
        return number

    return read


def _whole(low: int, high: int) -> Reader:
    def read(value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool | float) or not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
            raise ValueError(f"a whole number from {low} to {high}")
        if not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def _text(pattern: str, right: str) -> Reader:
    def read(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(right)
        return value

    return read


def _choice(*allowed: str) -> Reader:
    folded = {name.casefold(): name for name in allowed}

    def read(value: object) -> str:
        found = folded.get(value.casefold()) if isinstance(value, str) else None
        if found is None:
            raise ValueError("one of " + ", ".join(allowed))
        return found

    return read


def _flag(value: object) -> bool:
    found = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(value).casefold() not in found:
        raise ValueError("true or false")
    return found[str(value).casefold()]


def _words(pattern: str, right: str) -> Reader:
    def read(value: object) -> tuple[str, ...]:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise ValueError(right)
        words = tuple(item.strip() if isinstance(item, str) else "" for item in items)
        if not all(re.fullmatch(pattern, word) for word in words):
            raise ValueError(right)
        return words

    return read


def _address(read_url: Callable[[str], BackendUrl]) -> Reader:
    def read(value: object) -> str:
        return read_url(value if isinstance(value, str) else "").text

    return read


def _path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError("a path")
    return absolute_path(value)


def _file(value: object) -> Path:
    path = _path(value)
    if not path.is_file():
        raise ValueError("the path of a file that exists")
    return path


_WEB: Final = _text(r"https?://[^\s/]+\S*", "an address such as https://host/path")
READERS: Final[dict[str, Reader]] = {
    "broker_url": _address(read_broker_url),
    "database_url": _address(read_database_url),
    "data_dir": _path,
    "actor": _text(r"[^\x00-\x1f\x7f]{1,128}", "a name of 1 to 128 printable characters"),
    "namespace": _text(r"[a-z0-9][a-z0-9_-]{0,62}", "a name such as city-1: a-z, 0-9, _ and -"),
    "lease_seconds": _number(1, 3600),
    "job_timeout_seconds": _number(0.1, 7 * 86_400),
    "concurrency": _whole(1, 1000),
    "grace_seconds": _number(0, 3600),
    "wait_seconds": _number(0, 7 * 86_400),
    "completed_days": _number(0, 3650, "days"),
    "completed_max": _whole(0, 100_000_000),
    "failed_days": _number(0, 3650, "days"),
    "discard_undo_seconds": _number(0, 7 * 86_400),
    "unserved_days": _number(0, 3650, "days"),
    "case_radius_m": _number(0.1, 5_000, "metres"),
    "reports_per_hour": _whole(1, 1_000_000),
    "blocked_users": _words(r"\S+", "a list of user ids"),
    "places_file": _file,
    "policy_file": _file,
    "policy_url": _WEB,
    "policy_timeout_seconds": _number(0.05, 300),
    "webhook_url": _WEB,
    "webhook_secret": _text(r".{8,}", "a secret of 8 characters or more"),
    "webhook_allowed_hosts": _words(r"[A-Za-z0-9.:\[\]-]+", "a list of host names"),
    "audit_key": _text(r".{16,}", "a secret of 16 characters or more"),
    "agencies_file": _file,
    "http": _text(r"[A-Za-z0-9.-]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}", "HOST:PORT"),
    "http_hosts": _words(r"[A-Za-z0-9.:\[\]-]+", "a list of host names"),
    "http_origins": _words(r"https?://[A-Za-z0-9.:\[\]-]+", "a list such as https://city.example"),
    "http_tls_certificate": _file,
    "http_tls_key": _file,
    "queue_limit": _whole(0, 1_000_000_000),
    "jwks_url": _WEB,
    "jwt_issuer": _text(r"\S{1,256}", "the `iss` of tokens"),
    "jwt_audience": _text(r"\S{1,256}", "the `aud` of tokens"),
    "otlp_endpoint": _WEB,
    "sqlite_synchronous": _choice("FULL", "NORMAL"),
    "database_pool_size": _whole(2, 100),
    "database_statement_timeout_seconds": _number(0.5, 600),
    "app": _words(r"[\w.]+:\w+", "a list of package.module:name"),
    "profile": _text(r"[^\x00-\x1f\x7f]{1,40}", "a name of 1 to 40 printable characters"),
    "production": _flag,
    "theme": _choice(*THEMES),
    "log_level": _choice("debug", "info", "warning", "error"),
    "log_format": _choice("text", "json"),
}
"""Every setting with what reads it: the one table that file, environment and options share."""


def load_settings(
    overrides: Mapping[str, object] | None = None,
    *,
    config_path: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Put the four layers together; `overrides` are options by setting name, None is not given.

    The file is `config_path`, else that of HMS_SVC_CONFIG (empty: none), else the one in the
    user's configuration directory where there is one. Raises BadSetting naming
    setting, value, origin and what would be right.
    """
    environ = os.environ if environ is None else environ
    warnings = _unknown_variables(environ)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, value, source in (
        *_from_file(_config_file(config_path, environ)),
        *_from_environment(environ),
        *((name, value, "option") for name, value in (overrides or {}).items()),
    ):
        if value is not None:
            values[name] = _read(name, value, source)
            sources[name] = source
    _fill_in(values)
    settings = Settings(**values)
    return Loaded(
        settings, {name: sources.get(name, "default") for name in READERS}, tuple(warnings)
    )


def child_environment(settings: Settings) -> dict[str, str]:
    """Give the environment for a child process that is to have exactly these settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) or name.startswith(TEST_PREFIX)
    }
    for name in READERS:
        value = getattr(settings, name)
        if value not in (None, "", ()):
            kept[PREFIX + name.upper()] = ",".join(value) if type(value) is tuple else str(value)
    return {**kept, CONFIG_VARIABLE: ""}


def editor_command() -> str:
    """Give the command of the user's editor."""
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"


def is_in_tmux() -> bool:
    """Tell whether the terminal is one of tmux's."""
    return bool(os.environ.get("TMUX"))


def masked(name: str, value: object) -> object:
    """Give a setting's value as it may be shown: secrets hidden, also passwords inside addresses."""
    if name in _SECRETS:
        return MASK if value else value
    return mask_password(value) if isinstance(value, str) else value


def _read(name: str, value: object, source: str) -> Any:
    reader = READERS.get(name)
    if reader is None:
        raise BadSetting(f"unknown setting {name!r} ({source}){_nearest(name, READERS)}")
    try:
        return reader(value)
    except ValueError as error:
        shown = MASK if name in _SECRETS else f"{mask_password(str(value))!r:.200}"
        raise BadSetting(f"setting {name} = {shown} ({source}) is wrong: want {error}") from error


def _config_file(given: str | Path | None, environ: Mapping[str, str]) -> Path | None:
    if given is None and CONFIG_VARIABLE in environ:
        given = environ[CONFIG_VARIABLE]
        if not given:
            return None
    if given is not None:
        path = absolute_path(given)
        if not path.is_file():
            raise BadSetting(f"configuration file {str(path)!r} does not exist")
        return path
    from platformdirs import user_config_path

    path = user_config_path(APP_NAME, appauthor=False) / "config.toml"
    return path if path.is_file() else None


def _from_file(path: Path | None) -> Iterable[tuple[str, object, str]]:
    if path is None:
        return []
    import tomllib

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"configuration file {str(path)!r} cannot be read: {error}") from error
    return [(name, value, f"file {path}") for name, value in content.items()]


def _from_environment(environ: Mapping[str, str]) -> Iterable[tuple[str, object, str]]:
    for name in READERS:
        variable = PREFIX + name.upper()
        if value := environ.get(variable):
            yield name, value, f"environment {variable}"


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = {CONFIG_VARIABLE, *(PREFIX + name.upper() for name in READERS)}
    return [
        f"unknown environment variable {name} is ignored{_nearest(name, known)}"
        for name in sorted(environ)
        if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX) and name not in known
    ]


def _nearest(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def _fill_in(values: dict[str, Any]) -> None:
    if "data_dir" not in values:
        from platformdirs import user_data_path

        values["data_dir"] = user_data_path(APP_NAME, appauthor=False)
    for name, file in (("broker_url", "queue.db"), ("database_url", "cases.db")):
        values.setdefault(name, sqlite_url(str(values["data_dir"] / file)))
    if "actor" not in values:
        values["actor"] = _login_name()


def _login_name() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid-{os.getuid()}"
