"""The JSON Schemas of the YAML files, generated from the shapes that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from confiture.files.migration import migration_schema
from confiture.files.settings import settings_schema

SchemaName = Literal["migration", "settings"]
SCHEMA_FOLDER = Path(".confiture/schema")


def json_schema(name: SchemaName) -> dict[str, Any]:
    """The JSON Schema (2020-12) of migration files or of confiture.yaml."""
    body = migration_schema() if name == "migration" else settings_schema()
    title = "A Confiture migration" if name == "migration" else "Confiture settings (confiture.yaml)"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title} | body


def install_schemas(root: Path) -> None:
    """Writes both schemas below `.confiture/schema/` of a project, where the files' editor mode lines look for them."""
    folder = root / SCHEMA_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (root / ".confiture" / ".gitignore").write_text("*\n", encoding="utf-8")
    for name in ("migration", "settings"):
        text = json.dumps(json_schema(name), indent=2) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
