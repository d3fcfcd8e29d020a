"""The file and line of each definition, from the schema that the DDL files create."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from confiture.errors import DiagnosticCollector
from confiture.models.catalog import Catalog, CompositeType, Table, TableKind, View
from confiture.models.records import replace
from confiture.models.schema_changes import SchemaChange, SchemaComparison
from confiture.models.source import RenderedSql, SourceLocation
from confiture.sql.expressions import quote_identifier, quote_names


def add_locations(comparison: SchemaComparison, texts: Iterable[RenderedSql]) -> SchemaComparison:
    """Return the comparison with the location of each object in the files, or else of the object it is a part of.

    An object without a location is only in the other schema, or the files create it in a way that has no location, such
    as in a DO block.
    """
    if not comparison.changes and not comparison.spelling_changes:
        return comparison
    from confiture.lint.schema_files import build_schema
    from confiture.sql.parser import parse_sql

    schema = build_schema(texts, DiagnosticCollector(), parse_sql)
    locations = dict(_find_locations(schema.catalog))
    return replace(
        comparison,
        changes=tuple(_located(change, locations) for change in comparison.changes),
        spelling_changes=tuple(_located(change, locations) for change in comparison.spelling_changes),
    )


def _located(change: SchemaChange, locations: Mapping[str, SourceLocation]) -> SchemaChange:
    name = change.name.partition("(")[0] if change.kind in _CODE_KINDS else change.name
    location = locations.get(name)
    if location is None and change.facts:
        location = locations.get(change.parent)
    return replace(change, location=location.span) if location else change


_CODE_KINDS = frozenset({"function", "procedure", "aggregate"})


def _find_locations(catalog: Catalog) -> Iterator[tuple[str, SourceLocation]]:
    """Yield the names of objects as in `SchemaFacts.objects`, functions without arguments, with their locations."""
    for names, kind in ((catalog.schemas, "schema"), (catalog.extensions, "extension")):
        yield from ((f"{kind} {quote_identifier(name)}", place) for name, place in names.items() if place)
    for name, location in _named_objects(catalog):
        if location is not None:
            yield name, location


def _named_objects(catalog: Catalog) -> Iterator[tuple[str, SourceLocation | None]]:
    for table in catalog.tables.values():
        yield from _table_parts(table)
    for view in catalog.views.values():
        kind = "materialized view" if view.materialized else "view"
        yield f"{kind} {quote_names(view.name)}", view.location
        yield from _index_locations(view)
    for sequence in catalog.sequences.values():
        yield f"sequence {quote_names(sequence.name)}", sequence.location
    for user_type in catalog.types.values():
        kind = "composite type" if isinstance(user_type, CompositeType) else "type"
        yield f"{kind} {quote_names(user_type.name)}", user_type.location
    for function in catalog.functions.values():
        for kind in _CODE_KINDS:
            yield f"{kind} {quote_names(function.signature.name)}", function.location


def _table_parts(table: Table) -> Iterator[tuple[str, SourceLocation | None]]:
    kind = "foreign table" if table.kind is TableKind.FOREIGN else "table"
    name = quote_names(table.name)
    yield f"{kind} {name}", table.location
    parts: tuple[tuple[str, tuple[Any, ...]], ...] = (
        (f"{kind} constraint", table.constraints),
        ("policy", table.policies),
        ("trigger", table.triggers),
    )
    for column in table.columns:
        yield f"{kind} column {name}.{quote_identifier(column.name)}", column.location
    for part_kind, items in parts:
        yield from ((f"{part_kind} {quote_identifier(item.name)} on {name}", item.location) for item in items)
    yield from _index_locations(table)


def _index_locations(owner: Table | View) -> Iterator[tuple[str, SourceLocation | None]]:
    for index in owner.indexes:
        yield f"index {quote_names((owner.name.schema, index.name))}", index.location
