"""Settings: the layers, where values came from, and what is said about wrong ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hms_svc.domain.backend_url import (
    BackendKind,
    mask_password,
    mask_passwords,
    read_broker_url,
)
from hms_svc.domain.errors import BadSetting
from hms_svc.settings import READERS, Settings, child_environment, load_settings, masked

NO_FILE = {"HMS_SVC_CONFIG": ""}


def test_every_setting_has_a_reader() -> None:
    assert set(READERS) == set(Settings.__struct_fields__) - {"apps"}


def test_each_layer_outweighs_those_before_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('lease_seconds = 10\nconcurrency = 3\nnamespace = "file"\n')
    loaded = load_settings(
        {"namespace": "option", "actor": None},
        config_path=file,
        environ={"HMS_SVC_CONCURRENCY": "4", "HMS_SVC_NAMESPACE": "env", "HMS_SVC_ACTOR": "ada"},
    )
    settings = loaded.settings
    assert settings.lease_seconds == 10.0
    assert (settings.concurrency, settings.namespace, settings.actor) == (4, "option", "ada")
    assert loaded.sources["lease_seconds"] == f"file {file}"
    assert loaded.sources["concurrency"] == "environment HMS_SVC_CONCURRENCY"
    assert loaded.sources["namespace"] == "option"
    assert loaded.sources["grace_seconds"] == "default"


def test_the_option_outweighs_the_variable_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("concurrency = 1")
    (tmp_path / "b.toml").write_text("concurrency = 2")
    environ = {"HMS_SVC_CONFIG": str(tmp_path / "a.toml")}
    assert load_settings(environ=environ).settings.concurrency == 1
    given = load_settings(config_path=tmp_path / "b.toml", environ=environ)
    assert given.settings.concurrency == 2


def test_addresses_follow_the_data_directory(tmp_path: Path) -> None:
    settings = load_settings({"data_dir": str(tmp_path)}, environ=NO_FILE).settings
    assert settings.broker.path == str(tmp_path / "queue.db")
    assert settings.database.path == str(tmp_path / "cases.db")


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("lease_seconds", "soon", "from 1 to 3600"),
        ("lease_seconds", "0", "from 1 to 3600"),
        ("lease_seconds", "nan", "from 1 to 3600"),
        ("concurrency", "2.5", "whole number"),
        ("broker_url", "mysql://x", "memory://"),
        ("broker_url", "sqlite://x", "three slashes"),
        ("broker_url", "redis://host:port/0", "DB a number"),
        ("database_url", "memory://", "postgresql://"),
        ("namespace", "A b", "city-1"),
        ("sqlite_synchronous", "OFF", "FULL, NORMAL"),
        ("app", "x.py", "package.module:name"),
        ("policy_url", "ftp://x", "https://"),
        ("places_file", "/nowhere/at/all", "exists"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(name: str, value: str, right: str) -> None:
    with pytest.raises(BadSetting) as caught:
        load_settings(environ={**NO_FILE, f"HMS_SVC_{name.upper()}": value})
    message = str(caught.value)
    assert name in message
    assert value in message
    assert f"environment HMS_SVC_{name.upper()}" in message
    assert right in message


def test_a_wrong_secret_is_not_shown() -> None:
    with pytest.raises(BadSetting) as caught:
        load_settings({"webhook_secret": "hush"}, environ=NO_FILE)
    assert "hush" not in str(caught.value)


def test_an_unknown_key_in_the_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("leese_seconds = 10")
    with pytest.raises(BadSetting, match=r"leese_seconds.*did you mean lease_seconds\?"):
        load_settings(config_path=file, environ={})


@pytest.mark.parametrize("text", ["a = ", "a = \xff"])
def test_a_file_that_does_not_parse_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadSetting, match=r"config\.toml"):
        load_settings(config_path=file, environ={})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"gone\.toml"):
        load_settings(config_path=tmp_path / "gone.toml", environ={})


def test_a_file_whose_path_cannot_be_is_named(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path, "is a directory"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(BadSetting, match=words):
            load_settings(config_path=path, environ={})
        with pytest.raises(BadSetting, match=f"the path of a file that exists: .*{words}"):
            load_settings({"policy_file": str(path)}, environ=NO_FILE)


def test_a_folder_that_no_address_can_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"broker_url = .*what\?/queue.db' \(data_dir\)"):
        load_settings({"data_dir": tmp_path / "what?"}, environ=NO_FILE)


@pytest.mark.parametrize("name", ["a\udcff", "two\nlines", "x" * 200])
def test_a_login_name_that_is_no_name_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LOGNAME", name)
    assert load_settings(environ=NO_FILE).settings.actor == f"uid-{os.getuid()}"


def test_texts_are_utf8() -> None:
    with pytest.raises(BadSetting, match="setting profile"):
        load_settings({"profile": "a\udcff"}, environ=NO_FILE)


def test_an_unknown_variable_is_a_warning_with_the_nearest_name() -> None:
    environ = {**NO_FILE, "HMS_SVC_LEESE_SECONDS": "3", "HMS_SVC_TEST_ANYTHING": "1"}
    warnings = load_settings(environ=environ).warnings
    assert len(warnings) == 1
    assert "HMS_SVC_LEESE_SECONDS" in warnings[0]
    assert "did you mean HMS_SVC_LEASE_SECONDS?" in warnings[0]


def test_a_child_gets_exactly_the_same_settings(tmp_path: Path) -> None:
    settings = load_settings(
        {"data_dir": tmp_path, "app": ("a.b:c", "d:e"), "lease_seconds": 2, "actor": "ada"},
        environ=NO_FILE,
    ).settings
    assert load_settings(environ=child_environment(settings)).settings == settings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:pw@host/0", "redis://:***@host/0"),
        ("postgresql://ada:p@ss/w:rd@host/x", "postgresql://ada:***@host/x"),
        ("https://host/x?token=abc&y=1", "https://host/x?token=***&y=1"),
        ("redis://host:6379/0", "redis://host:6379/0"),
    ],
)
def test_passwords_inside_addresses_are_masked(url: str, shown: str) -> None:
    assert mask_password(url) == shown
    assert masked("broker_url", url) == shown


@pytest.mark.parametrize(
    "message",
    [
        "redis://127.0.0.1:6406/0: WRONGTYPE Operation against a key script: 5a6f, on @user_script:406.",
        "redis://127.0.0.1:6406/0: broken, on@user_script:406.",
        "redis://127.0.0.1:6406/0:@user_script:406.",
        "redis://127.0.0.1: no answer from ada@city.example",
        "expected redis://[USER:PASSWORD@]HOST[:PORT][/DB] with DB a number",
        "redis://[::1]:6379/0: told to ada@city.example",
        "redis://:***@h/0: told to ada@city.example, not@home",
    ],
)
def test_a_message_loses_nothing_but_passwords(message: str) -> None:
    assert mask_passwords(message) == message


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("redis://:pw@h/0: on @user_script:406.", "redis://:***@h/0: on @user_script:406."),
        (
            "no postgresql://ada:p@ss/w:rd@h/x, redis://:a@b:1/0 and http://h/?token=abc @end",
            "no postgresql://ada:***@h/x, redis://:***@b:1/0 and http://h/?token=*** @end",
        ),
        ("redis://u:a@b:1,redis://u:c@d:2", "redis://u:***@b:1,redis://u:***@d:2"),
    ],
)
def test_passwords_in_the_addresses_of_a_message_are_masked(message: str, shown: str) -> None:
    assert mask_passwords(message) == shown


def test_redis_and_sentinel_addresses_are_read() -> None:
    redis = read_broker_url("rediss://:pw@h")
    assert (redis.kind, redis.hosts, redis.database, redis.tls) == (
        BackendKind.REDIS,
        ("h:6379",),
        "0",
        True,
    )
    fleet = read_broker_url("redis+sentinel://h1,h2:1234/city/3")
    assert (fleet.kind, fleet.hosts, fleet.service, fleet.database) == (
        BackendKind.SENTINEL,
        ("h1:26379", "h2:1234"),
        "city",
        "3",
    )


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("redis//ops:s3cret@host:6379/0", "redis//ops:***@host:6379/0"),
        ("redis:/ops:s3cret@host/0", "redis:***@host/0"),
        ("ops:s3:c@ret@host", "ops:***@host"),
        ("amqp://ops:s3cret@host", "amqp://ops:***@host"),
        ("host:6379", "host:6379"),
    ],
)
def test_the_password_of_an_address_that_is_refused_is_masked(given: str, shown: str) -> None:
    for name in ("broker_url", "database_url"):
        with pytest.raises(BadSetting) as refused:
            load_settings({name: given}, environ=NO_FILE)
        assert repr(shown) in str(refused.value)
        assert "s3" not in str(refused.value)
    with pytest.raises(BadSetting) as refused:
        load_settings(context=given, environ=NO_FILE)
    assert f"no context {shown!r}" in str(refused.value)
