"""`hms-svc serve --reload`: the service starts again when the source of its application changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hms_svc.processes.reload import Sources
from tests.support.command_line import ROOT, Cli, environment, find, make_cli
from tests.support.serve_process import Served
from tests.support.waiting import wait_until

APP = """
from hms_svc import Registry
from permits.words import word

registry = Registry()


@registry.job("permit.apply")
def apply() -> str:
    return word
"""
AGAIN = "starting the service again"


class Site:
    """A package `permits`, and the data of its service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "permits"
        self.package.mkdir()
        (self.package / "__init__.py").write_text(APP, encoding="utf-8")
        self.say("first")
        self.log = folder / "serve.log"
        self.cli: Cli = make_cli(folder / "data")

    def say(self, word: str) -> None:
        """Let the handler return a word, of another length each time."""
        (self.package / "words.py").write_text(f"word = {word!r}\n", encoding="utf-8")

    def times(self, text: str) -> int:
        return self.log.read_text(encoding="utf-8").count(text)

    def result(self, served: Served, id: str) -> object:
        """Return the result of a job that is enqueued here."""
        job = f'{{"id": "{id}", "type": "permit.apply", "data": null}}'
        self.cli("enqueue", "--no-check", "-", stdin=job)
        served.wait_until(
            f"{id} has completed", lambda: find(self.cli, f"id:{id}")["state"] == "completed"
        )
        return self.cli("jobs", "show", id, "--json").row["result"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def served(site: Site) -> Iterator[Served]:
    command = [sys.executable, "-P", "-m", "hms_svc", "serve", "--reload", "--no-http"]
    with open(site.log, "wb") as log:
        process = subprocess.Popen(
            [*command, "--app", "permits:registry"],
            cwd=site.folder,
            env={**os.environ, **environment(site.folder / "data"), "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        found = Served(process, site.log)
        yield found
        found.kill()


def test_a_changed_module_is_served_after_a_graceful_stop(site: Site, served: Served) -> None:
    assert site.result(served, "one") == "first"
    site.say("second word")
    served.wait_until("it starts again", lambda: site.times(AGAIN) == 1)
    assert site.result(served, "two") == "second word"
    served.send(signal.SIGTERM)
    assert served.wait() == 0
    assert served.members() == []


def test_an_error_of_import_ends_with_the_next_change(site: Site, served: Served) -> None:
    site.result(served, "one")
    (site.package / "words.py").write_text("word = (\n", encoding="utf-8")
    served.wait_until(
        "the error is told", lambda: site.times("the service ended with 2; it starts again") == 1
    )
    assert site.times("SyntaxError") >= 1
    site.say("corrected")
    assert site.result(served, "two") == "corrected"
    served.send(signal.SIGINT)
    assert served.wait() == 130


def test_no_process_stays_when_the_reloader_is_killed(site: Site, served: Served) -> None:
    site.result(served, "one")
    os.kill(served.process.pid, signal.SIGKILL)
    served.wait()
    wait_until("all processes have ended", lambda: served.members() == [])


def test_sources_are_the_python_files_of_a_package(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site.folder))
    sources = Sources(["permits:registry"])
    assert sources.changed() == []
    below = site.package / "desk" / "pens.py"
    below.parent.mkdir()
    below.write_text("")
    (site.package / "notes.txt").write_text("")
    assert sources.changed() == [below]
    below.write_text("ink = 1\n")
    assert sources.changed() == [below]
    below.unlink()
    assert sources.changed() == [below]
    assert sources.changed() == []


def test_sources_of_a_module_are_those_beside_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site.folder))
    (site.folder / "single_module.py").write_text("")
    sources = Sources(["single_module:registry", "absent_module:registry"])
    (site.folder / "beside.py").write_text("")
    site.say("elsewhere")
    assert sources.changed() == [site.folder / "beside.py"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--drain", "--app", "permits:registry"), "--reload and --drain cannot be combined"),
        (("--no-http",), "--reload watches the files of an application: name one with --app"),
    ],
)
def test_what_cannot_be_reloaded_is_refused(cli: Cli, words: tuple[str, ...], message: str) -> None:
    assert message in cli("serve", "--reload", *words, code=2).err
