"""The schema created by a project's DDL files and migrations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from confiture.errors import DiagnosticCollector
from confiture.lint.engine.context import lint_target
from confiture.lint.engine.replay import MigrationReplay, SchemaReader, merge_catalogs
from confiture.models.catalog import Catalog
from confiture.models.settings import Settings
from confiture.models.source import RenderedSql
from confiture.plan.schema_files import read_schema_files
from confiture.sql.parse_tree import Parse
from confiture.sql.parser import parse_sql
from confiture.sql.parsing import parse_statements


def build_schema(texts: Iterable[RenderedSql], problems: DiagnosticCollector, parse: Parse) -> SchemaReader:
    """Build the schema from the file contents, one after another, and add syntax errors to `problems`."""
    schema = SchemaReader(parse)
    for rendered in texts:
        _read_file(rendered, schema, problems)
    return schema


def catalog_from_files(settings: Settings, overrides: Mapping[str, Any]) -> Catalog:
    """Return the schema that the DDL files and migrations create. Raises InputError with all errors in the files."""
    from confiture.plan.project import read_project

    problems = DiagnosticCollector()
    files = read_schema_files(settings, overrides, problems)
    exists = settings.migrations.exists() or not files.paths
    project = read_project(settings, overrides, problems) if exists else None
    problems.extend(project.missing() if project else ())
    schema = build_schema(files.texts, problems, parse_sql)
    problems.raise_if_any()
    replay = MigrationReplay((), lint_target(settings, None))
    for plan in project.ups if project else ():
        replay.apply(plan)
    return merge_catalogs(schema.catalog, replay.catalog)


def _read_file(rendered: RenderedSql, schema: SchemaReader, problems: DiagnosticCollector) -> None:
    """Apply a DDL file to the schema, or add the file's errors to `problems`."""
    try:
        schema.read(rendered)
    except Exception:
        _, errors = parse_statements(rendered.text)
        if not errors:
            raise
        problems.extend(rendered.diagnostic(one.offset, one.code, one.message, hint=one.hint) for one in errors)
