"""Whether the settings of an HTTP server fit together, checked before anything starts."""

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
    """Raise BadSetting, naming the setting, if TLS files or identity provider cannot be used."""
    _check_tls(settings.http_tls_certificate, settings.http_tls_key)
    _check_identity_provider(settings)
    check_identity_provider(settings.jwks_url)
    if settings.ca_file is not None:
        ssl_context_of(settings.ca_file)


def _check_tls(certificate: Path | None, key: Path | None) -> None:
    if certificate is None:
        if key is not None:
            raise BadSetting(f"http_tls_key {key} requires http_tls_certificate")
        return
    try:
        ssl.create_default_context(cafile=str(certificate))
    except OSError as error:
        raise BadSetting(
            f"http_tls_certificate {certificate} is not a certificate in PEM: {tls_error_text(error)}"
        ) from error
    _check_pair(certificate, key)


def _check_pair(certificate: Path, key: Path | None) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # With a passphrase to try, OpenSSL does not prompt for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        if key is None:
            message = (
                f"http_tls_certificate {certificate} does not contain its key: set http_tls_key"
            )
        else:
            message = (
                f"http_tls_key {key} does not match http_tls_certificate {certificate}, "
                f"or is not PEM without a passphrase: {tls_error_text(error)}"
            )
        raise BadSetting(message) from error


def _check_identity_provider(settings: Settings) -> None:
    if not settings.jwks_url:
        for name in ("jwt_issuer", "jwt_audience"):
            if value := getattr(settings, name):
                raise BadSetting(f"{name} = {value} requires jwks_url")
        return
    if not settings.jwt_issuer or not settings.jwt_audience:
        raise BadSetting(
            "jwks_url requires jwt_issuer and jwt_audience: the issuer and the audience of accepted tokens"
        )
    address = read_web_address(settings.jwks_url, "jwks_url")
    if address.scheme == "http" and not _is_here(address.hostname or ""):
        raise BadSetting(
            f"jwks_url http://{address.hostname} would load keys that anybody on the network can change: "
            "use https, or an address of this machine"
        )


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
