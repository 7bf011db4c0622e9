"""The service, on a bench and with a pretend city."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from hms_svc.testing import Bench, Outcome
from permits.jobs import (
    PermitSettings,
    announce,
    announced,
    apply,
    charge,
    make_tables,
    notify,
    registry,
    render,
    report,
)
from permits.payloads import Announcement, Application
from pretend_city import PretendCity, pretend_city

ADA = Application(
    applicant="Ada", email="ada@example.org", account="A-1", parcel="17", ward=1, storeys=2
)


@pytest.fixture
def city() -> Iterator[PretendCity]:
    with pretend_city(citizens=70) as city:
        yield city


@pytest.fixture
def bench(city: PretendCity, tmp_path: Path) -> Iterator[Bench]:
    settings = PermitSettings(
        city_url=city.url, city_key=SecretStr("key"), documents=tmp_path / "documents"
    )
    with Bench(registry, resources={PermitSettings: settings}) as bench:
        bench.run(make_tables, None).get()
        yield bench


def rows(table: str) -> list[Any]:
    """Return what a table has: the bench is an installation of its own, with its own database."""
    file = Path(os.environ["HMS_SVC_DATA_DIR"]) / "cases.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(f"select * from {table}").fetchall()


def test_a_permit_is_granted_paid_drawn_up_and_told(
    bench: Bench, city: PretendCity, tmp_path: Path
) -> None:
    granted = bench.run(apply, ADA)
    assert granted.get() == {"permit": granted.id}
    assert "permit.granted" in [event.type for event in granted.events]
    ran = bench.drain()
    assert [each.type for each in ran] == ["fee.charge", "document.render", "citizen.notify"]
    [permit] = rows("permits")
    assert permit[:5] == (granted.id, "17", "Ada", "ada@example.org", 1)
    [document] = (tmp_path / "documents").iterdir()
    assert document.read_text().endswith(f"Seal {permit[5]}\n")
    assert rows("fees") == [(granted.id, 120_00, f"R-{ran[0].id}")]
    assert list(city.messages.values()) == [
        {"to": "ada@example.org", "text": f"Your permit {granted.id} is ready"}
    ]


def test_a_person_decides_about_a_tall_house(bench: Bench) -> None:
    bench.hold("permit.grant")
    held = bench.run(apply, ADA)
    assert (held.state, rows("permits")) == ("held", [])
    bench.approve(held)
    bench.drain()
    assert len(rows("permits")) == 1


def test_no_rule_allows_more_than_forty_storeys(bench: Bench) -> None:
    outcome = bench.run(apply, ADA.model_copy(update={"storeys": 41}))
    assert (outcome.state, outcome.detail) == ("rejected", "41 storeys: at most 40 are allowed")


def test_a_parcel_has_one_application_and_one_permit(bench: Bench) -> None:
    first = bench.enqueue(apply, ADA)
    second = bench.run(apply, ADA, unique_key=first.unique_key)
    assert (second.state, second.reason) == ("rejected", "unique")
    bench.drain()
    third = bench.run(apply, ADA)
    assert (third.state, third.detail) == ("rejected", "parcel 17 has a permit")


def test_an_application_of_version_1_is_upgraded(bench: Bench) -> None:
    data = ADA.model_dump()
    del data["email"]
    bench.run(apply, data, version=1).get()
    assert rows("permits")[0][3] == "post@city.example"


def test_a_permit_stands_once_if_the_worker_dies_after_its_commit(bench: Bench) -> None:
    bench.kill_before_settlement()
    killed = bench.run(apply, ADA)
    again = bench.drain()[0]
    assert (again.id, again.state, len(rows("permits"))) == (killed.id, "completed", 1)
    assert len(rows("fees")) == 1


def test_a_declined_charge_is_not_tried_again(bench: Bench, city: PretendCity) -> None:
    bench.run(apply, ADA.model_copy(update={"account": "empty"})).get()
    [declined] = bench.drain()
    assert (declined.state, declined.reason) == ("dead", "given_up")
    assert "the account is empty" in declined.detail
    assert (len(city.requests), rows("fees")) == (1, [])


def states(bench: Bench, type: str) -> list[str]:
    """Run what is ready; return the states of one type: at some hour the report of the night is among it."""
    return [each.state for each in bench.drain() if each.type == type]


def test_a_broken_bank_is_asked_again_and_charges_once(bench: Bench, city: PretendCity) -> None:
    bench.run(apply, ADA).get()
    city.faults = [503, 503]
    assert states(bench, charge.type) == ["retrying"]
    bench.advance(600)
    assert states(bench, charge.type) == ["retrying"]
    bench.advance(600)
    assert states(bench, charge.type) == ["completed"]
    assert (len(city.charges), len(rows("fees"))) == (1, 1)


def test_a_busy_city_says_when_to_come_back(bench: Bench, city: PretendCity) -> None:
    city.faults = [429]
    outcome = bench.run(charge, {"permit": "p-1", "account": "A-1", "cents": 5})
    assert (outcome.state, outcome.due_in) == ("retrying", 30.0)


def test_all_citizens_of_a_ward_are_told_once(bench: Bench, city: PretendCity) -> None:
    bench.kill_before_settlement()
    bench.run(announce, Announcement(ward=3, text="The road is closed"))
    ended: list[Outcome] = []
    while bench.enqueued(announce) or bench.enqueued(notify):
        ended += bench.drain()
        bench.advance(1)
    assert sorted(message["to"] for message in city.messages.values()) == city.citizens
    [told] = [run for run in ended if run.type == announced.type]
    assert told.get() == "ward 3: 70 citizens were told"


def test_the_report_of_the_night(bench: Bench) -> None:
    bench.run(apply, ADA).get()
    bench.drain()
    bench.advance(24 * 3600)
    [night] = [each for each in bench.drain() if each.type == report.type]
    assert night.get() == {"permits": 1, "cents": 120_00, "complaints": 15}
    assert rows("nights") == [(night.id, 1, 120_00)]


def test_a_document_that_cannot_be_written_is_tried_again(bench: Bench, tmp_path: Path) -> None:
    bench.run(apply, ADA).get()
    (tmp_path / "documents").write_text("a file in place of the folder")
    failed = bench.drain()[-1]
    assert (failed.type, failed.state) == (render.type, "retrying")
    (tmp_path / "documents").unlink()
    bench.advance(10)
    assert states(bench, render.type) == ["completed"]
