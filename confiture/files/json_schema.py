"""The JSON Schemas of the YAML files, generated from the shapes that read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from confiture.files.access import OWN_FOLDER, write_own_file
from confiture.files.migration import migration_schema
from confiture.files.settings import settings_schema

SchemaName = Literal["migration", "settings"]
SCHEMA_FOLDER = Path(OWN_FOLDER, "schema")


Entries = Sequence[dict[str, Any]]
"""The schemas of the entries of `linting.rules`, one for each rule; none where the rules are not known."""


def build_json_schema(name: SchemaName, entries: Entries = ()) -> dict[str, Any]:
    """The JSON Schema (2020-12) of migration files or of confiture.yaml."""
    body = migration_schema() if name == "migration" else settings_schema()
    if name == "settings" and entries:
        body["properties"]["linting"]["properties"]["rules"]["items"] = {"oneOf": list(entries)}
    title = "A Confiture migration" if name == "migration" else "Confiture settings (confiture.yaml)"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title} | body


def write_schemas(root: Path, entries: Entries = ()) -> None:
    """Writes both schemas below `.confiture/schema/` of a project, where the files' editor mode lines look for them.

    Raises InputError if they cannot be written there.
    """
    for name in ("migration", "settings"):
        text = json.dumps(build_json_schema(name, entries), indent=2) + "\n"
        write_own_file(root, f"schema/{name}.json", text)
