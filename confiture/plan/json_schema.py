"""The JSON Schemas for the YAML files, generated from the types that read the files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from confiture.files.settings import settings_schema
from confiture.plan.step_kinds import MIGRATION_SCHEMA

SchemaName = Literal["migration", "settings"]

Entries = Sequence[dict[str, Any]]
"""The schemas for the entries in `linting.rules`, one for each rule; empty if the rules are unknown."""


def build_json_schema(name: SchemaName, entries: Entries = ()) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) for migration files or for confiture.yaml."""
    body = MIGRATION_SCHEMA.json_schema() if name == "migration" else settings_schema()
    if name == "settings" and entries:
        body["properties"]["linting"]["properties"]["rules"]["items"] = {"oneOf": list(entries)}
    title = "A Confiture migration" if name == "migration" else "Confiture settings (confiture.yaml)"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title} | body


def build_schema_files(entries: Entries = ()) -> dict[str, str]:
    """Return both schemas as text, by file name."""
    names: tuple[SchemaName, ...] = ("migration", "settings")
    return {f"{name}.json": json.dumps(build_json_schema(name, entries), indent=2) + "\n" for name in names}
