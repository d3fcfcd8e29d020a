"""The header and the formatting of JSON documents. docs/json.md describes the documents."""

from __future__ import annotations

from typing import Any

from confiture.text import format_json

_LAYOUT_VERSION = 1


def with_schema_version(layout: str) -> dict[str, Any]:
    """Return the first keys of a document: the layout's name and the version."""
    return {"format": layout, "version": _LAYOUT_VERSION}


def dump_json(content: dict[str, Any]) -> str:
    """Format the document as indented JSON with a trailing newline."""
    return format_json(content) + "\n"
