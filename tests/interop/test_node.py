"""A Node program follows a job by the packages `ws` and `eventsource`."""

from __future__ import annotations

import json

import pytest

from tests.chaos.site import Site
from tests.interop.conftest import is_ready, make_token
from tests.interop.parts import run_node
from tests.support.proxy import LOOPBACK, free_port

pytestmark = pytest.mark.interop


def test_streams_are_followed_to_their_end_and_not_asked_for_again(site: Site) -> None:
    token, address = make_token(site, "produce,view"), f"{LOOPBACK}:{free_port()}"
    served = site.serve(http=address)
    served.wait_until("it is ready", lambda: is_ready(address))
    told = json.loads(run_node("streams.mjs", f"http://{address}", token))
    assert told["status"] == 202
    assert told["socket"] == {"code": 1000, "last": "end"}
    assert told["events"]["statuses"][-1] == 204
    assert told["events"]["ends"] == 1
