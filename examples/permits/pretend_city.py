"""The other systems of a city, in memory, over HTTP: `python pretend_city.py`, or within a test."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PORT = 8800


class PretendCity:
    """What the city has done. `charges` and `messages` are by idempotency key: a repetition adds none.

    `faults` are the statuses of the next answers to POST requests, in place of what would be done.
    `before` is called with each request, before it is done; `after` when it is done and not answered yet.
    """

    def __init__(self, citizens: int = 200) -> None:
        self.register(citizens)
        self.charges: dict[str, Any] = {}
        self.messages: dict[str, Any] = {}
        self.requests: list[str] = []
        self.faults: list[int] = []
        self.before: Callable[[str, str], None] = lambda path, key: None
        self.after: Callable[[str, str], None] = lambda path, key: None
        self.url = ""
        self._lock = threading.Lock()

    def register(self, citizens: int) -> None:
        """Let each ward have so many citizens."""
        self.citizens = [f"citizen-{number:03}" for number in range(citizens)]

    def get(self, path: str, query: dict[str, str]) -> Any:
        """Answer a question."""
        if path == "/complaints":
            return int(query["ward"])
        following = (each for each in self.citizens if each > query["after"])
        return [each for each, _ in zip(following, range(int(query["limit"])), strict=False)]

    def post(self, path: str, key: str, body: Any) -> tuple[int, Any]:
        """Do something once for each key."""
        with self._lock:
            if self.faults:
                return self.faults.pop(0), "the city is busy"
            if path == "/messages":
                self.messages[key] = body
                return HTTPStatus.OK, {}
            if body["account"] == "empty":
                return HTTPStatus.PAYMENT_REQUIRED, "the account is empty"
            self.charges[key] = body
            return HTTPStatus.OK, {"receipt": f"R-{key}"}


def handler_of(city: PretendCity) -> type[BaseHTTPRequestHandler]:
    """Return the handler class of a server for one city."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            city.before(self.path, "")
            query = {name: values[0] for name, values in parse_qs(url.query, True).items()}
            self._answer(HTTPStatus.OK, city.get(url.path, query))

        def do_POST(self) -> None:
            key = self.headers["Idempotency-Key"]
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            city.requests.append(key)
            city.before(self.path, key)
            status, answer = city.post(self.path, key, body)
            city.after(self.path, key)
            self._answer(status, answer)

        def _answer(self, status: int, answer: Any) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                self.send_header("Retry-After", "30")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler


class Server(ThreadingHTTPServer):
    """A server whose clients may be killed."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error, unless the client is gone."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def pretend_city(citizens: int = 200) -> Generator[PretendCity]:
    """Serve a city at a free port while the block runs."""
    city = PretendCity(citizens)
    with Server(("127.0.0.1", 0), handler_of(city)) as server:
        city.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield city
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    print(f"the city answers at http://127.0.0.1:{PORT}; Ctrl-C ends it")
    Server(("127.0.0.1", PORT), handler_of(PretendCity())).serve_forever()
