from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from hms_svc.domain.errors import BadInput, MalformedJob
from hms_svc.operations.intake import SubmissionOptions, make_jobs
from hms_svc.operations.sample_jobs import list_samples
from hms_svc.sdk.job_defaults import complete
from hms_svc.services import builtin_registry

ROOT = Path(__file__).parents[2]
SAMPLES = {sample.name: sample for sample in list_samples()}


def test_every_file_is_listed_with_what_it_shows() -> None:
    files = {path.stem for path in (ROOT / "sample_jobs").iterdir()} - {"README"}
    assert set(SAMPLES) == files
    assert SAMPLES["dead"].title == "dead: error: both of its two attempts fail"
    assert SAMPLES["slow"].title.startswith("completed after ten seconds")


def test_only_the_malformed_one_is_to_be_handed_over_raw() -> None:
    assert [name for name, sample in SAMPLES.items() if sample.raw] == ["malformed"]
    assert SAMPLES["malformed"].type == "pothole.report"
    with pytest.raises(BadInput, match="submit it raw"):
        SAMPLES["malformed"].draft()


@pytest.mark.parametrize("name", sorted(SAMPLES.keys() - {"malformed"}))
def test_drafts_fit_their_models_where_they_say_so(name: str) -> None:
    sample = SAMPLES[name]
    [job] = make_jobs(sample.draft(), SubmissionOptions(), now_ms=0)
    assert job.type == sample.type
    if sample.checked:
        complete(job, builtin_registry())
    else:
        with pytest.raises(MalformedJob):
            complete(job, builtin_registry())


def test_an_installed_package_has_them_where_they_are_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"sample_jobs": "hms_svc/sample_jobs"}


def test_without_the_files_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("no table\n")
    assert list_samples(tmp_path) == ()
