"""The files in deploy/ name what the program has: a wrong name there fails in silence."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from hms_svc.cli.catalogue import COMMANDS, GROUPS
from hms_svc.settings import CONFIG_VARIABLE, PREFIX, READERS, load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SUPERVISOR_EXTRA_SECONDS = 10
KNOWN = {CONFIG_VARIABLE, *(PREFIX + name.upper() for name in READERS)}
FILES = [
    path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and "secrets" not in path.parts
]
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
COMPOSE = DEPLOY / "container" / "compose.yaml"
PROBE = "hms-svc-ready"


def documents(path: Path) -> list[Any]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each is not None]


def unit(path: Path) -> dict[str, list[str]]:
    """Every directive of a unit with its values; a unit may name one again."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith(("#", "[")):
            found.setdefault(name, []).append(value)
    return found


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in MANIFESTS:
        for document in documents(path):
            if document["kind"] in {"Deployment", "Job"}:
                yield document["metadata"]["name"], document["spec"]["template"]["spec"]


def api_in_the_page() -> dict[str, Any]:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/deploying.md").read_text(), re.DOTALL)
    [found] = [each for each in map(yaml.safe_load, blocks) if "readinessProbe" in each]
    return dict(found)


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every command of ours that a file would run, without the program's name."""
    for path in UNITS:
        yield path.name, shlex.split(unit(path)["ExecStart"][0])[1:]
    services = documents(COMPOSE)[0]["services"]
    yield "compose: migrate", services["migrate"]["command"]
    yield "compose: worker", services["worker"]["command"]
    for name, pod in pods():
        yield f"pod of {name}", pod["containers"][0]["args"]
    yield "the HTTP API in docs/deploying.md", api_in_the_page()["args"]
    containerfile = (DEPLOY / "container" / "Containerfile").read_text()
    yield "Containerfile", re.findall(r'"([^"]+)"', containerfile.rpartition("\nCMD ")[2])


def grace_seconds(text: str) -> float:
    """The grace that a file sets, else the program's own."""
    found = re.search(r"HMS_SVC_GRACE_SECONDS\W+([0-9]+)", text)
    default = load_settings({}, environ={CONFIG_VARIABLE: ""}).settings.grace_seconds
    return float(found[1]) if found else default


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\bHMS_SVC_[A-Z_]+[A-Z]", path.read_text()))
    assert named - KNOWN == set()


def test_every_value_is_one_that_the_program_takes() -> None:
    [settings] = documents(DEPLOY / "kubernetes" / "settings.yaml")
    compose = documents(COMPOSE)[0]["services"]["worker"]["environment"]
    given = {**compose, **settings["data"], CONFIG_VARIABLE: ""}
    assert load_settings({}, environ=given).warnings == ()


@pytest.mark.parametrize(("where", "words"), list(command_lines()), ids=lambda each: str(each)[:40])
def test_every_command_exists_with_its_options(where: str, words: list[str]) -> None:
    names = words[:2] if words[0] in GROUPS else words[:1]
    assert names[0] in COMMANDS
    told = subprocess.run(
        [sys.executable, "-m", "hms_svc", *names, "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert told.returncode == 0, told.stderr
    missing = [word for word in words if word.startswith("--") and word not in told.stdout]
    assert not missing, f"{where}: {names} has no {missing}"


def test_systemd_waits_longer_than_the_grace_and_tells_the_supervisor_alone() -> None:
    path = DEPLOY / "systemd" / "hms-svc.service"
    found = unit(path)
    assert (
        float(found["TimeoutStopSec"][0])
        > grace_seconds(path.read_text()) + SUPERVISOR_EXTRA_SECONDS
    )
    assert (found["KillMode"], found["KillSignal"]) == (["mixed"], ["SIGTERM"])


def test_compose_waits_longer_than_the_grace() -> None:
    waits = documents(COMPOSE)[0]["services"]["worker"]["stop_grace_period"]
    wanted = grace_seconds(COMPOSE.read_text()) + SUPERVISOR_EXTRA_SECONDS
    assert float(waits.removesuffix("s")) > wanted


def test_kubernetes_waits_longer_than_the_grace() -> None:
    settings = (DEPLOY / "kubernetes" / "settings.yaml").read_text()
    [workers] = [pod for name, pod in pods() if name == "hms-svc-workers"]
    wanted = grace_seconds(settings) + SUPERVISOR_EXTRA_SECONDS
    assert workers["terminationGracePeriodSeconds"] > wanted


def test_probes_run_what_the_image_has() -> None:
    containerfile = (DEPLOY / "container" / "Containerfile").read_text()
    [workers] = [pod["containers"][0] for name, pod in pods() if name == "hms-svc-workers"]
    probes = [workers[name]["exec"]["command"] for name in ("startupProbe", "readinessProbe")]
    assert probes == [[PROBE], [PROBE]]
    assert f"deploy/container/ready.sh /usr/local/bin/{PROBE}" in containerfile


def test_the_probes_of_a_door_ask_what_answers_without_a_token() -> None:
    api = api_in_the_page()
    [port] = [each["containerPort"] for each in api["ports"]]
    assert api["args"][-1].endswith(f":{port}")
    probes = {api[name]["httpGet"]["path"] for name in ("readinessProbe", "livenessProbe")}
    assert probes == import_module("hms_svc.http_api.middleware").OPEN_PATHS


def test_what_the_image_copies_is_let_through_to_the_build() -> None:
    folder = DEPLOY / "container"
    copied = re.findall(
        r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$",
        (folder / "Containerfile").read_text(),
        re.MULTILINE,
    )
    wanted = {source for line in copied for source in line.split()}
    allowed = (folder / "Containerfile.dockerignore").read_text().splitlines()
    assert {source for source in wanted if f"!{source}" not in allowed} == set()
    assert {source for source in wanted if not (ROOT / source).exists()} == set()


def test_no_pod_is_given_variables_by_the_services_of_its_namespace() -> None:
    """A Service called hms-svc makes HMS_SVC_PORT and others, which look like settings of ours."""
    found = dict(pods())
    assert found
    assert {name: pod.get("enableServiceLinks") for name, pod in found.items()} == dict.fromkeys(
        found, False
    )


def test_what_units_name_as_their_documentation_is_installed_by_the_steps() -> None:
    steps = (ROOT / "docs/deploying.md").read_text()
    folder = "/opt/hms-svc/share/doc"
    assert f"install -D -m 0644 -t {folder} docs/*.md" in steps
    named = [each for path in UNITS for each in unit(path).get("Documentation", [])]
    assert named
    for address in named:
        page = address.removeprefix(f"file://{folder}/")
        assert (ROOT / "docs" / page).is_file(), address


def test_every_manifest_is_listed_or_told_apart() -> None:
    [kustomization] = documents(DEPLOY / "kubernetes" / "kustomization.yaml")
    apart = {"kustomization.yaml", "secret.example.yaml", "autoscaling.yaml"}
    assert {path.name for path in MANIFESTS} == {*kustomization["resources"], *apart}


def test_every_reference_between_manifests_is_to_one_that_exists() -> None:
    found = [each for path in MANIFESTS for each in documents(path) if "metadata" in each]
    names = {(each["kind"], each["metadata"]["name"]) for each in found}
    [secret] = [each for each in found if each["kind"] == "Secret"]
    [scaler] = [each for each in found if each["kind"] == "ScaledObject"]
    [login] = [each for each in found if each["kind"] == "TriggerAuthentication"]
    [budget] = [each for each in found if each["kind"] == "PodDisruptionBudget"]
    [workers] = [each for each in found if each["kind"] == "Deployment"]
    assert ("Deployment", scaler["spec"]["scaleTargetRef"]["name"]) in names
    assert login["spec"]["secretTargetRef"][0]["key"] in secret["stringData"]
    assert budget["spec"]["selector"] == workers["spec"]["selector"]
    for _, pod in pods():
        [settings, secrets] = pod["containers"][0]["envFrom"]
        assert ("ConfigMap", settings["configMapRef"]["name"]) in names
        assert ("Secret", secrets["secretRef"]["name"]) in names


def test_the_scaler_reads_keys_that_the_broker_writes() -> None:
    families = {
        family.name: family.kind for family in import_module("hms_svc.brokers.redis.keys").FAMILIES
    }
    [_, scaler] = documents(DEPLOY / "kubernetes" / "autoscaling.yaml")
    for trigger in scaler["spec"]["triggers"]:
        listed, kinds = trigger["metadata"]["listName"], {"list", "zset"}
        family = re.sub(
            r"^hms:default:", "hms:{ns}:", re.sub(r":[a-z]+\.[a-z]+$", ":{type}", listed)
        )
        assert families.get(family) in kinds, f"{listed} is no list or sorted set of the broker's"


def test_every_secret_of_compose_is_made_by_its_script() -> None:
    script = (DEPLOY / "container" / "make_secrets.sh").read_text()
    secrets = documents(COMPOSE)[0]["secrets"]
    assert {
        each["file"] for each in secrets.values() if f">{each['file'][2:]}" not in script
    } == set()
