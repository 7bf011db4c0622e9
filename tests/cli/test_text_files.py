"""Files of text that a command or a setting names: UTF-8 with or without a mark, and nothing else."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command_line import Answer, Cli, make_cli

JOB = '{"type": "crew.notify", "data": {"case_id": "café"}}'
FILES = {
    "job": JOB,
    "places": '{"type": "FeatureCollection", "name": "café", "features": []}',
    "policy": '# café\ndefault = "allow"\n',
    "agencies": '# café\n[[sender]]\nname = "act"\nsource = "/act/*"\n',
    "configuration": "# café\nconcurrency = 4\n",
}


def enqueue(cli: Cli, file: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> Answer:
    return cli("enqueue", "--no-check", file, code=code)


def enqueue_standard_input(
    cli: Cli, file: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> Answer:
    return cli("enqueue", "--no-check", "-", stdin=file.read_bytes(), code=code)


def configure(cli: Cli, file: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> Answer:
    return cli("--config", file, "config", code=code)


def examine(setting: str) -> Callable[[Cli, Path, int, pytest.MonkeyPatch], Answer]:
    def run(cli: Cli, file: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> Answer:
        monkeypatch.setenv(f"HMS_SVC_{setting.upper()}", str(file))
        answer = cli("doctor", code=1 if code else 0)
        return Answer(answer.code, answer.out, answer.out)

    return run


READERS = [
    pytest.param("job", enqueue, id="enqueue FILE"),
    pytest.param("job", enqueue_standard_input, id="enqueue -"),
    pytest.param("configuration", configure, id="--config"),
    pytest.param("places", examine("places_file"), id="places_file"),
    pytest.param("policy", examine("policy_file"), id="policy_file"),
    pytest.param("agencies", examine("agencies_file"), id="agencies_file"),
]
Reads = Callable[[Cli, Path, int, pytest.MonkeyPatch], Answer]


@pytest.mark.parametrize(("kind", "reads"), READERS)
def test_a_byte_order_mark_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, reads: Reads
) -> None:
    file = tmp_path / "given"
    file.write_bytes(codecs.BOM_UTF8 + FILES[kind].encode())
    found = reads(make_cli(tmp_path / "data"), file, 0, monkeypatch)
    assert "UTF-8" not in found.err


@pytest.mark.parametrize(("kind", "reads"), READERS)
@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16", "not UTF-8 at byte 0: it begins like UTF-16; save it as UTF-8"),
        ("utf-16-le", "not UTF-8 at byte 1: a zero byte, as in UTF-16; save it as UTF-8"),
        ("utf-32", "not UTF-8 at byte 0: it begins like UTF-32; save it as UTF-8"),
        ("latin-1", "not UTF-8 at byte "),
    ],
)
def test_another_encoding_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    reads: Reads,
    encoding: str,
    words: str,
) -> None:
    file = tmp_path / "given"
    file.write_bytes(FILES[kind].encode(encoding))
    found = reads(make_cli(tmp_path / "data"), file, 2, monkeypatch)
    assert words in found.err
    assert reads is enqueue_standard_input or str(file) in found.err


def test_an_edit_takes_a_mark(tmp_path: Path) -> None:
    cli = make_cli(tmp_path / "data")
    job = cli("enqueue", "-", "--no-check", "--json", stdin=JOB).row["id"]
    cli("jobs", "cancel", job)
    data = tmp_path / "data.json"
    data.write_bytes(codecs.BOM_UTF8 + '{"case_id": "thé"}'.encode())
    cli("jobs", "edit", job, "--no-check", "--data", data)


def test_bytes_that_are_handed_over_raw_keep_their_mark(tmp_path: Path) -> None:
    file = tmp_path / "raw"
    file.write_bytes(codecs.BOM_UTF8 + JOB.encode())
    told = make_cli(tmp_path / "data")("enqueue", "--raw", "--type", "crew.notify", file, code=3)
    assert (
        "malformed: begins with a byte-order mark, which JSON does not allow: remove it" in told.err
    )
