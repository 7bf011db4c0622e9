"""The application of docs/applications.md runs as it stands there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from tests.support.command_line import ROOT, environment, make_cli
from tests.support.local_http import LocalHttp, local_http

PAGE = ROOT / "docs" / "applications.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> str:
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    return "\n\n".join(text for kind, text in found if kind == language)


async def serve(folder: Path) -> tuple[LocalHttp, str]:
    """Run the application until its jobs are done; return the register that it asked, and its log."""
    async with local_http() as register:
        register.first_statuses, register.body = [503], b'{"owner": "Ada"}'
        toml = blocks("toml").replace("https://register.city.example", register.url)
        toml = toml.replace("/run/secrets/register-key", "register-key")
        (folder / "config.toml").write_text(toml)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
        ours = {"HMS_SVC_CONFIG": "config.toml", "HMS_SVC_LOG_FORMAT": "json"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hms_svc", "serve", "--drain", "--concurrency", "1"),
            env={**kept, **environment(folder / "data"), "PYTHONPATH": str(ROOT), **ours},
            cwd=folder,
            stderr=asyncio.subprocess.PIPE,
        )
        _, written = await process.communicate()
    assert process.returncode == 0, written.decode()
    return register, written.decode()


def test_the_application_of_the_page_runs(tmp_path: Path) -> None:
    (tmp_path / "register-key").write_text("open sesame\n")
    (tmp_path / "permits.py").write_text(blocks("python"))
    cli = make_cli(tmp_path / "data")
    for parcel in (7, 8):
        job = {"id": f"look-{parcel}", "type": "permit.look_up", "data": {"parcel": parcel}}
        cli("enqueue", "-", stdin=json.dumps(job))
    register, written = asyncio.run(serve(tmp_path))
    first, second = (cli("jobs", "show", f"look-{each}", "--json").row for each in (7, 8))
    assert "the register is busy" in first["attempts"][0]["error"]
    assert first["result"] == second["result"] == {"owner": "Ada", "office": "City Hall"}
    assert register.received[0].headers["authorization"] == "Bearer open sesame"
    lines = [json.loads(line) for line in written.splitlines()]
    own = [(line["job_id"], line["message"]) for line in lines if line["logger"] == "permits"]
    assert ("look-8", "found parcel 8") in own
    took = [job for job, message in own if message.startswith("took ")]
    assert took == ["look-7", "look-8", "look-7"]
