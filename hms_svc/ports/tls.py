"""Whose certificates are believed where this program calls out over TLS."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from hms_svc.domain.errors import BadSetting

if TYPE_CHECKING:
    import ssl


@functools.cache
def ssl_context_of(ca_file: Path | None) -> ssl.SSLContext:
    """Make the context of a client that believes public authorities, and those in `ca_file` (PEM).

    Where SSL_CERT_FILE or SSL_CERT_DIR is in the environment, what they name stands for the
    public authorities, as with OpenSSL. Read once in a process. Raises BadSetting.
    """
    import httpx

    try:
        context = httpx.create_ssl_context()
    except OSError as error:
        raise BadSetting(
            f"SSL_CERT_FILE or SSL_CERT_DIR names no certificates in PEM: {tls_error_text(error)}"
        ) from error
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(ca_file))
        except OSError as error:
            raise BadSetting(
                f"ca_file {ca_file} has no certificates in PEM: {tls_error_text(error)}"
            ) from error
    return context


def tls_error_text(error: OSError) -> str:
    """Return, in words why a file of TLS could not be used."""
    import ssl

    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return error.strerror or str(error)
