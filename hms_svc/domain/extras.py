"""Optional libraries: which extra installs them, and the error if they are missing."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, NamedTuple

from hms_svc.domain.backend_url import BackendKind, mask_password, read_database_url
from hms_svc.domain.errors import BadSetting
from hms_svc.domain.version import CLIENT, DISTRIBUTION


class Extra(NamedTuple):
    """An extra of the distribution: its name, and the modules that it installs."""

    name: str
    modules: tuple[str, ...]

    @property
    def is_installed(self) -> bool:
        """Whether all modules of the extra can be imported."""
        return all(_is_importable(module) for module in self.modules)

    def require(self, what: str) -> None:
        """Raise BadSetting, naming the extra, if `what` cannot work without it."""
        if not self.is_installed:
            raise BadSetting(
                f"{what} needs the extra {self.name!r}: pip install '{DISTRIBUTION}[{self.name}]'"
            )


POSTGRES: Final = Extra("postgres", ("asyncpg", "greenlet"))
OTEL: Final = Extra("otel", ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"))
OIDC: Final = Extra("oidc", ("jwt", "cryptography"))
WEB: Final = Extra("web", ("textual_serve",))
EXTRAS: Final = (POSTGRES, OTEL, OIDC, WEB)


def check_database(database_url: str) -> None:
    """Raise BadSetting if the database needs an extra that is not installed."""
    if read_database_url(database_url).kind is BackendKind.POSTGRESQL:
        POSTGRES.require(f"PostgreSQL (database_url = {mask_password(database_url)})")


def check_traces(otlp_endpoint: str) -> None:
    """Raise BadSetting if traces are to be exported and the extra for that is not installed."""
    if otlp_endpoint:
        OTEL.require(f"OpenTelemetry (otlp_endpoint = {mask_password(otlp_endpoint)})")


def check_identity_provider(jwks_url: str) -> None:
    """Raise BadSetting if JWTs are accepted and the extra for that is not installed."""
    if jwks_url:
        OIDC.require(f"an identity provider (jwks_url = {mask_password(jwks_url)})")


def require_full_distribution(what: str, module: str) -> None:
    """Raise BadSetting if `what` needs a module that hms-svc-client does not install."""
    if not _is_importable(module):
        raise BadSetting(f"{what} is not part of {CLIENT}: pip install {DISTRIBUTION}")


def _is_importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a parent package
        return False
