"""Settings of applications: where they come from, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from hms_svc import BadInput, BadSetting, Registry
from hms_svc.sdk.app_settings import (
    check_app_settings,
    read_app_settings,
    shown_app_settings,
)
from hms_svc.sdk.injection import Injection
from hms_svc.settings import child_environment, load_settings


class PermitSettings(BaseModel):
    fee: int = Field(default=5, ge=0)
    office: str
    wards: list[int] = []
    api_key: SecretStr | None = None
    template_file: str = "plain.txt"


def registry_of(model: Any = PermitSettings, name: Any = "permits") -> Registry:
    registry = Registry()
    registry.settings(name)(model)
    return registry


def read(
    tmp_path: Path, toml: str = "", model: Any = PermitSettings, **environ: str
) -> tuple[Any, list[tuple[str, object, str]]]:
    """Return the settings, and what is shown of them."""
    file = tmp_path / "config.toml"
    file.write_text(toml)
    given = {f"HMS_SVC_APPS__PERMITS__{key}": value for key, value in environ.items()}
    loaded = load_settings(config_path=file, environ=given)
    assert loaded.warnings == ()
    scopes, sections = registry_of(model).scopes, loaded.settings.apps
    check_app_settings(scopes, sections)
    return read_app_settings(scopes, sections)[model], list(shown_app_settings(scopes, sections))


def refusal(tmp_path: Path, toml: str = "", model: Any = PermitSettings, **environ: str) -> str:
    with pytest.raises(BadSetting) as caught:
        read(tmp_path, toml, model, **environ)
    return str(caught.value)


def test_the_environment_outweighs_the_file(tmp_path: Path) -> None:
    found, shown = read(
        tmp_path,
        '[apps.permits]\nfee = 7\noffice = "North"\n',
        OFFICE="South",
        WARDS="[1, 2]",
        API_KEY="open sesame",
        TEMPLATE_FILE="fancy.txt",
    )
    assert (found.fee, found.office, found.wards) == (7, "South", [1, 2])
    assert found.api_key.get_secret_value() == "open sesame"
    assert shown == [
        ("apps.permits.fee", 7, f"file {tmp_path / 'config.toml'}"),
        ("apps.permits.office", "South", "environment HMS_SVC_APPS__PERMITS__OFFICE"),
        ("apps.permits.wards", [1, 2], "environment HMS_SVC_APPS__PERMITS__WARDS"),
        ("apps.permits.api_key", "***", "environment HMS_SVC_APPS__PERMITS__API_KEY"),
        (
            "apps.permits.template_file",
            "fancy.txt",
            "environment HMS_SVC_APPS__PERMITS__TEMPLATE_FILE",
        ),
    ]


def test_a_child_process_has_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[apps.permits]\nfee = 7\noffice = "[North]"\nwards = [1, 2]\n')
    ours = load_settings(config_path=file, environ={"HMS_SVC_APPS__PERMITS__API_KEY": "sesame"})
    passed = load_settings(environ=child_environment(ours.settings))
    assert passed.warnings == ()
    scopes = registry_of().scopes
    found = [read_app_settings(scopes, each.settings.apps) for each in (ours, passed)]
    assert found[0] == found[1]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_may_be_in_a_file(tmp_path: Path, end: str) -> None:
    secret = tmp_path / "key"
    secret.write_bytes(f"open\nsesame{end}".encode())
    found, _ = read(tmp_path, OFFICE="South", API_KEY_FILE=str(secret))
    assert found.api_key.get_secret_value() == "open\nsesame"
    found, _ = read(tmp_path, f'[apps.permits]\noffice = "S"\napi_key_file = "{secret}"\n')
    assert found.api_key.get_secret_value() == "open\nsesame"


def test_what_is_wrong_is_told_with_its_origin(tmp_path: Path) -> None:
    office = {"OFFICE": "South"}
    of_file = f"(file {tmp_path / 'config.toml'})"
    for said, toml, environ in (
        (
            f"unknown setting apps.permits.offices {of_file}; did you mean office?",
            '[apps.permits]\noffices = "North"\n',
            office,
        ),
        (
            (
                "setting apps.permits.fee = 'much' (environment HMS_SVC_APPS__PERMITS__FEE) is wrong: "
                "Input should be a valid integer"
            ),
            "",
            {**office, "FEE": "much"},
        ),
        (
            f"setting apps.permits.fee = '-1' {of_file} is wrong: Input should be greater than or",
            "[apps.permits]\nfee = -1\n",
            office,
        ),
        (
            f"setting apps.permits.api_key = *** {of_file} is wrong: Input should be a valid string",
            "[apps.permits]\napi_key = 12345\n",
            office,
        ),
        (
            (
                "setting apps.permits.office is missing: set office in [apps.permits] of the "
                "configuration file, or HMS_SVC_APPS__PERMITS__OFFICE"
            ),
            "",
            {},
        ),
        (
            (
                "setting apps.permits.api_key_file (environment HMS_SVC_APPS__PERMITS__API_KEY_FILE): "
                "file '/no/such' does not exist"
            ),
            "",
            {**office, "API_KEY_FILE": "/no/such"},
        ),
        (
            "settings apps.permits.api_key and apps.permits.api_key_file are both given",
            "",
            {**office, "API_KEY": "sesame", "API_KEY_FILE": __file__},
        ),
        (
            f"no application declares the settings apps.permit {of_file}; did you mean permits?",
            "[apps.permit]\nfee = 1\n",
            office,
        ),
        ("setting apps.permits (file ", "[apps]\npermits = 5\n", office),
        ("is a table: an application's is [apps.NAME]", "[app.permits]\nfee = 5\n", office),
    ):
        assert said in refusal(tmp_path, toml, **environ)


class Checked(BaseModel):
    fee: int = 1

    @field_validator("fee")
    @classmethod
    def check_fee(cls, fee: int) -> int:
        if fee == 3:
            raise LookupError("no such fee")
        return fee

    @model_validator(mode="after")
    def check_all(self) -> Checked:
        if self.fee == 2:
            raise ValueError("two is too much")
        return self


def test_what_a_model_checks_as_a_whole_is_told(tmp_path: Path) -> None:
    said = refusal(tmp_path, "[apps.permits]\nfee = 2\n", Checked)
    assert said == "settings apps.permits are wrong: Value error, two is too much"
    said = refusal(tmp_path, "[apps.permits]\nfee = 3\n", Checked)
    assert said == "settings apps.permits are wrong: Checked raised LookupError: no such fee"


def test_malformed_variables_are_refused(tmp_path: Path) -> None:
    for variable, value in (
        ("HMS_SVC_APPS", "[1]"),
        ("HMS_SVC_APPS", "{"),
        ("HMS_SVC_APPS__PERMITS", "5"),
    ):
        with pytest.raises(BadSetting, match=variable):
            load_settings(environ={"HMS_SVC_CONFIG": "", variable: value})


def test_settings_are_injected_like_resources() -> None:
    registry = registry_of()

    @registry.job("permit.apply")
    async def apply(job: Any, settings: PermitSettings) -> None:
        pass

    injection = Injection(registry)
    assert injection.resources == []
    assert injection.types["permit.apply"].handler.needs == {"settings": PermitSettings}


def test_settings_without_a_name_are_refused_at_once() -> None:
    unnamed: Any = PermitSettings
    with pytest.raises(BadInput, match="is not the name of a section, such as permits"):
        Registry().settings(unnamed)


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("Permits", PermitSettings, "registry.settings 'Permits' is not the name of a section"),
        ("a__b", PermitSettings, "registry.settings 'a__b' is not the name of a section"),
        ("permits", dict, "is not a class derived from pydantic.BaseModel"),
    ],
)
def test_what_cannot_be_settings_is_refused(name: Any, model: Any, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        registry_of(model, name)
    assert said in str(caught.value)


def test_a_section_belongs_to_one_model() -> None:
    registry, other = registry_of(), registry_of(Checked)
    with pytest.raises(BadInput, match="declared twice in one registry"):
        registry.settings("permits")(Checked)
    registry.include(other)
    with pytest.raises(BadSetting, match=r"apps\.permits are declared twice: by .*PermitSettings"):
        read_app_settings(registry.scopes, {})


@pytest.mark.parametrize("name", ["webhook_secret", "audit_key", "broker_url", "database_url"])
def test_our_own_secrets_may_be_in_files(tmp_path: Path, name: str) -> None:
    value = "sqlite:////data/x.db" if name.endswith("url") else "a secret of enough characters"
    (tmp_path / "secret").write_text(value + "\n")
    variable = f"HMS_SVC_{name.upper()}"
    environ = {"HMS_SVC_CONFIG": "", f"{variable}_FILE": str(tmp_path / "secret")}
    loaded = load_settings(environ=environ)
    assert getattr(loaded.settings, name) == value
    assert loaded.sources[name] == f"environment {variable}_FILE"
    assert loaded.warnings == ()
    with pytest.raises(BadSetting, match=f"{variable} and {variable}_FILE are both set"):
        load_settings(environ={**environ, variable: value})
    missing = {"HMS_SVC_CONFIG": "", f"{variable}_FILE": "/no/such"}
    with pytest.raises(BadSetting, match=f"{variable}_FILE: file '/no/such' does not exist"):
        load_settings(environ=missing)
