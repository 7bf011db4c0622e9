"""The certificate authorities that this program trusts when it connects over TLS."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from hms_svc.domain.errors import BadSetting

if TYPE_CHECKING:
    import ssl


@functools.cache
def ssl_context_of(ca_file: Path | None) -> ssl.SSLContext:
    """Return a client context that trusts public authorities and those in `ca_file` (PEM).

    If SSL_CERT_FILE or SSL_CERT_DIR is in the environment, it replaces the public
    authorities, as with OpenSSL. The files are read once in a process. Raise BadSetting if they
    contain no certificates.
    """
    import httpx

    try:
        context = httpx.create_ssl_context()
    except OSError as error:
        raise BadSetting(
            f"SSL_CERT_FILE or SSL_CERT_DIR contains no PEM certificates: {tls_error_text(error)}"
        ) from error
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(ca_file))
        except OSError as error:
            raise BadSetting(
                f"ca_file {ca_file} contains no PEM certificates: {tls_error_text(error)}"
            ) from error
    return context


def tls_error_text(error: OSError) -> str:
    """Return why a TLS file could not be used."""
    import ssl

    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return error.strerror or str(error)
