"""The project's DDL files: found below the schemas folder and rendered, in path order."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from confiture.errors import Diagnostic, DiagnosticCollector, InputError
from confiture.files.ddl import SQL_SUFFIXES, TEMPLATE_SUFFIX
from confiture.files.source_files import decode_source_file, read_source_file
from confiture.models.records import replace
from confiture.models.settings import Settings
from confiture.models.source import LocatedSource, RenderedSql, SourceFile
from confiture.plan.rendering import MISSING_VALUE_CODES, RenderContext, TemplateProblem, render, render_verbatim
from confiture.plan.variables import merge_variables

_RESTRICT = re.compile(r"^\\(?:un)?restrict [A-Za-z0-9]+$", re.MULTILINE)
"""A line that newer versions of pg_dump write for psql. It has no meaning for the schema."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaFiles:
    """The DDL files below the schemas folder, in path order.

    `texts` are the rendered contents of the files. `templates` are files that use variables that the settings do not
    set, so that only the migrations that run these files can render them; `missing_variables` are the places.
    """

    paths: tuple[Path, ...] = ()
    texts: tuple[RenderedSql, ...] = ()
    templates: tuple[Path, ...] = ()
    missing_variables: tuple[Diagnostic, ...] = ()


def read_schema_files(settings: Settings, overrides: Mapping[str, Any], problems: DiagnosticCollector) -> SchemaFiles:
    """Read the DDL files, and add errors to `problems`. `overrides` take precedence over all other variables."""
    within = (settings.root, settings.schemas)
    sources = [
        (path, partial(read_source_file, path, settings.root, within))
        for path in map(Path, _find_sql_files(settings.schemas))
    ]
    return _render_files(sources, settings, overrides, problems)


def decode_schema_files(
    contents: Mapping[str, bytes], settings: Settings, overrides: Mapping[str, Any], problems: DiagnosticCollector
) -> SchemaFiles:
    """Decode DDL files as `read_schema_files` reads them. `contents` are files by path relative to the root."""
    names = [PurePosixPath(name) for name in contents if name.endswith(SQL_SUFFIXES)]
    sources = [
        (settings.root / path, partial(decode_source_file, str(path), contents[str(path)]))
        for path in sorted(names, key=lambda path: path.parts)
        if not any(part.startswith(".") for part in path.parts)
    ]
    return _render_files(sources, settings, overrides, problems)


def _render_files(
    sources: Iterable[tuple[Path, Callable[[], SourceFile]]],
    settings: Settings,
    overrides: Mapping[str, Any],
    problems: DiagnosticCollector,
) -> SchemaFiles:
    paths: list[Path] = []
    texts: list[RenderedSql] = []
    templates: list[Path] = []
    missing: list[Diagnostic] = []
    for path, read in sources:
        paths.append(path)
        try:
            texts.append(_render_file(read(), settings, overrides))
        except InputError as error:
            problems.extend(error.diagnostics)
        except TemplateProblem as problem:
            errors = [one for one in problem.diagnostics if one.code not in MISSING_VALUE_CODES]
            problems.extend(errors)
            if not errors:
                templates.append(path)
                missing += problem.diagnostics
    return SchemaFiles(
        paths=tuple(paths), texts=tuple(texts), templates=tuple(templates), missing_variables=tuple(missing)
    )


def _find_sql_files(folder: Path) -> Iterator[str]:
    """Return the DDL files below a folder in path order, except hidden files."""
    pending = _list_folder(folder)
    while pending:
        entry = pending.pop()
        if entry.is_dir(follow_symlinks=False):
            pending += _list_folder(entry.path)
        elif entry.name.endswith(SQL_SUFFIXES) and not os.path.isdir(entry):  # noqa: PTH112 - may raise
            yield entry.path


def _list_folder(folder: Path | str) -> list[os.DirEntry[str]]:
    """Return a folder's visible entries in reverse order; empty if the folder cannot be read."""
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return []
    return sorted(entries, key=lambda entry: entry.name, reverse=True)


class _SchemaRenderContext(RenderContext):
    """The rendering context for templates below the schemas folder, which are rendered outside any migration."""

    __slots__ = ()

    def template_variables(self) -> dict[str, Any]:
        return {**self.variables, "vars": self.variables, "environment": self.environment}


def _render_file(file: SourceFile, settings: Settings, overrides: Mapping[str, Any]) -> RenderedSql:
    source = LocatedSource(text=file.text, file=file)
    if not file.path.endswith(TEMPLATE_SUFFIX):
        return _without_restrict(render_verbatim(source))
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


def _without_restrict(rendered: RenderedSql) -> RenderedSql:
    """Replace the lines with \\restrict by spaces, so that positions stay the same."""
    if "\\" not in rendered.text or not _RESTRICT.search(rendered.text):
        return rendered
    return replace(rendered, text=_RESTRICT.sub(lambda line: " " * len(line[0]), rendered.text))
