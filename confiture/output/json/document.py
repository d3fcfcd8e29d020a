"""The head of each JSON document, and its text. docs/json.md describes the documents."""

from __future__ import annotations

from typing import Any

from confiture.text import format_json

_LAYOUT_VERSION = 1


def with_schema_version(layout: str) -> dict[str, Any]:
    """The first keys of a document: the name of its layout, and the version."""
    return {"format": layout, "version": _LAYOUT_VERSION}


def dump_json(content: dict[str, Any]) -> str:
    """Format the document as indented JSON with a line end."""
    return format_json(content) + "\n"
