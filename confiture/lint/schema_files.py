"""The schema that a project's files make: its DDL files, and its migrations."""

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

    `texts` are what they say. `templates` are those that are left to the migrations that run them: they ask for names
    that the settings do not know.
    """

    paths: tuple[Path, ...] = ()
    texts: tuple[RenderedSql, ...] = ()
    templates: tuple[Path, ...] = ()


def read_schema_files(settings: Settings, overrides: Mapping[str, Any], problems: DiagnosticCollector) -> SchemaFiles:
    """Reads them, and adds what is wrong to `problems`. `overrides` are variables that win over all others."""
    paths = tuple(Path(path) for path in _find_sql_files(settings.schemas))
    within = (settings.root, settings.schemas)
    texts, templates = [], []
    for path in paths:
        try:
            texts.append(_render_file(read_source_file(path, settings.root, within), settings, overrides))
        except InputError as error:
            problems.extend(error.diagnostics)
        except TemplateProblem as problem:
            wrong = [one for one in problem.diagnostics if one.code not in MISSING_VALUE_CODES]
            problems.extend(wrong)
            if not wrong:
                templates.append(path)
    return SchemaFiles(paths=paths, texts=tuple(texts), templates=tuple(templates))


def build_schema(texts: Iterable[RenderedSql], problems: DiagnosticCollector, parse: Parse) -> SchemaReader:
    """The schema that the texts make, one after the other; what does not parse is added to `problems`."""
    schema = SchemaReader(parse)
    for rendered in texts:
        _read_file(rendered, schema, problems)
    return schema


def _find_sql_files(folder: Path) -> Iterator[str]:
    """The DDL files below a folder in path order, hidden ones left out."""
    todo = _list_folder(folder)
    while todo:
        entry = todo.pop()
        if entry.is_dir(follow_symlinks=False):
            todo += _list_folder(entry.path)
        elif entry.name.endswith((".sql", TEMPLATE_SUFFIX)) and not os.path.isdir(entry):  # noqa: PTH112 - may raise
            yield entry.path


def _list_folder(folder: Path | str) -> list[os.DirEntry[str]]:
    """What is in a folder and not hidden, the last first; nothing if the folder is not there or may not be read."""
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return []
    return sorted(entries, key=lambda entry: entry.name, reverse=True)


def catalog_from_files(settings: Settings, overrides: Mapping[str, Any]) -> Catalog:
    """The schema that the DDL files and the migrations make. Raises InputError with every mistake in them."""
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
    """What templates below the schemas folder see: no migration runs them here."""

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
    """Adds a DDL file, or what is wrong with it."""
    try:
        schema.read(rendered)
    except Exception:
        _, wrong = parse_statements(rendered.text)
        if not wrong:
            raise
        problems.extend(rendered.diagnostic(one.offset, one.code, one.message, hint=one.hint) for one in wrong)
