"""Whether the settings of an HTTP server fit together, found out before anything starts."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from pathlib import Path

from hms_svc.domain.errors import BadSetting
from hms_svc.domain.extras import check_identity_provider
from hms_svc.domain.web_address import read_web_address
from hms_svc.ports.tls import ssl_context_of, tls_error_text
from hms_svc.settings import Settings


def check_http_settings(settings: Settings) -> None:
    """Raise BadSetting, naming the setting, where TLS files or identity provider cannot be used."""
    _check_tls(settings.http_tls_certificate, settings.http_tls_key)
    _check_identity_provider(settings)
    check_identity_provider(settings.jwks_url)
    if settings.ca_file is not None:
        ssl_context_of(settings.ca_file)


def _check_tls(certificate: Path | None, key: Path | None) -> None:
    if certificate is None:
        if key is not None:
            raise BadSetting(f"http_tls_key {key} is of no use without http_tls_certificate")
        return
    try:
        ssl.create_default_context(cafile=str(certificate))
    except OSError as error:
        raise BadSetting(
            f"http_tls_certificate {certificate} is no certificate in PEM: {tls_error_text(error)}"
        ) from error
    _check_pair(certificate, key)


def _check_pair(certificate: Path, key: Path | None) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # With a passphrase to try, OpenSSL asks nobody at the terminal for one.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        if key is None:
            told = f"http_tls_certificate {certificate} has no key of its own: set http_tls_key"
        else:
            told = (
                f"http_tls_key {key} is not the key of http_tls_certificate {certificate}, "
                f"in PEM and without a passphrase: {tls_error_text(error)}"
            )
        raise BadSetting(told) from error


def _check_identity_provider(settings: Settings) -> None:
    if not settings.jwks_url:
        for name in ("jwt_issuer", "jwt_audience"):
            if value := getattr(settings, name):
                raise BadSetting(f"{name} = {value} is of no use without jwks_url")
        return
    if not settings.jwt_issuer or not settings.jwt_audience:
        raise BadSetting(
            "jwks_url needs jwt_issuer and jwt_audience: whose tokens are meant, and for whom"
        )
    address = read_web_address(settings.jwks_url, "jwks_url")
    if address.scheme == "http" and not _is_here(address.hostname or ""):
        raise BadSetting(
            f"jwks_url http://{address.hostname} brings keys that anybody on the way can change: "
            "want https, or an address of this machine"
        )


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
