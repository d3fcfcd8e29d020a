"""The schema created by a project's DDL files."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.errors import DiagnosticCollector
from confiture.lint.engine.replay import SchemaReader
from confiture.models.source import RenderedSql
from confiture.sql.parse_tree import Parse
from confiture.sql.parsing import parse_statements


def build_schema(texts: Iterable[RenderedSql], problems: DiagnosticCollector, parse: Parse) -> SchemaReader:
    """Build the schema from the file contents, one after another, and add syntax errors to `problems`."""
    schema = SchemaReader(parse)
    for rendered in texts:
        _read_file(rendered, schema, problems)
    return schema


def _read_file(rendered: RenderedSql, schema: SchemaReader, problems: DiagnosticCollector) -> None:
    """Apply a DDL file to the schema, or add the file's errors to `problems`."""
    try:
        schema.read(rendered)
    except Exception:
        _, errors = parse_statements(rendered.text)
        if not errors:
            raise
        problems.extend(rendered.diagnostic(one.offset, one.code, one.message, hint=one.hint) for one in errors)
