"""Foreign keys without an index on the referencing columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.facts.index_lookup import is_indexed, usable_prefix
from confiture.lint.facts.table_sizes import children_by_parent, is_small_table, permanent_tables
from confiture.lint.remedies.commands import attach_index_sql, join_lines
from confiture.lint.remedies.sql_text import join_identifiers, qualified_name
from confiture.models.catalog import Catalog, Constraint, Index, QualifiedName, Table, TableKind
from confiture.sql.catalog.object_names import choose_relation_name, index_name_columns
from confiture.sql.parse_tree import quote_identifier


def _check(context: SchemaContext) -> Iterable[Violation]:
    catalog = context.catalog
    parts = children_by_parent(catalog)
    for table in permanent_tables(catalog):
        inherited = _inherited_foreign_keys(catalog, table)
        checked: set[tuple[str, ...]] = set()
        for key in table.foreign_keys:
            columns = tuple(sorted(key.columns))
            if key in inherited or columns in checked or is_indexed(parts, table, key.columns):
                continue
            if _is_unique_in_target(catalog, table, key) or is_small_table(context, table.name):
                continue
            checked.add(columns)
            yield _violation(context, table, key)


def _inherited_foreign_keys(catalog: Catalog, table: Table) -> tuple[Constraint, ...]:
    """Return the foreign keys that a partition inherits. The rule checks them on the partitioned table."""
    if not table.is_partition:
        return ()
    parents = [catalog.tables[name] for name in table.parents if name in catalog.tables]
    return tuple(
        own
        for own in table.foreign_keys
        for parent in parents
        for theirs in parent.foreign_keys
        if (own.columns, own.target, own.target_columns) == (theirs.columns, theirs.target, theirs.target_columns)
    )


def _is_unique_in_target(catalog: Catalog, table: Table, key: Constraint) -> bool:
    """Whether an index on only these columns is as selective as one on all, as the referenced columns are unique."""
    target = catalog.tables.get(key.target) if key.target else None
    if target is None or len(key.columns) < 2:
        return False
    referred = dict(zip(key.columns, key.target_columns, strict=False))
    uniques = [set(index.columns) for index in target.indexes if index.unique and index.predicate is None]
    for index in table.indexes:
        targets = {referred.get(column) for column in usable_prefix(index, key.columns)}
        if any(unique <= targets for unique in uniques):
            return True
    return False


def _violation(context: SchemaContext, table: Table, key: Constraint) -> Violation:
    columns = join_identifiers(key.columns)
    verb = "references" if len(key.columns) == 1 else "reference"
    message = f"no index of {table.name} begins with {columns}, which {verb} {key.target} ({key.name})"
    behind = _find_index_behind_tenant(context, table, key)
    if behind:
        tenant = context.target.settings.tenancy.column
        message += f"; {behind.name} begins with {tenant}, which the foreign key check does not use"
    return Violation(
        location=key.location or table.location,
        relation=str(table.name),
        subject=", ".join(key.columns),
        message=message,
        remedy=_remedy(context.catalog, table, key),
    )


def _find_index_behind_tenant(context: SchemaContext, table: Table, key: Constraint) -> Index | None:
    """Return the index that could be used if the foreign key included the tenant."""
    tenant = context.target.settings.tenancy.column
    if tenant in key.columns:
        return None
    prefix_columns = {tenant, *key.columns}
    return next((index for index in table.indexes if set(usable_prefix(index, prefix_columns)) == prefix_columns), None)


def _remedy(catalog: Catalog, table: Table, key: Constraint) -> str:
    return join_lines(*_create_index_statements(catalog, table, key))


def _create_index_statements(catalog: Catalog, table: Table, key: Constraint) -> Iterator[str]:
    """Return the statements that create the index CONCURRENTLY; for a partitioned table, one per partition."""
    name = _new_index_name(catalog, table, key)
    parts = catalog.partitions(table.name)
    how, only = (
        ("INDEX", "ONLY " if parts else "") if table.kind is TableKind.PARTITIONED else ("INDEX CONCURRENTLY", "")
    )
    yield (
        f"CREATE {how} {quote_identifier(name)} ON {only}{qualified_name(table.name)} ({join_identifiers(key.columns)})"
    )
    for part in parts if only else ():
        yield from _create_index_statements(catalog, part, key)
        own = QualifiedName(part.name.schema, _new_index_name(catalog, part, key))
        yield attach_index_sql(QualifiedName(table.name.schema, name), own)


def _new_index_name(catalog: Catalog, table: Table, key: Constraint) -> str:
    return choose_relation_name(
        table.name.name,
        index_name_columns(key.columns),
        "idx",
        lambda one: catalog.find_index(table.name.schema, one) is not None,
    )


RULE = SchemaRule(
    name="requires_indexes_on_foreign_keys",
    group=Group.INDEXES,
    severity="warning",
    summary="A foreign key has no index on the referencing columns",
    impact="Every DELETE of a referenced row, and every UPDATE of its key, scans the whole referencing table for"
    " references and holds its locks in the meantime.",
    fix_hint="add an index that begins with the foreign key columns: PostgreSQL does not create one automatically",
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_customers (id bigint PRIMARY KEY);\n"
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES w_customers)",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_customers (id bigint PRIMARY KEY);\n"
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES w_customers);\n"
            "CREATE INDEX w_orders_customer_id_idx ON w_orders (customer_id)",
        ),
    ),
)
