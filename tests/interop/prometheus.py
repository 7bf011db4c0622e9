"""A real Prometheus that scrapes a service of the test's own."""

from __future__ import annotations

import math
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import httpx
import yaml

from tests.interop.parts import part
from tests.support.proxy import LOOPBACK, free_port
from tests.support.waiting import PATIENCE_SECONDS, wait_until

RULES: Final = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"


class Prometheus:
    """One server over targets under the job name of the rules. Use it as `with`."""

    def __init__(self, folder: Path, targets: Sequence[str], *, every_seconds: int = 1) -> None:
        self._folder = folder
        self._address = f"{LOOPBACK}:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None
        config = {
            "global": {
                "scrape_interval": f"{every_seconds}s",
                "scrape_timeout": f"{every_seconds}s",
                "evaluation_interval": "1s",
            },
            "scrape_configs": [
                {"job_name": "hms-svc", "static_configs": [{"targets": list(targets)}]}
            ],
            "rule_files": [str(RULES)],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Self:
        command = [
            part("prometheus"),
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'tsdb'}",
            f"--web.listen-address={self._address}",
        ]
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log, start_new_session=True)
        wait_until("Prometheus is ready", self._is_ready)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE_SECONDS)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the series that an expression gives now, with their values; NaN is none."""
        found = self._ask("query", query=expression)["result"]
        series = [(each["metric"], float(each["value"][1])) for each in found]
        return [(labels, value) for labels, value in series if not math.isnan(value)]

    def alerts(self) -> dict[str, str]:
        """Return the alerts that are pending or firing: name, and state."""
        return {
            each["labels"]["alertname"]: each["state"] for each in self._ask("alerts")["alerts"]
        }

    def _ask(self, what: str, **parameters: str) -> Any:
        url = f"http://{self._address}/api/v1/{what}"
        answer = httpx.get(url, params=parameters, timeout=PATIENCE_SECONDS).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"http://{self._address}/-/ready").is_success
        except httpx.TransportError:
            return False
