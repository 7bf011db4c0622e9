"""The files in deploy/ before their own judges: the schemas of Kubernetes, and systemd-analyze."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.interop.parts import part, python_part

pytestmark = pytest.mark.interop

DEPLOY = Path(__file__).parents[2] / "deploy"
VERSIONS = ("1.30", "1.34")
WITHOUT_SCHEMA = {"Kustomization", "ScaledObject", "TriggerAuthentication"}
"""Of kustomize and KEDA, not of Kubernetes."""


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_fit_the_schemas_of_kubernetes(version: str) -> None:
    kubernetes_validate = python_part("kubernetes_validate")
    seen = []
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for document in filter(None, yaml.safe_load_all(path.read_text())):
            if document["kind"] not in WITHOUT_SCHEMA:
                kubernetes_validate.validate(document, version, strict=True)
                seen.append(document["kind"])
    assert {"Deployment", "Job", "ConfigMap", "Secret", "PodDisruptionBudget"} == set(seen)


def test_units_are_what_systemd_takes(tmp_path: Path) -> None:
    analyze = part("systemd-analyze")
    units = []
    for path in sorted((DEPLOY / "systemd").glob("*.service")):
        units.append(tmp_path / path.name)
        installed = path.read_text().replace("/opt/hms-svc/bin/hms-svc", sys.executable)
        units[-1].write_text(installed)
    done = subprocess.run(
        [analyze, "verify", "--man=no", *map(str, units)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if any(each.name in line for each in units)]
    assert (done.returncode, told) == (0, [])
