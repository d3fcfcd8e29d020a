"""Statements that reference objects that do not exist."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, SchemaRule, Violation
from confiture.models.catalog import PUBLIC, Catalog, QualifiedName, Sequence
from confiture.sql.catalog.builder import CatalogIssue


def _check(context: SchemaContext) -> Iterable[Violation]:
    for issue in context.catalog_issues:
        if issue.code == "not-partitioned":
            yield Violation(
                location=issue.location,
                relation=issue.object,
                subject="not partitioned",
                message=issue.message,
                hint=_PARTITION_BY_HINT,
            )
        elif issue.code != "missing-object":
            continue
        elif issue.message == f"schema {issue.object} does not exist":
            if issue.object not in context.catalog.schemas:
                yield Violation(
                    location=issue.location,
                    subject=issue.object,
                    message=f"{issue.message} in these files",
                    severity="warning",
                    hint=_SCHEMA_HINT,
                )
        elif not _is_in_unknown_schema(context.catalog, issue) and not _is_known_name(context.catalog, issue.object):
            yield Violation(location=issue.location, relation=issue.object, message=issue.message)


def _is_in_unknown_schema(catalog: Catalog, issue: CatalogIssue) -> bool:
    """Whether the object is in a schema that no file creates, which implies that something else creates it."""
    schema = issue.object.partition(".")[0]
    is_relation = catalog.relation(None, schema) is not None
    return "." in issue.object and schema not in catalog.schemas and not is_relation


def _is_known_name(catalog: Catalog, text: str) -> bool:
    """Whether an object with that name exists at the end, since migrations need not run files in path order."""
    schema, _, bare = text.rpartition(".")
    name = QualifiedName(schema or PUBLIC, bare)
    return (
        catalog.relation(name.schema, bare) is not None
        or name in catalog.types
        or name in catalog.index_owners
        or any(signature.name == name for signature in catalog.functions)
        or _is_known_column(catalog, schema, bare)
        or (not schema and any(table.constraint(bare) for table in catalog.tables.values()))
    )


def _is_known_column(catalog: Catalog, owner: str, column: str) -> bool:
    schema, _, bare = owner.rpartition(".")
    relation = catalog.relation(schema or PUBLIC, bare)
    if relation is None or isinstance(relation, Sequence):
        return False
    return any(column == getattr(one, "name", one) for one in relation.columns)


_PARTITION_BY_HINT = "create the parent table with PARTITION BY: only a partitioned table can have partitions"
_SCHEMA_HINT = "create the schema before its objects, unless something outside these files creates it"

RULE = SchemaRule(
    name="missing_reference",
    group=Group.SCHEMA,
    severity="error",
    summary="A statement references an object that does not exist",
    impact="The statement fails, and so does any migration that runs the file.",
    fix_hint="correct the name, or create the object first",
    check=_check,
    expected_effects=ExpectedEffects(error="42P01"),
    bad=Example(
        sql=(
            "CREATE TABLE w_customers (id bigint PRIMARY KEY);\n"
            "CREATE TABLE w_accounts (id bigint PRIMARY KEY REFERENCES w_customer)",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_customers (id bigint PRIMARY KEY);\n"
            "CREATE TABLE w_accounts (id bigint PRIMARY KEY REFERENCES w_customers)",
        ),
    ),
)
