"""The schema created by a project's DDL files and migrations."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confiture.errors import DiagnosticCollector, InputError
from confiture.files.ddl import TEMPLATE_SUFFIX
from confiture.files.source_files import read_source_file
from confiture.lint.engine.context import lint_target
from confiture.lint.engine.replay import MigrationReplay, SchemaReader, merge_catalogs
from confiture.models.catalog import Catalog
from confiture.models.settings import Settings
from confiture.models.source import LocatedSource, RenderedSql, SourceFile
from confiture.plan.rendering import MISSING_VALUE_CODES, RenderContext, TemplateProblem, render, render_verbatim
from confiture.plan.variables import merge_variables
from confiture.sql.parse_tree import Parse
from confiture.sql.parser import parse_sql
from confiture.sql.parsing import parse_statements


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaFiles:
    """The DDL files below the schemas folder, in path order.

    `texts` are the rendered contents of the files. `templates` are files that use variables that the settings do not
    set, so that only the migrations that run these files can render them.
    """

    paths: tuple[Path, ...] = ()
    texts: tuple[RenderedSql, ...] = ()
    templates: tuple[Path, ...] = ()


def read_schema_files(settings: Settings, overrides: Mapping[str, Any], problems: DiagnosticCollector) -> SchemaFiles:
    """Read the DDL files, and add errors to `problems`. `overrides` take precedence over all other variables."""
    paths = tuple(Path(path) for path in _find_sql_files(settings.schemas))
    within = (settings.root, settings.schemas)
    texts, templates = [], []
    for path in paths:
        try:
            texts.append(_render_file(read_source_file(path, settings.root, within), settings, overrides))
        except InputError as error:
            problems.extend(error.diagnostics)
        except TemplateProblem as problem:
            errors = [one for one in problem.diagnostics if one.code not in MISSING_VALUE_CODES]
            problems.extend(errors)
            if not errors:
                templates.append(path)
    return SchemaFiles(paths=paths, texts=tuple(texts), templates=tuple(templates))


def build_schema(texts: Iterable[RenderedSql], problems: DiagnosticCollector, parse: Parse) -> SchemaReader:
    """Build the schema from the file contents, one after another, and add syntax errors to `problems`."""
    schema = SchemaReader(parse)
    for rendered in texts:
        _read_file(rendered, schema, problems)
    return schema


def _find_sql_files(folder: Path) -> Iterator[str]:
    """Return the DDL files below a folder in path order, except hidden files."""
    pending = _list_folder(folder)
    while pending:
        entry = pending.pop()
        if entry.is_dir(follow_symlinks=False):
            pending += _list_folder(entry.path)
        elif entry.name.endswith((".sql", TEMPLATE_SUFFIX)) and not os.path.isdir(entry):  # noqa: PTH112 - may raise
            yield entry.path


def _list_folder(folder: Path | str) -> list[os.DirEntry[str]]:
    """Return a folder's visible entries in reverse order; empty if the folder cannot be read."""
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return []
    return sorted(entries, key=lambda entry: entry.name, reverse=True)


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


class _SchemaRenderContext(RenderContext):
    """The rendering context for templates below the schemas folder, which are rendered outside any migration."""

    __slots__ = ()

    def template_variables(self) -> dict[str, Any]:
        return {**self.variables, "vars": self.variables, "environment": self.environment}


def _render_file(file: SourceFile, settings: Settings, overrides: Mapping[str, Any]) -> RenderedSql:
    source = LocatedSource(text=file.text, file=file)
    if not file.path.endswith(TEMPLATE_SUFFIX):
        return render_verbatim(source)
    variables = merge_variables(settings, {}, overrides)
    context = _SchemaRenderContext(
        environment=settings.environment,
        version="",
        name="",
        variables=variables.values,
        unset_variables=variables.unset,
        private_values=variables.private,
        private_names=variables.private_names,
    )
    return render(source, context)


def _read_file(rendered: RenderedSql, schema: SchemaReader, problems: DiagnosticCollector) -> None:
    """Apply a DDL file to the schema, or add the file's errors to `problems`."""
    try:
        schema.read(rendered)
    except Exception:
        _, errors = parse_statements(rendered.text)
        if not errors:
            raise
        problems.extend(rendered.diagnostic(one.offset, one.code, one.message, hint=one.hint) for one in errors)
