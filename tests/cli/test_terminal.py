"""With a terminal on standard error: bars go there, data stays on standard output."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_progress_bar_leaves_standard_output_alone(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if "HMS_SVC" not in name}
    environment |= {"HMS_SVC_DATA_DIR": str(tmp_path), "HMS_SVC_CONFIG": "", "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-m", "hms_svc", "enqueue", "sample_jobs/pothole.json", "--json"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    os.close(theirs)
    os.close(ours)
    assert json.loads(done.stdout)["state"] == "queued"


def test_the_data_files_are_their_owners_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if "HMS_SVC" not in name}
    environment |= {"HMS_SVC_DATA_DIR": str(tmp_path), "HMS_SVC_CONFIG": ""}
    command = [sys.executable, "-m", "hms_svc", "serve", "--drain", "--no-http"]
    subprocess.run(command, cwd=ROOT, env=environment, timeout=60, check=True)
    modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.glob("*.db")}
    assert modes == {"queue.db": 0, "cases.db": 0}
