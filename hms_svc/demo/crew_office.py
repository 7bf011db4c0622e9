"""The crew's office: a local web server that accepts notices, with intended outages."""

from __future__ import annotations

import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self

from hms_svc.demo.phases import WEBHOOK_DOWN

HOST: Final = "127.0.0.1"
SHARE_LOST: Final = 0.05


class CrewOffice(ThreadingHTTPServer):
    """Answers 204, but 503 while it is down and now and then. Use it as a context manager."""

    daemon_threads = True

    def __init__(self, began: float, seed: int) -> None:
        super().__init__((HOST, 0), _Handler)
        self._began = began
        self._random = random.Random(seed)
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.1,), name="demo-crew-office", daemon=True
        )

    @property
    def url(self) -> str:
        """The address of the office."""
        return f"http://{HOST}:{self.server_port}/crew"

    def status(self) -> int:
        """Return the status of the next answer."""
        is_down = WEBHOOK_DOWN.holds(time.time() - self._began)
        return 503 if is_down or self._random.random() < SHARE_LOST else 204

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: CrewOffice

    def do_POST(self) -> None:
        """Accept a notice."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(self.server.status())
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: nobody reads it."""
