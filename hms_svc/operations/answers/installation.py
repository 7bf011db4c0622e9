"""Answers about an installation: its settings, its schema, its backups."""

from __future__ import annotations

from typing import Any

import msgspec


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting, and where its value comes from. Secrets are masked."""

    setting: str
    value: Any
    source: str


class SchemaVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The version of the schema of the database."""

    version: str


class BackupFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The files that a backup was written to."""

    queue: str
    cases: str
