"""nginx in front of the HTTP API: as the page on proxies shows it, and as it comes."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol

from tests.architecture.test_image import ROOT
from tests.chaos.site import Site
from tests.interop.conftest import is_ready, make_token
from tests.interop.parts import part
from tests.support.proxy import LOOPBACK, free_port
from tests.support.tls import Authority

pytestmark = pytest.mark.interop
NAME: Final = "localhost"
DRILL: Final = {"type": "drill.run", "data": {"seconds": 0.2}}
BASE: Final = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    {servers}
}}
"""


def of_the_page(port: int, api: int, certificate: Path, key: Path) -> str:
    """Return the block of docs/http_api.md, with our ports, our name, and a certificate."""
    [block] = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs/http_api.md").read_text(), re.DOTALL)
    pair = f"ssl_certificate {certificate}; ssl_certificate_key {key};"
    changes = {
        "listen 443 ssl;": f"listen {LOOPBACK}:{port} ssl; {pair}",
        "127.0.0.1:8710": f"{LOOPBACK}:{api}",
        "city.example;": f"{NAME};",
    }
    for old, new in changes.items():
        assert old in block, old
        block = block.replace(old, new)
    return str(block)


@contextmanager
def nginx(folder: Path, servers: str, port: int) -> Iterator[None]:
    """Run nginx with these servers until the block ends."""
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(BASE.format(folder=folder, servers=servers))
    process = subprocess.Popen([part("nginx"), "-p", str(folder), "-c", str(config)])
    try:
        ends = time.monotonic() + 30
        while not _listens(port):
            assert process.poll() is None, (folder / "error.log").read_text()
            assert time.monotonic() < ends, "nginx does not listen"
        yield
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    try:
        httpx.get(f"http://{LOOPBACK}:{port}/healthz", timeout=5)
    except httpx.TransportError:
        return False
    return True


def test_behind_tls_and_a_path_as_the_page_shows(site: Site, tmp_path: Path) -> None:
    port, api, authority = free_port(), free_port(), Authority(tmp_path)
    token = make_token(site, "produce,view")
    address = f"{LOOPBACK}:{api}"
    served = site.serve(http=address, http_proxies=LOOPBACK, http_hosts=NAME)
    served.wait_until("it is ready", lambda: is_ready(address))
    block = of_the_page(port, api, *authority.issue(NAME))
    with nginx(tmp_path / "nginx", block, port):
        asyncio.run(_session(f"https://{NAME}:{port}", authority.path, token))


async def _session(origin: str, ca: Path, token: str) -> None:
    trust = ssl.create_default_context(cafile=str(ca))
    bearer = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=origin, verify=trust, headers=bearer) as client:
        assert (
            await client.post("/hms/jobs", json=DRILL, headers={"authorization": ""})
        ).status_code == 401
        posted = await client.post("/hms/jobs", json=DRILL, headers={"origin": origin})
        assert posted.status_code == 202, posted.text
        place = posted.headers["location"]
        assert place.startswith("/hms/jobs/")
        async with client.stream("GET", f"{place}/events") as stream:
            assert '"end"' in "".join([line async for line in stream.aiter_lines()])
        words = [Subprotocol("hms-svc"), Subprotocol(f"hms-bearer.{token}")]
        address = f"{origin.replace('https', 'wss')}{place}/events"
        async with connect(address, ssl=trust, subprotocols=words, origin=Origin(origin)) as socket:
            kinds = [json.loads(message)["kind"] async for message in socket]
        assert kinds[-1] == "end"
        assert (await client.get(place)).json()["state"] == "completed"
        assert (await client.get("/hms/openapi.json")).json()["servers"][0]["url"] == "/hms"
        elsewhere = await client.post(
            "/hms/jobs", json=DRILL, headers={"origin": "https://evil.example"}
        )
        assert elsewhere.status_code == 403


def test_as_it_comes_nothing_without_a_token_comes_in(site: Site, tmp_path: Path) -> None:
    port, api = free_port(), free_port()
    address = f"{LOOPBACK}:{api}"
    served = site.serve(http=address)
    served.wait_until("it is ready", lambda: is_ready(address))
    plain = f"server {{ listen {LOOPBACK}:{port}; location / {{ proxy_pass http://{address}; }} }}"
    with nginx(tmp_path / "nginx", plain, port):
        refused = httpx.post(f"http://{LOOPBACK}:{port}/jobs", json=DRILL)
        assert refused.status_code == 401, refused.text
        assert "proxy" in refused.json()["detail"]
        assert httpx.get(f"http://{LOOPBACK}:{port}/readyz").status_code == 200
        assert httpx.post(f"http://{address}/jobs", json=DRILL).status_code == 202
