"""Who may come in, and what each may do."""

from __future__ import annotations

import asyncio
import json
from hmac import compare_digest
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from hms_svc.domain.errors import DatabaseUnavailable
from hms_svc.http_api import authentication as authenticating
from hms_svc.http_api import context as context_module
from hms_svc.http_api.authentication import Authentication
from hms_svc.http_api.context import Bucket
from hms_svc.operations.action_table import ACTIONS, ACTS_ROUTE
from hms_svc.operations.tokens import Scope
from hms_svc.persistence.tokens import SqlTokens
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.stores import Token
from tests.support.api import ApiService
from tests.support.command_line import Cli, make_cli
from tests.support.http_wire import accepted, exchange, head, status_of

PRODUCE, VIEW, OPERATE, METRICS = Scope
SCOPES: dict[tuple[str, str], set[Scope]] = {
    ("post", "/jobs"): {PRODUCE},
    ("get", "/jobs"): {VIEW, OPERATE},
    ("post", "/jobs/acts"): {OPERATE},
    ("post", "/jobs/undo"): {OPERATE},
    ("get", "/jobs/{job_id}"): {VIEW, OPERATE},
    ("get", "/jobs/{job_id}/why"): {VIEW, OPERATE},
    ("get", "/batches"): {VIEW, OPERATE},
    ("get", "/batches/{batch_id}"): {VIEW, OPERATE},
    ("post", "/batches/{batch_id}/close"): {OPERATE},
    ("get", "/jobs/{job_id}/events"): {VIEW, OPERATE},
    ("post", "/jobs/{job_id}/edit"): {OPERATE},
    ("post", "/jobs/{job_id}/retry"): {OPERATE},
    ("post", "/jobs/{job_id}/cancel"): {OPERATE},
    ("post", "/jobs/{job_id}/discard"): {OPERATE},
    ("post", "/jobs/{job_id}/approve"): {OPERATE},
    ("post", "/jobs/{job_id}/deny"): {OPERATE},
    ("get", "/events"): {VIEW, OPERATE},
    ("get", "/status"): {VIEW, OPERATE},
    ("get", "/queues"): {VIEW, OPERATE},
    ("post", "/queues/{type}/pause"): {OPERATE},
    ("post", "/queues/{type}/resume"): {OPERATE},
    ("post", "/queues/{type}/purge"): {OPERATE},
    ("get", "/workers"): {VIEW, OPERATE},
    ("post", "/workers/{worker}/quiet"): {OPERATE},
    ("post", "/workers/{worker}/resume"): {OPERATE},
    ("post", "/workers/{worker}/stop"): {OPERATE},
    ("get", "/failures"): {VIEW, OPERATE},
    ("get", "/schedules"): {VIEW, OPERATE},
    ("post", "/schedules/{type}/run"): {OPERATE},
    ("post", "/schedules/{type}/pause"): {OPERATE},
    ("post", "/schedules/{type}/resume"): {OPERATE},
    ("get", "/cases"): {VIEW, OPERATE},
    ("get", "/cases/{case_id}"): {VIEW, OPERATE},
    ("post", "/cases/{case_id}/close"): {OPERATE},
    ("post", "/cases/{case_id}/reopen"): {OPERATE},
    ("get", "/audit"): {OPERATE},
    ("post", "/envelopes"): {PRODUCE},
    ("get", "/metrics"): {METRICS},
    ("get", "/healthz"): set(),
    ("get", "/readyz"): set(),
}
"""Of every route who may; nobody stands for everybody."""
Headers = dict[str, str]


def bearer(text: str) -> Headers:
    return {"authorization": f"Bearer {text}"}


async def status_with(service: ApiService, headers: Headers) -> int:
    return (await service.client.get("/queues", headers=headers)).status_code


async def test_a_token_that_is_wrong_in_any_way_is_refused(service: ApiService) -> None:
    good = await service.token(VIEW)
    text = good["authorization"].removeprefix("Bearer ")
    other = (await service.token(VIEW, name="other"))["authorization"].removeprefix("Bearer ")
    revoked = await service.token(VIEW, name="gone")
    revoked_id = revoked["authorization"].split("_")[1]
    await service.api.operations("tester").tokens.revoke(revoked_id)
    id, secret = text[4:16], text[17:]
    wrong: dict[str, Headers] = {
        "none": {},
        "empty": {"authorization": ""},
        "no scheme": {"authorization": text},
        "a scheme alone": {"authorization": "Bearer"},
        "basic": {"authorization": "Basic dGVzdGVyOnRlc3Rlcg=="},
        "garbage": bearer("garbage"),
        "like a JWT": bearer("a.b.c"),
        "an unknown id": bearer(f"hms_{'0' * 12}_{secret}"),
        "a wrong secret": bearer(f"hms_{id}_{'A' * 43}"),
        "the secret of another": bearer(f"hms_{id}_{other[17:]}"),
        "truncated": bearer(text[:-1]),
        "longer": bearer(text + "A"),
        "twice": bearer(f"{text} {text}"),
        "with a comma": bearer(f"{text},{text}"),
        "in capitals": bearer(text.upper()),
        "an id in capitals": bearer(f"hms_{id.upper()}_{secret}" if id.upper() != id else "x"),
        "a secret in other letters": bearer(f"hms_{id}_{secret.swapcase()}"),
        "revoked": revoked,
    }
    seen = {name: await status_with(service, headers) for name, headers in wrong.items()}
    assert seen == dict.fromkeys(wrong, 401)
    refused = await service.client.get("/queues")
    assert refused.headers["www-authenticate"] == 'Bearer realm="hms-svc"'
    assert await status_with(service, {"authorization": f"bearer  {text}"}) == 200
    two = head("/queues", f"Authorization: Bearer {text}", "Authorization: Bearer x", method="GET")
    assert status_of(await exchange(service, [two])) == 400
    assert await status_with(service, bearer(text)) == 200


async def test_secrets_are_compared_in_constant_time_also_of_tokens_that_are_not_there(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = await service.token(VIEW)
    id, compared = header["authorization"][11:23], []

    def compare(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return compare_digest(one, other)

    monkeypatch.setattr("hms_svc.http_api.authentication.hmac.compare_digest", compare)
    for text in (f"hms_{id}_{'A' * 43}", f"hms_{'0' * 12}_{'A' * 43}"):
        assert await status_with(service, bearer(text)) == 401
    assert compared == [(64, 64)] * 2


async def test_an_expired_token_says_so(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = SystemClock().now_ms()
    header = await service.token(VIEW, expires_at=now + 3_600_000)
    assert await status_with(service, header) == 200
    monkeypatch.setattr(SystemClock, "now_ms", lambda self: now + 3_600_000)
    answer = await service.client.get("/queues", headers=header)
    assert (answer.status_code, answer.json()["detail"]) == (401, "this token has expired")


async def test_every_route_lets_in_its_own_scopes_and_no_other(service: ApiService) -> None:
    headers = {scope: await service.token(scope, name=scope) for scope in Scope}
    document = (await service.client.get("/openapi.json", headers=headers[METRICS])).json()
    routes = {(method, path) for path, known in document["paths"].items() for method in known}
    assert routes == set(SCOPES)
    acting = {
        path for (method, path), who in SCOPES.items() if (method, who) == ("post", {OPERATE})
    }
    assert acting == {*(each.route for each in ACTIONS if each.route), ACTS_ROUTE}
    for (method, path), allowed in SCOPES.items():
        url = path.replace("{", "").replace("}", "")
        asked: dict[str, Any] = {"method": method, "url": url, "params": {"follow": "false"}}
        nobody = await service.client.request(**asked)
        assert (nobody.status_code == 401) is bool(allowed), (method, path)
        for scope in Scope:
            answer = await service.client.request(**asked, headers=headers[scope])
            let_in = not allowed or scope in allowed
            assert (answer.status_code != 403) is let_in, (method, path, scope)
            assert answer.status_code != 401
    assert (await service.client.get("/openapi.json")).status_code == 401
    assert await accepted(service) == 0


async def test_a_follower_brings_its_token_as_a_header_or_a_subprotocol(
    service: ApiService,
) -> None:
    job_id = (await service.post()).json()["id"]
    url = f"ws://127.0.0.1:{service.port}/jobs/{job_id}/events"
    headers = {scope: await service.token(scope, name=scope) for scope in Scope}

    async def refused(**how: Any) -> int:
        with pytest.raises(InvalidStatus) as caught:
            await connect(url, proxy=None, **how)
        return caught.value.response.status_code

    async def first(**how: Any) -> tuple[str | bytes, str | None]:
        async with connect(url, proxy=None, **how) as socket:
            return await socket.recv(), socket.subprotocol

    def offer(text: str) -> list[Subprotocol]:
        return [Subprotocol("hms-svc"), Subprotocol(f"hms-bearer.{text}")]

    assert await refused() == 401
    assert await refused(subprotocols=offer("garbage")) == 401
    for scope in (PRODUCE, METRICS):
        assert await refused(additional_headers=headers[scope]) == 403
    for scope in (VIEW, OPERATE):
        text = headers[scope]["authorization"].removeprefix("Bearer ")
        state, protocol = await first(subprotocols=offer(text))
        assert json.loads(state)["kind"] == "state"
        assert protocol == "hms-svc"
        assert (await first(additional_headers=headers[scope]))[1] is None


async def test_a_token_with_a_rate_is_told_to_come_again(service: ApiService) -> None:
    header = await service.token(VIEW, rate=1)
    asked = (service.client.get("/queues", headers=header) for _ in range(20))
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["type"] == "urn:hms-svc:problem:too-many-requests"


def test_a_bucket_holds_a_second_and_fills_again() -> None:
    bucket = Bucket(2)
    assert [bucket.take(100.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(100.5) for _ in range(2)] == [True, False]
    assert [bucket.take(900.0) for _ in range(3)] == [True, True, False]


async def test_without_any_token_all_is_open_and_once_there_was_one_never_again(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/queues", "/audit", "/metrics", "/openapi.json"):
        assert (await service.client.get(path)).status_code == 200
    assert (await service.post()).status_code == 202
    header = await service.token(VIEW)
    assert await status_with(service, {}) == 401
    await service.api.operations("tester").tokens.revoke(header["authorization"].split("_")[1])
    assert await status_with(service, {}) == 401
    assert await status_with(service, header) == 401

    async def none(self: SqlTokens) -> list[Token]:
        return []

    monkeypatch.setattr(SqlTokens, "all", none)
    assert await status_with(service, {}) == 401


class Away:
    """A store that is away until it is told otherwise; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = True

    async def all(self) -> list[Token]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise DatabaseUnavailable("it is away")
        return []


async def test_an_outage_is_waited_for_once_and_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store: Any = Away()
    authentication = Authentication(store, SystemClock(), local_actor="local")
    asked = (authentication.identify(None) for _ in range(20))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(answer) for answer in answers} == {DatabaseUnavailable}
    assert store.asked == 1
    store.away = False
    assert (await authentication.identify(None)).actor == "local"
    store.away = True
    monkeypatch.setattr(authenticating, "STALE_SECONDS", -1.0)
    assert (await authentication.identify(None)).actor == "local"


def test_tokens_are_made_listed_and_revoked_on_record(tmp_path: Path) -> None:
    cli: Cli = make_cli(tmp_path / "data")
    first = cli("tokens", "create", "portal", "--scope", "produce,view", "--rate", 5, "--json")
    made, warning = first.row, "from now on the HTTP API requires one"
    assert warning in first.err
    assert set(made) == {"id", "name", "token"}
    assert made["token"].startswith(f"hms_{made['id']}_")
    listed = cli("tokens", "list", "--json")
    assert made["token"][17:] not in listed.out
    assert (listed.row["scopes"], listed.row["rate"]) == (["produce", "view"], 5)
    cli("tokens", "revoke", made["id"])
    assert cli("tokens", "list", "--json").row["revoked_at"] is not None
    assert "no valid token" in cli("tokens", "revoke", made["id"], code=2).err
    for arguments in (("--scope", "all"), ("--scope", "view", "--expires", "soon")):
        cli("tokens", "create", "portal", *arguments, code=2)
    cli("tokens", "create", "two words", "--scope", "view", code=2)
    rows = cli("audit", "list", "--json").rows
    acts = [row["action"] for row in rows if row["subject"] == f"token:{made['id']}"]
    assert sorted(acts) == sorted(["token.create"] * 2 + ["token.revoke"] * 4)
    assert {row["actor"] for row in rows} == {"tester"}
    assert not [row for row in rows if made["token"][17:] in str(row)]
    assert warning not in cli("tokens", "create", "other", "--scope", "view").err


async def test_a_token_for_metrics_is_believed_for_as_long_as_the_database_is_away(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the numbers that say so would stop after a while."""
    scraper, viewer = await service.token(METRICS), await service.token(VIEW, name="viewer")
    for path, token in (("/metrics", scraper), ("/cases", viewer)):
        assert (await service.client.get(path, headers=token)).status_code == 200

    async def tokens() -> list[Token]:
        raise DatabaseUnavailable("it is away")

    monkeypatch.setattr(service.api.reads.database.tokens, "all", tokens)
    monkeypatch.setattr(context_module, "STALE_SECONDS", 0.0)
    for path, token, status in (("/metrics", scraper, 200), ("/cases", viewer, 503)):
        assert (await service.client.get(path, headers=token)).status_code == status
    stranger = {"authorization": f"{scraper['authorization']}x"}
    assert (await service.client.get("/metrics", headers=stranger)).status_code == 401
