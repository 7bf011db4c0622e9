"""The examples of the pages for those who write services, run as a reader runs them."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from hms_svc import RunningJob
from hms_svc.sdk import registry
from hms_svc.testing import Bench
from pretend_city import pretend_city
from tests.support.local_http import local_http
from tests.support.page_examples import write_examples

ROOT = Path(__file__).resolve().parents[2]
FILE = re.compile(r"^```\w+\n# (\w+\.(?:toml|ini))\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def write_files(name: str, folder: Path) -> None:
    """Write the examples of a page, Python and TOML, into a folder."""
    write_examples(f"docs/{name}", folder)
    for file, text in FILE.findall(page(name)):
        (folder / file).write_text(text, encoding="utf-8")


def environment(folder: Path, **added: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HMS_SVC", "PYTEST"))
    }
    path = f"{Path(sys.executable).parent}:{kept['PATH']}"
    return {**kept, "PATH": path, "HMS_SVC_DATA_DIR": str(folder / "data"), **added}


def run(
    command: list[str], folder: Path, given: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, env=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.interop
def test_the_first_service_runs_fails_is_tested_and_packed(tmp_path: Path) -> None:
    write_files("first_service.md", tmp_path)
    script = "set -e\n" + "\n".join(COMMANDS.findall(page("first_service.md")))
    given = environment(tmp_path)
    del given["HMS_SVC_DATA_DIR"]
    printed = run(["bash", "-c", script], tmp_path, given).stdout
    assert '"pole": "L-17"' in printed
    assert "exit code 2" in printed
    assert "failed after 3 of 3 attempts with LookupError: there is no pole L-0." in printed
    assert "2 passed" in printed
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    run([*pip, "--target", str(installed), str(tmp_path)], tmp_path, given)
    elsewhere = environment(tmp_path, PYTHONPATH=str(installed))
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"type": "lamp.repair", "data": {"pole": "L-19"}, "id": "packed"}))
    program = [sys.executable, "-m", "hms_svc"]
    run([*program, "enqueue", str(job)], installed, elsewhere)
    run([*program, "serve", "--drain"], installed, elsewhere)
    shown = run([*program, "jobs", "show", "packed", "--json"], installed, elsewhere).stdout
    assert json.loads(shown)["result"] == {"pole": "L-19", "bulbs": 1}


def first_column(text: str, head: str) -> list[str]:
    """Return the names in the first column of the table with this head."""
    rows = text.split(head, 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`(\w+)", row.split(" | ")[0])]


def test_each_argument_of_a_declaration_is_documented() -> None:
    documented = first_column(page("operating.md"), "| argument | default | meaning |")
    arguments = set(inspect.signature(registry.Registry.job).parameters) - {"self", "type"}
    assert set(documented) == arguments


def test_the_members_of_the_running_job_exist() -> None:
    members = first_column(page("services.md"), "| member | meaning |")
    assert len(members) >= 15
    assert [name for name in members if not hasattr(RunningJob, name)] == []


WORDS = [
    ("charges", "charge", {"account": "A-1", "cents": 500}, "charged 500 to A-1"),
    ("documents", "render", "P-1", "document P-1"),
    ("notices", "notify", "Ada", "informed Ada"),
    ("moves", "move", "Ada", "wrote to Ada at address of Ada"),
]


@pytest.mark.parametrize(("module", "name", "data", "result"), WORDS)
def test_what_others_come_from_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, data: Any, result: str
) -> None:
    write_examples("docs/coming_from.md", tmp_path)
    found: dict[str, Any] = {"__name__": module}
    exec(compile((tmp_path / f"{module}.py").read_text(), f"{module}.py", "exec"), found)
    with Bench(found["registry"]) as bench:
        assert bench.run(found[name], data).get() == result
        if submit := found.get("submit"):
            bench.advance(600)
            submitted = submit()
            if asyncio.iscoroutine(submitted):
                asyncio.run(submitted)
            bench.advance(600)
            assert [each.state for each in bench.drain()] == ["completed"]


def test_a_fine_is_collected_once(tmp_path: Path) -> None:
    with pretend_city() as city:
        write_examples("docs/once.md", tmp_path)
        source = (tmp_path / "fines.py").read_text().replace("http://127.0.0.1:8800", city.url)
        found: dict[str, Any] = {"__name__": "fines"}
        exec(compile(source, "fines.py", "exec"), found)
        with Bench(found["registry"]) as bench:
            bench.kill_before_settlement()
            killed = bench.run(found["collect"], {"account": "A-1", "cents": 5})
            [again] = bench.drain()
        assert (again.id, again.result) == (killed.id, f"R-{killed.id}")
        assert city.requests == [killed.id, killed.id]
        assert list(city.charges) == [killed.id]


async def test_the_spans_of_an_application_are_children_of_its_attempt(tmp_path: Path) -> None:
    write_examples("docs/telemetry.md", tmp_path)
    async with local_http() as collector:
        collector.body = b""
        given = environment(
            tmp_path,
            HMS_SVC_APP="traced:registry",
            HMS_SVC_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_SERVICE_NAME="lamps",
            PYTHONPATH=str(tmp_path),
        )
        ordered = await asyncio.to_thread(run, [sys.executable, "order.py"], tmp_path, given)
        serve = [sys.executable, "-m", "hms_svc", "serve", "--drain"]
        await asyncio.to_thread(run, serve, tmp_path, given)
        spans = [
            span
            for each in collector.received
            for resource in ExportTraceServiceRequest.FromString(each.body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    mine = [span for span in spans if span.trace_id.hex() == ordered.stdout.strip()]
    names: dict[bytes, Span] = {span.span_id: span for span in mine}
    [own] = [span for span in mine if span.name == "look for the pole"]
    above = names[own.parent_span_id]
    assert names[above.parent_span_id].name == "process lamp.repair"
