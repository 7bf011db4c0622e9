"""A page of another origin in headless Chromium: fetch, EventSource and WebSocket against the HTTP API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.chaos.site import Site
from tests.interop.conftest import is_ready, make_token
from tests.interop.parts import part, run_node
from tests.support.proxy import LOOPBACK, free_port

pytestmark = pytest.mark.interop


class Page(BaseHTTPRequestHandler):
    """An empty page; the browser runs the script in it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a front end</title>")

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def page() -> Iterator[str]:
    """The address of a page, which is its origin too."""
    with ThreadingHTTPServer((LOOPBACK, 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()
        thread.join()


def session_of_a_page(site: Site, page: str, origins: str, token: str = "") -> dict[str, Any]:
    """Serve, have a page do its whole session, and return what it saw."""
    browser, address = part("chromium-headless-shell"), f"{LOOPBACK}:{free_port()}"
    served = site.serve(http=address, http_origins=origins)
    served.wait_until("it is ready", lambda: is_ready(address))
    words = (browser, page, f"http://{address}", *([token] if token else []))
    seen: dict[str, Any] = json.loads(run_node("browser_page.mjs", *words))
    return seen


def hold_the_session(seen: dict[str, Any]) -> None:
    """Hold what a listed page sees: its job completed, in every way of following, and errors as they are."""
    job = seen["first"]["body"]["id"]
    assert (seen["first"]["status"], seen["first"]["location"]) == (202, f"/jobs/{job}"), seen
    assert (seen["again"]["body"]["id"], seen["again"]["replayed"]) == (job, "true"), seen
    assert (seen["socket"]["code"], seen["socket"]["kinds"][-1]) == (1000, "end"), seen
    assert seen["stream"] == {"status": 200, "ended": True}, seen
    assert (seen["read"]["status"], seen["read"]["body"]["state"]) == (200, "completed"), seen
    assert (seen["wrong"]["status"], seen["absent"]["status"]) == (422, 404), seen
    assert seen["wrong"]["body"]["errors"], seen


def test_a_listed_page_posts_follows_and_reads_without_a_token(site: Site, page: str) -> None:
    seen = session_of_a_page(site, page, page)
    hold_the_session(seen)
    assert seen["events"]["kinds"][-1] == "end", seen


def test_a_listed_page_posts_follows_and_reads_with_a_token(site: Site, page: str) -> None:
    token = make_token(site, "produce,view")
    hold_the_session(session_of_a_page(site, page, page, token))


def test_a_page_that_is_not_listed_is_shown_nothing(site: Site, page: str) -> None:
    seen = session_of_a_page(site, page, "https://another.example")
    assert "Failed to fetch" in seen["first"]["failed"], seen
    assert any("CORS" in line for line in seen["console"]), seen
    assert site.jobs("drill.run") == []


def test_keys_reach_the_console_without_a_click(site: Site) -> None:
    browser, address = part("chromium-headless-shell"), f"{LOOPBACK}:{free_port()}"
    served = site.serve("--web", http=address)
    served.wait_until("it is ready", lambda: is_ready(address))
    told = json.loads(run_node("web_console.mjs", browser, f"http://{address}/console", seconds=40))
    assert any('"3"' in frame for frame in told["sent"])
