"""Several installations named in one configuration file: `--context`."""

from __future__ import annotations

from pathlib import Path

import pytest

from hms_svc.domain.errors import BadSetting
from hms_svc.settings import load_settings
from tests.support.command_line import SAMPLES, Cli, make_cli

FILE = """
data_dir = "{folder}/one"
profile = "first"
grace_seconds = 7
[contexts.two]
data_dir = "{folder}/two"
[contexts.three]
data_dir = "{folder}/three"
profile = "the third"
read_only = true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(FILE.format(folder=tmp_path))
    return path


def test_a_context_says_where_things_are_and_inherits_all_else(file: Path, tmp_path: Path) -> None:
    environ = {"HMS_SVC_CONFIG": str(file), "HMS_SVC_BROKER_URL": "redis://elsewhere"}
    found = load_settings(environ=environ, context="two")
    settings = found.settings
    assert settings.broker_url == f"sqlite:///{tmp_path}/two/queue.db"
    assert (settings.profile, settings.grace_seconds, found.read_only) == ("two", 7.0, False)
    assert found.sources["data_dir"] == "context two"
    third = load_settings(environ=environ, context="three")
    assert (third.settings.profile, third.read_only) == ("the third", True)
    plain = load_settings(environ=environ)
    assert (plain.settings.profile, plain.contexts) == ("first", ("two", "three"))
    assert plain.settings.broker_url.startswith("redis://elsewhere")


def test_a_context_that_there_is_not_is_named_with_those_there_are(file: Path) -> None:
    with pytest.raises(BadSetting, match=r"no context 'tow' .*; the contexts are three, two"):
        load_settings(environ={"HMS_SVC_CONFIG": str(file)}, context="tow")
    with pytest.raises(BadSetting, match=r"\[contexts.two\] in the configuration file defines one"):
        load_settings(environ={"HMS_SVC_CONFIG": ""}, context="two")


@pytest.mark.parametrize("named", ["broker_url", "database_url"])
def test_a_context_whose_other_half_would_be_that_of_this_machine_is_refused(
    tmp_path: Path, named: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[contexts.half]\n{named} = "sqlite:///elsewhere.db"\n')
    with pytest.raises(BadSetting, match="set broker_url and database_url, or data_dir"):
        load_settings(environ={"HMS_SVC_CONFIG": str(path)}, context="half")


def test_commands_work_on_the_context_and_one_that_is_read_only_refuses(
    file: Path, tmp_path: Path
) -> None:
    cli: Cli = make_cli(tmp_path / "one")
    with_file = ("--config", file, "--context")
    cli(*with_file, "two", "enqueue", SAMPLES / "pothole.json")
    assert len(cli(*with_file, "two", "jobs", "list", "--json").rows) == 1
    assert cli("--config", file, "jobs", "list", "--json").rows == []
    assert "read-only" in cli(*with_file, "three", "queues", "pause", "a.b", code=6).err
