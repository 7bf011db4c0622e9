"""Every command in odd surroundings: the exit code that it has elsewhere, or one clear line; no traceback."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from hms_svc.cli.root import BAD_INPUT, OUTAGE, REFUSED
from tests.support.command_line import ROOT, SAMPLES, drain, environment, make_cli

pytestmark = pytest.mark.interop
WALK: Final = Path(__file__).with_name("walk_commands.py")
NAMELESS: Final = ("unshare", "--user", "--map-user=54321")
"""A user id that has no name; root loses the right to look behind permissions, too."""
NO_CONVERSION: Final = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SLOW: Final = ("serve", "demo", "bench")
NOT_DONE: Final = {
    **dict.fromkeys((f"workers {act} nobody" for act in ("quiet", "resume", "stop")), BAD_INPUT),
    "": BAD_INPUT,
    "no-such-ünï☃": BAD_INPUT,
    "schedules run crew.notify": BAD_INPUT,
    "schedules pause crew.notify": BAD_INPUT,
    "schedules resume crew.notify": BAD_INPUT,
    "tokens revoke nobody": BAD_INPUT,
    "batches show nobody": BAD_INPUT,
    "batches close nobody": BAD_INPUT,
    "jobs approve": BAD_INPUT,  # discarded by the command before it
    "jobs deny": BAD_INPUT,
    "jobs retry": REFUSED,
}
"""Commands that cannot be done here, wherever they run; every other ends with 0."""
WITHOUT_SETTINGS: Final[Sequence[list[str]]] = (["--help"], ["no-such-ünï☃"], [])


class Outcome(NamedTuple):
    """What became of one command."""

    line: list[str]
    code: int
    out: bytes
    err: bytes


class Site(NamedTuple):
    """A data directory in which jobs have run, and the ids in it."""

    data: Path
    job_id: str
    case_id: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A job with a case, and one that waits; texts of both hold more than ASCII."""
    data = tmp_path_factory.mktemp("site") / "data"
    cli = make_cli(data)
    told = '{"user_id": "usr-1", "lat": 38.9, "lon": -77.0, "note": "Śródmieście ☃"}'
    cli("enqueue", "-", stdin=f'{{"type": "pothole.report", "data": {told}}}'.encode())
    drain(data)
    job = cli("enqueue", "--type", "crew.notify", "--set", "case_id=ś☃", "--no-check", "--json").row
    return Site(data, job["id"], cli("cases", "list", "--json").row["id"])


class Surroundings(NamedTuple):
    """How commands are run. `code` is what each ends with; None: the same as at home."""

    name: str
    environ: Mapping[str, str | None] = {}
    folder: bytes = b"here"
    prefix: Sequence[str] = ()
    code: int | None = None
    words: str = ""
    columns: int = 0
    prepare: Callable[[Path], None] = lambda folder: None
    is_in_deleted_folder: bool = False
    serves: bool = False
    refused: Mapping[str, int] = {}


def closed(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0)


def read_only(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o555)


NO_HOME: Final = {"HOME": None, "USER": None, "LOGNAME": None, "HMS_SVC_ACTOR": None}
FINE: Final = (
    Surroundings(
        "a nameless user without a home, in a folder whose name is not UTF-8, without time zones",
        {**NO_HOME, "TZ": "Mars/Olympus", "PYTHONTZPATH": ""},
        folder=b"a\xff\xfeb",
        prefix=NAMELESS,
        serves=True,
    ),
    Surroundings(
        "ASCII alone, in a folder that was deleted, the data in one with blanks and a line feed",
        NO_CONVERSION,
        folder="a  b\nŚ☃".encode(),
        is_in_deleted_folder=True,
        serves=True,
        # These are text, which no letter outside of the locale can be.
        refused={"jobs edit --set case_id=ż☃": BAD_INPUT, "audit accept --reason ż☃": BAD_INPUT},
    ),
    Surroundings(
        "a terminal of 40 columns, of no known kind, and a locale that does not exist",
        {"LC_ALL": "xx_YY.UTF-8", "TERM": None, "NO_COLOR": "1"},
        columns=40,
    ),
    Surroundings(
        "a dumb terminal of one column that shows ASCII",
        {"COLUMNS": "1", "TERM": "dumb", "PYTHONIOENCODING": "ascii"},
        columns=1,
    ),
)
UNUSABLE: Final = (
    Surroundings(
        "no home at all",
        {**NO_HOME, "HMS_SVC_DATA_DIR": None, "HMS_SVC_CONFIG": None},
        prefix=NAMELESS,
        code=BAD_INPUT,
        words="data_dir has no default: HOME is not set, and user id 54321 has no home",
    ),
    Surroundings(
        "the home of somebody else",
        {"HOME": "{}/closed", "HMS_SVC_DATA_DIR": None, "HMS_SVC_CONFIG": None},
        prefix=NAMELESS,
        prepare=closed,
        code=OUTAGE,
        words=".db: Permission denied",
    ),
    Surroundings(
        "a folder that may not be written to",
        {"HMS_SVC_DATA_DIR": "{}/closed/data"},
        prefix=NAMELESS,
        prepare=read_only,
        code=OUTAGE,
        words=".db: Permission denied",
    ),
    Surroundings(
        "a name that is too long",
        {"HMS_SVC_DATA_DIR": "{}/" + "x" * 300},
        code=OUTAGE,
        words=".db: File name too long",
    ),
    Surroundings(
        "a path that begins at a folder that was deleted",
        {"HMS_SVC_DATA_DIR": "data"},
        is_in_deleted_folder=True,
        code=BAD_INPUT,
        words="expected an absolute path, since the current directory was deleted",
    ),
)


def need_namespaces() -> None:
    if subprocess.run([*NAMELESS, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine makes no user namespaces, so no user without a name")


def walk(
    site: Site, tmp_path: Path, around: Surroundings, instead: Mapping[str, Any] | None = None
) -> list[Outcome]:
    """Run every command over a copy of the site."""
    if around.prefix:
        need_namespaces()
    folder = tmp_path / os.fsdecode(around.folder)
    shutil.copytree(site.data, folder / "data")
    around.prepare(folder)
    given, told = tmp_path / "given.json", tmp_path / "told.jsonl"
    given.write_text(json.dumps({**told_of(site, folder, around), **(instead or {})}))
    shown = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    shown |= environment(folder / "data") | {"PYTHONPATH": str(ROOT)}
    for name, value in around.environ.items():
        shown.pop(name, None)
        if value is not None:
            shown[name] = value.replace("{}", str(folder))
    command = [*around.prefix, sys.executable, "-P", str(WALK), str(given), str(told)]
    if around.is_in_deleted_folder:
        (tmp_path / "gone").mkdir()
        command = [
            "/bin/sh",
            "-c",
            'cd "$0" && rmdir "$0" && exec "$@"',
            str(tmp_path / "gone"),
            *command,
        ]
    err = start(command, shown, around.columns)
    assert err == b""
    rows = map(json.loads, told.read_text().splitlines())
    return [
        Outcome(
            row["line"], row["code"], row["out"].encode("latin-1"), row["err"].encode("latin-1")
        )
        for row in rows
    ]


def told_of(site: Site, folder: Path, around: Surroundings) -> dict[str, Any]:
    """Return the values of parameters: a new command with a new one is notified of here."""
    return {
        "arguments": {
            "files": str(SAMPLES / "pothole.json"),
            "file": str(SAMPLES / "pothole.json"),
            "job_id": site.job_id,
            "job_ids": site.job_id,
            "case_id": site.case_id,
            "batch_id": "nobody",
            "type_name": "crew.notify",
            "name": "portal",
            "worker_id": "nobody",
            "scopes": "view",
            "token_id": "nobody",
            "folder": str(folder / "copies"),
        },
        "options": {
            "serve": ["--drain"],
            "demo": ["--headless", "--seconds", "0.1"],
            "bench": ["--seconds", "5"],
            "jobs edit": ["--set", "case_id=ż☃"],
            "audit accept": ["--reason", "ż☃"],
        },
        "last": SLOW,
        "left_out": [] if around.serves else SLOW,
        "on_terminal": around.columns > 0,
        "as_json": around.prefix != (),
    }


def start(command: list[str], environ: dict[str, str], columns: int) -> bytes:
    """Run the walk to its end, on a terminal where it has columns; return its standard error."""
    if not columns:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=100,
        )
        return done.stderr
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    reader = threading.Thread(target=read_all, args=(ours,))
    reader.start()
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE
    ) as child:
        os.close(theirs)
        err = child.communicate(timeout=100)[1]
    reader.join()
    os.close(ours)
    return err


def read_all(terminal: int) -> None:
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:  # how Linux tells that the other end is closed
        pass


def name_of(outcome: Outcome, site: Site) -> str:
    """Name a command by its words, without ids, paths and --json."""
    left_out = (site.job_id, site.case_id, "--json")
    return " ".join(word for word in outcome.line if "/" not in word and word not in left_out)


def check(told: Sequence[Outcome]) -> None:
    """Hold what every command owes, wherever it runs."""
    assert len(told) > 30
    for each in told:
        assert b"Traceback" not in each.err + each.out, (each.line, each.err.decode())
        assert b"Warning" not in each.err, (each.line, each.err.decode())
        assert 0 <= each.code <= 6, each
        each.out.decode()
        each.err.decode()
        if "--json" in each.line and each.code == 0:
            assert all(json.loads(line) is not None for line in each.out.splitlines())


@pytest.mark.parametrize("around", FINE, ids=lambda around: around.name)
def test_every_command_ends_as_at_home(site: Site, tmp_path: Path, around: Surroundings) -> None:
    told = walk(site, tmp_path, around)
    check(told)
    ended = {name_of(each, site): each.code for each in told}
    assert {name: code for name, code in ended.items() if code} == {**NOT_DONE, **around.refused}


@pytest.mark.parametrize("around", UNUSABLE, ids=lambda around: around.name)
def test_every_command_names_what_it_cannot_use(
    site: Site, tmp_path: Path, around: Surroundings
) -> None:
    told = walk(site, tmp_path, around)
    check(told)
    for each in told:
        if each.line in WITHOUT_SETTINGS or not each.err:
            continue
        assert each.code == around.code, each
        assert around.words in each.err.decode(), each


def test_every_command_refuses_arguments_that_are_no_text(site: Site, tmp_path: Path) -> None:
    names = (
        "files",
        "file",
        "job_id",
        "job_ids",
        "case_id",
        "type_name",
        "name",
        "token_id",
        "batch",
        "worker_id",
        "batch_id",
    )
    odd = dict.fromkeys(names, "a\udcff") | {"scopes": "view", "folder": str(tmp_path / "b\udcff")}
    told = walk(site, tmp_path, Surroundings("odd arguments"), {"arguments": odd})
    check(told)
    given = [each for each in told if "a\udcff" in each.line]
    assert len(given) > 15
    assert [each for each in given if each.code != BAD_INPUT] == []


def test_a_fleet_needs_no_home() -> None:
    need_namespaces()
    shown = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HMS_SVC_BROKER_URL": "redis://127.0.0.1/0",
        "HMS_SVC_DATABASE_URL": "postgresql://hms@127.0.0.1/hms",
    }
    done = subprocess.run(
        [*NAMELESS, sys.executable, "-P", "-m", "hms_svc", "config", "--json"],
        env=shown,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    values = {row["setting"]: row["value"] for row in map(json.loads, done.stdout.splitlines())}
    assert values["actor"] == "uid-54321"


def run_on_terminal(
    *words: str, data: Path, prefix: Sequence[str] = (), **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run one command whose input and output are a terminal; its standard error is kept."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*prefix, sys.executable, "-P", "-m", "hms_svc", *words],
        env={**os.environ, **environment(data), "PYTHONPATH": str(ROOT), **environ},
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(ours)
    os.close(theirs)
    return done


@pytest.mark.parametrize("command", ["no-such-editor", "'unbalanced"])
def test_an_editor_that_cannot_be_run_is_named(site: Site, tmp_path: Path, command: str) -> None:
    shutil.copytree(site.data, tmp_path / "data")
    make_cli(tmp_path / "data")("jobs", "cancel", site.job_id)
    done = run_on_terminal("jobs", "edit", site.job_id, data=tmp_path / "data", VISUAL=command)
    assert done.returncode == BAD_INPUT, done.stderr
    assert f"the editor {command!r} (VISUAL, else EDITOR) cannot be started: No " in done.stderr


@pytest.mark.parametrize("mode", [0, 0o755])
def test_a_console_whose_log_cannot_be_written_says_so(tmp_path: Path, mode: int) -> None:
    need_namespaces()
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data" / "console.log").touch(mode=0o400)
    (tmp_path / "data").chmod(mode)
    data = tmp_path / "data" / ("" if mode else "inner")
    done = run_on_terminal("--attach", data=data, prefix=NAMELESS)
    assert done.returncode == BAD_INPUT
    assert "console.log cannot be written: Permission denied" in done.stderr
