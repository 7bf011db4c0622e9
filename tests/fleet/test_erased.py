"""No key of the server names a person who was erased."""

from __future__ import annotations

import msgspec

from hms_svc.domain.event import service_event
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Disposition, Failure
from hms_svc.ports.broker import ProgressReport
from hms_svc.ports.control import Act, ActRequest, SeenClaim
from tests.support.fleet import TYPE, Fleet

SECRET = "usr-44321"
READERS = {
    "string": ("GET",),
    "hash": ("HGETALL",),
    "set": ("SMEMBERS",),
    "list": ("LRANGE", 0, -1),
    "zset": ("ZRANGE", 0, -1),
    "stream": ("XRANGE", "-", "+"),
}


def naming(fleet: Fleet) -> set[str]:
    """Return the kinds of key whose name or value has the person in it."""
    found = set()
    for name in fleet.server.keys("*"):
        command, *bounds = READERS[fleet.server.cli("TYPE", name).decode()]
        if SECRET in name + repr(fleet.server.cli(command, name, *bounds)):
            found.add(name.split(":")[2])
    return found


async def test_no_key_names_an_erased_person(fleet: Fleet) -> None:
    data = {"user_id": SECRET}
    job = fleet.job(data, unique_key=SECRET, meta={"from": SECRET})
    await fleet.broker.enqueue([job])
    [claimed] = await fleet.claim()
    await fleet.broker.record_progress([ProgressReport(claimed.token, 1, None, SECRET, True)])
    died = Disposition(
        state=State.DEAD,
        trigger=Trigger.FINISHED,
        reason="error",
        detail=SECRET,
        failure=Failure("KeyError", SECRET, SECRET),
        log=SECRET,
    )
    settlement = msgspec.structs.replace(fleet.settlement(claimed), disposition=died)
    assert await fleet.broker.settle([settlement]) == []
    await fleet.bus.publish([service_event(job.id, "case.opened", "", data, 1)])
    for act in (Act.RETRY, Act.CANCEL):
        request = ActRequest(
            act=act,
            job_ids=(job.id,),
            by="ravi",
            note=SECRET,
            batch=act.value,
            seen={job.id: SeenClaim(claimed.token.fence)},
        )
        await fleet.control.act(request)
    assert naming(fleet) == {"job", "progress", "bus", "undo"}
    await fleet.control.erase([job.id])
    assert naming(fleet) == set()
    assert fleet.server.keys(f"hms:default:cancelled:{TYPE}")
