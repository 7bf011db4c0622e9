"""HTTP servers of the tests that a service of real processes calls: they answer as told, over TLS or not."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias

from tests.support.proxy import LOOPBACK

Answer: TypeAlias = tuple[int, dict[str, str], bytes]
Answering: TypeAlias = Callable[[Mapping[str, str], bytes], Answer]
"""Headers (names in lower case) and body of a request, to status, headers and body."""


@contextmanager
def answering(answer: Answering, tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Serve on a thread; return the address. `tls` is the files of a certificate and its key."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(asked.get("content-length", "0")))
            status, headers, told = answer(asked, body)
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(told))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        if tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{'https' if tls else 'http'}://{LOOPBACK}:{server.server_port}"
        server.shutdown()
        thread.join()
