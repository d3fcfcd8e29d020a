"""Foreign keys have an index on the referring side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from confiture.lint.engine.context import SchemaSubject
from confiture.lint.engine.rule import Example, Group, Hit, SchemaRule
from confiture.lint.facts.index_lookup import is_indexed, narrows
from confiture.lint.facts.table_sizes import is_small, lasting_tables, parts_of
from confiture.lint.remedies.commands import attach_index, lines
from confiture.lint.remedies.sql_text import listed, qualified
from confiture.models.catalog import Catalog, Constraint, Index, Name, Table, TableKind
from confiture.sql.catalog.names import chosen, of_columns
from confiture.sql.tree import identifier


def _check(subject: SchemaSubject) -> Iterable[Hit]:
    catalog = subject.catalog
    parts = parts_of(catalog)
    for table in lasting_tables(catalog):
        inherited = _of_parents(catalog, table)
        judged: set[tuple[str, ...]] = set()
        for key in table.foreign_keys:
            columns = tuple(sorted(key.columns))
            if key in inherited or columns in judged or is_indexed(parts, table, key.columns):
                continue
            if _is_unique_in_target(catalog, table, key) or is_small(subject, table.name):
                continue
            judged.add(columns)
            yield _hit(subject, table, key)


def _of_parents(catalog: Catalog, table: Table) -> tuple[Constraint, ...]:
    """The foreign keys of the table that it is a partition of: judged there."""
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
    """Whether an index on some of the columns finds as little as one on all: what these refer to is unique."""
    target = catalog.tables.get(key.target) if key.target else None
    if target is None or len(key.columns) < 2:
        return False
    referred = dict(zip(key.columns, key.target_columns, strict=False))
    uniques = [set(index.columns) for index in target.indexes if index.unique and index.predicate is None]
    for index in table.indexes:
        found = {referred.get(column) for column in narrows(index, key.columns)}
        if any(unique <= found for unique in uniques):
            return True
    return False


def _hit(subject: SchemaSubject, table: Table, key: Constraint) -> Hit:
    columns = listed(key.columns)
    message = f"no index of {table.name} begins with {columns}, which {key.name} refers to {key.target} by"
    behind = _behind_tenant(subject, table, key)
    if behind:
        tenant = subject.surroundings.settings.tenancy.column
        message += f"; {behind.name} begins with {tenant}, which the check of the foreign key does not know"
    return Hit(
        place=key.place or table.place,
        relation=str(table.name),
        subject=", ".join(key.columns),
        message=message,
        remedy=_remedy(subject.catalog, table, key),
    )


def _behind_tenant(subject: SchemaSubject, table: Table, key: Constraint) -> Index | None:
    """The index that would serve if the tenant were part of the key."""
    tenant = subject.surroundings.settings.tenancy.column
    if tenant in key.columns:
        return None
    wanted = {tenant, *key.columns}
    return next((index for index in table.indexes if set(narrows(index, wanted)) == wanted), None)


def _remedy(catalog: Catalog, table: Table, key: Constraint) -> str:
    return lines(*_indexed(catalog, table, key))


def _indexed(catalog: Catalog, table: Table, key: Constraint) -> Iterator[str]:
    """The statements that make the index: CONCURRENTLY, and of a partitioned table partition by partition."""
    name = _index_name(catalog, table, key)
    parts = catalog.partitions(table.name)
    how, only = (
        ("INDEX", "ONLY " if parts else "") if table.kind is TableKind.PARTITIONED else ("INDEX CONCURRENTLY", "")
    )
    yield f"CREATE {how} {identifier(name)} ON {only}{qualified(table.name)} ({listed(key.columns)})"
    for part in parts if only else ():
        yield from _indexed(catalog, part, key)
        own = Name(part.name.schema, _index_name(catalog, part, key))
        yield attach_index(Name(table.name.schema, name), own)


def _index_name(catalog: Catalog, table: Table, key: Constraint) -> str:
    return chosen(
        table.name.name, of_columns(key.columns), "idx", lambda one: catalog.indexed(table.name.schema, one) is not None
    )


RULE = SchemaRule(
    name="requires_indexes_on_foreign_keys",
    group=Group.INDEXES,
    severity="warning",
    summary="Foreign keys have an index on the referring side",
    effect="Each DELETE, and each UPDATE of the key, of a referred row reads the whole referring table to see whether "
    "something still refers to it, and holds its lock meanwhile.",
    hint="PostgreSQL indexes the referred side only: add an index that begins with the columns of the foreign key",
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
