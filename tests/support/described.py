"""Validate answers against the OpenAPI document: status, content type, headers, and every member."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import httpx
import jsonschema_rs

PROBLEM = "application/problem+json"


class Described:
    """Validates the answers of an HTTP server against its OpenAPI document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._components = _closed(document["components"])
        self.seen: set[tuple[str, int]] = set()
        """The operations that were called, with the statuses of their answers."""
        self.sent: set[str] = set()
        """The members of components that were in answers, as `Job.id`."""
        self._validators: dict[str, Any] = {}
        self._paths = [(_pattern(path), path) for path in document["paths"]]

    @property
    def names(self) -> set[str]:
        """The ids of all operations."""
        paths = self.document["paths"].values()
        return {str(each["operationId"]) for of_path in paths for each in of_path.values()}

    def operation(self, request: httpx.Request) -> dict[str, Any] | None:
        """Return the operation of a request in the document; None if there is none."""
        path = next(
            (known for pattern, known in self._paths if pattern.fullmatch(request.url.path)), ""
        )
        method = request.method.lower()
        operations: dict[str, Any] = self.document["paths"].get(path, {})
        found: dict[str, Any] | None = operations.get("get" if method == "head" else method)
        return found

    async def check(self, answer: httpx.Response) -> None:
        """Raise AssertionError if an answer differs from the document."""
        where = f"{answer.request.method} {answer.request.url} answered {answer.status_code}"
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        operation = self.operation(answer.request)
        if operation is None:
            known = answer.request.url.path in self.document["paths"]
            assert answer.status_code >= 400 or not known or answer.request.method == "OPTIONS"
            if media_type == PROBLEM and answer.request.method != "HEAD":
                await self._check_body(where, answer, {"$ref": "#/components/schemas/Problem"})
            return
        self.seen.add((operation["operationId"], answer.status_code))
        response = operation["responses"].get(str(answer.status_code))
        assert response is not None or answer.status_code in {405, 499}, (
            f"{where}: not in the document"
        )
        response = self._resolved(response or operation["responses"]["default"])
        for name in ("location", "idempotency-replayed", "retry-after", "www-authenticate"):
            if name in answer.headers:
                assert name in {each.lower() for each in response.get("headers", {})}, (where, name)
        if "content" not in response:
            assert media_type == "", where
            return
        assert media_type in response["content"], f"{where}: {media_type}"
        if "json" in media_type and answer.request.method != "HEAD":
            await self._check_body(where, answer, response["content"][media_type]["schema"])

    async def _check_body(self, where: str, answer: httpx.Response, schema: dict[str, Any]) -> None:
        validator = self._validator(schema)
        await answer.aread()
        faults = [
            f"{'.'.join(map(str, fault.instance_path))}: {fault.message}"
            for fault in validator.iter_errors(answer.json())
        ]
        assert faults == [], f"{where}: {faults} in {answer.text}"
        self._note(schema, answer.json())

    def _validator(self, schema: dict[str, Any]) -> Any:
        name = str(schema)
        if name not in self._validators:
            whole = {**schema, "components": self._components}
            self._validators[name] = jsonschema_rs.validator_for(whole, validate_formats=True)
        return self._validators[name]

    def unsent(self, components: Iterable[str]) -> set[str]:
        """Return the members in the document that were in no answer."""
        schemas = self.document["components"]["schemas"]
        described = {
            f"{name}.{member}"
            for name in components
            for member in schemas[name].get("properties", ())
        }
        return described - self.sent

    def _note(self, schema: dict[str, Any], value: Any) -> None:
        """Record which members of components are in a value that matches its schema."""
        name = schema.get("$ref", "").rpartition("/")[2]
        if name:
            schema = self.document["components"]["schemas"][name]
        for choice in schema.get("anyOf", ()):
            if self._validator(choice).is_valid(value):
                self._note(choice, value)
        if isinstance(value, list):
            for each in value:
                self._note(schema.get("items", {}), each)
        elif isinstance(value, dict):
            for member, each in schema.get("properties", {}).items():
                if member in value:
                    self.sent.add(f"{name}.{member}")
                    self._note(each, value[member])

    def _resolved(self, response: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in response:
            return response
        found: dict[str, Any] = self.document["components"]["responses"][
            response["$ref"].split("/")[-1]
        ]
        return found


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))


def _closed(node: Any) -> Any:
    """Return schemas in which objects allow named members only."""
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {name: _closed(each) for name, each in node.items()}
    if node.get("type") == "object" and "properties" in node:
        found.setdefault("additionalProperties", False)
    return found
