"""Put the sample pothole through the whole service, and show the case that came of it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = "sample_jobs/pothole.json"
HMS_SVC = str(Path(sys.executable).parent / "hms-svc")


def hms_svc(*arguments: str) -> str:
    """Run one command and give what it printed; where it fails, leave with its exit code."""
    done = subprocess.run([HMS_SVC, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def show(job: dict[str, Any]) -> int:
    print(f"job {job['id']}: {job['state']}")
    if job["state"] == "completed":
        print(f"case {job['case_id']} is open:\n")
    elif job["state"] == "rejected":
        print(f"{job['reason']}: {job['detail']}")
        print("no new case was opened; the open cases are:\n")
    else:
        print(f"{job['reason']}: {job['detail']}")
        return 1
    print(hms_svc("cases", "list"), end="")
    return 0


def main() -> int:
    os.chdir(ROOT)
    os.environ.setdefault("HMS_SVC_DATA_DIR", str(ROOT / ".data"))
    job_id = json.loads(hms_svc("enqueue", SAMPLE, "--json"))["id"]
    print(f"{SAMPLE} was accepted as job {job_id}", flush=True)
    people_watch = sys.stdin.isatty() and sys.stdout.isatty()
    if people_watch and importlib.util.find_spec("hms_svc.tui.app"):
        os.execv(HMS_SVC, [HMS_SVC])
    hms_svc("serve", "--drain", "--no-http")
    return show(json.loads(hms_svc("jobs", "show", job_id, "--json")))


if __name__ == "__main__":
    sys.exit(main())
