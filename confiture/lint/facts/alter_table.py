"""Facts about ALTER TABLE statements: their additions and drops, and whether they can make other sessions wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.facts.alter_only import only_errors
from confiture.lint.facts.table_sizes import SMALL_ROWS, resolve_relation_name
from confiture.models.catalog import DomainType, QualifiedName, Table, TableKind
from confiture.models.records import record
from confiture.models.source import SourceLocation
from confiture.sql.catalog.type_names import parse_type_name
from confiture.sql.catalog.types import is_serial
from confiture.sql.parse_tree import alter_commands, get_definition, pb, schema_and_name, strings

KEYS: Mapping[Any, str] = {pb.CONSTR_UNIQUE: "UNIQUE", pb.CONSTR_PRIMARY: "PRIMARY KEY"}
"""The constraints that are backed by a unique index, by parse tree kind."""
_FIRST_VERSION_WITH_NOT_VALID_FK = 18
"""The first version that can add NOT VALID foreign keys to partitioned tables."""
_CONSTRAINTS = (*KEYS, pb.CONSTR_CHECK, pb.CONSTR_FOREIGN, pb.CONSTR_NOTNULL, pb.CONSTR_EXCLUSION)


@record(frozen=True, kw_only=True, slots=True)
class AddedConstraint:
    """A constraint that an ALTER TABLE command adds. `column` is set if the constraint is part of a new column."""

    command_number: int
    """The number of the command, from 0."""
    constraint: Any
    column: Any = None
    location: SourceLocation

    @property
    def kind(self) -> Any:
        """The kind of the constraint in the parse tree."""
        return self.constraint.contype

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a key, a foreign key or a NOT NULL."""
        if self.column is not None:
            return (self.column.colname,)
        return strings(self.constraint.fk_attrs) or strings(self.constraint.keys)


def can_reach_rows(context: StatementContext) -> bool:
    """Whether the ALTER may affect rows.

    False for foreign tables, for a partitioned table without its partitions, and if PostgreSQL rejects ONLY.
    """
    node = context.node
    table = context.table(node.relation)
    if node.objtype != pb.OBJECT_TABLE or (table and table.kind is TableKind.FOREIGN):
        return False
    if node.relation.inh or table is None:
        return True
    return table.kind is not TableKind.PARTITIONED and not any(True for _ in only_errors(context))


def has_concurrent_users(context: StatementContext, range_var: Any) -> bool:
    """Whether work on a whole table can make other sessions wait, because the table is neither new nor known to be
    small.
    """
    if context.is_new(range_var):
        return False
    rows = total_rows(context, resolve_relation_name(context, range_var))
    return rows is None or rows >= SMALL_ROWS


def total_rows(context: StatementContext, name: QualifiedName) -> int | None:
    """Return the number of rows in a table and all its partitions; None unless the number is known for all of them."""
    if not context.target.table_rows:
        return None
    table = context.catalog.tables.get(name)
    parts = context.catalog.partitions(name)
    counts = [total_rows(context, part.name) for part in parts]
    if not (table and table.kind is TableKind.PARTITIONED and parts):
        counts.append(context.rows(name))
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def added_constraints(context: StatementContext) -> Iterator[AddedConstraint]:
    """Return the constraints that an ALTER TABLE adds, in order, except on columns that IF NOT EXISTS finds."""
    table = context.table(context.node.relation)
    for number, command in enumerate(alter_commands(context.node)):
        if command.subtype == pb.AT_AddConstraint:
            constraint = get_definition(command).constraint
            yield AddedConstraint(
                command_number=number,
                constraint=constraint,
                location=context.statement.location_at(constraint.location),
            )
        elif command.subtype == pb.AT_AddColumn and not is_existing_column(command, table):
            yield from _column_constraints(context, number, get_definition(command).column_def)


def is_existing_column(command: Any, table: Table | None) -> bool:
    """Whether ADD COLUMN IF NOT EXISTS does nothing because the column exists."""
    return bool(command.missing_ok and table and table.column(get_definition(command).column_def.colname))


def _column_constraints(context: StatementContext, number: int, column: Any) -> Iterator[AddedConstraint]:
    definitions = [item.constraint for item in column.constraints]
    for constraint, following in zip_longest(definitions, definitions[1:]):
        unenforced = following is not None and following.contype == pb.CONSTR_ATTR_NOT_ENFORCED
        if constraint.contype in _CONSTRAINTS and not unenforced:
            place = context.statement.location_at(constraint.location)
            yield AddedConstraint(command_number=number, constraint=constraint, column=column, location=place)


def new_columns(context: StatementContext) -> Mapping[str, Any]:
    """Return the columns that an ALTER TABLE adds, by name."""
    table = context.table(context.node.relation)
    commands = (one for one in alter_commands(context.node) if one.subtype == pb.AT_AddColumn)
    columns = (get_definition(one).column_def for one in commands if not is_existing_column(one, table))
    return {column.colname: column for column in columns}


def columns_set_not_null(context: StatementContext) -> Iterator[tuple[int, str]]:
    """Return the number (from 0) and column of each command that makes a column NOT NULL and verifies it, except ADD
    COLUMN.
    """
    for number, command in enumerate(alter_commands(context.node)):
        if command.subtype == pb.AT_SetNotNull:
            yield number, command.name
        elif command.subtype == pb.AT_AddConstraint:
            constraint = get_definition(command).constraint
            if constraint.contype == pb.CONSTR_NOTNULL and not constraint.skip_validation:
                yield number, strings(constraint.keys)[0]


def is_validated_immediately(added: AddedConstraint) -> bool:
    """Whether a CHECK or foreign key is verified against all rows immediately, although it could be verified later.

    PostgreSQL does not check a foreign key on a new column without a default, because the column is NULL in all rows.
    """
    constraint = added.constraint
    if constraint.skip_validation or not constraint.is_enforced:
        return False
    if added.kind != pb.CONSTR_FOREIGN:
        return bool(added.kind == pb.CONSTR_CHECK)
    return added.column is None or has_default_clause(added.column)


def rejects_not_valid_fk(context: StatementContext) -> bool:
    """Whether the server cannot add a NOT VALID foreign key to the table, because it is partitioned."""
    return context.version < _FIRST_VERSION_WITH_NOT_VALID_FK and is_partitioned(context, context.node.relation)


def dropped_constraints(node: Any) -> frozenset[str]:
    """Return the names of the constraints that an ALTER TABLE drops.

    PostgreSQL drops them before it runs other commands.
    """
    return frozenset(one.name for one in alter_commands(node) if one.subtype == pb.AT_DropConstraint)


def has_default_clause(column: Any) -> bool:
    """Whether a new column is defined with a value, possibly NULL: DEFAULT, GENERATED ... AS (...), or serial."""
    kinds = {item.constraint.contype for item in column.constraints}
    return is_serial(column) or bool(kinds & {pb.CONSTR_DEFAULT, pb.CONSTR_GENERATED})


def has_value_for_existing_rows(context: StatementContext, column: Any) -> bool:
    """Whether a new column has a value in existing rows: from its default, from its domain's default, or because it is
    generated.
    """
    constraints = [item.constraint for item in column.constraints]
    if any(one.contype in (pb.CONSTR_IDENTITY, pb.CONSTR_GENERATED) for one in constraints) or is_serial(column):
        return True
    defaults = [one.raw_expr for one in constraints if one.contype == pb.CONSTR_DEFAULT]
    if defaults:
        return not _is_null(defaults[0])
    domain = find_column_domain(context, column)
    return domain is not None and any(one.default is not None for one in domain_chain(context, domain))


def find_column_domain(context: StatementContext, column: Any) -> DomainType | None:
    """Return the domain that a new column has as its type, if any."""
    if not column.type_name.names or column.type_name.array_bounds:
        return None
    schema, name = schema_and_name(column.type_name.names)
    return find_domain(context, schema, name)


def is_not_null_domain(context: StatementContext, column: Any) -> bool:
    """Whether the type of a new column is a domain that is NOT NULL."""
    domain = find_column_domain(context, column)
    return domain is not None and any(one.not_null for one in domain_chain(context, domain))


def is_constrained_domain(context: StatementContext, column: Any) -> bool:
    """Whether the type of a new column is a domain with constraints, including the constraints of its base domains."""
    domain = find_column_domain(context, column)
    return domain is not None and any(one.checks or one.not_null for one in domain_chain(context, domain))


def find_domain(context: StatementContext, schema: str | None, name: str) -> DomainType | None:
    """Return the domain that a name refers to, if the catalog contains it."""
    for candidate in (schema,) if schema else context.catalog.search_path:
        match = context.catalog.types.get(QualifiedName(candidate, name))
        if match:
            return match if isinstance(match, DomainType) else None
    return None


def domain_chain(context: StatementContext, domain: DomainType) -> tuple[DomainType, ...]:
    """Return a domain and its base domains, outermost first."""
    chain: list[DomainType] = []
    below: Any = domain
    while isinstance(below, DomainType) and below not in chain:
        chain.append(below)
        below = context.catalog.types.get(parse_type_name(below.type))
    return tuple(chain)


def _is_null(expression: Any) -> bool:
    while expression.WhichOneof("node") == "type_cast":
        expression = expression.type_cast.arg
    return bool(expression.a_const.isnull)


def affected_tables(context: StatementContext, range_var: Any) -> tuple[Table, ...]:
    """Return the tables with rows that an ALTER changes: the table itself and, without ONLY, its partitions and
    children. Empty if the catalog does not contain the table.
    """
    table = context.table(range_var)
    if table is None:
        return ()
    return tuple(_tables_with_rows(context, table)) if range_var.inh else (table,)


def _tables_with_rows(context: StatementContext, table: Table) -> Iterator[Table]:
    parts = context.catalog.partitions(table.name)
    if table.kind is not TableKind.PARTITIONED or not parts:
        yield table
    for part in parts:
        yield from _tables_with_rows(context, part)


def descendant_partitions(context: StatementContext, range_var: Any) -> tuple[Table, ...]:
    """Return the known partitions with rows that an ALTER of a partitioned table changes."""
    table = context.table(range_var)
    return tuple(one for one in affected_tables(context, range_var) if one is not table)


def has_constraint_on_partitions(context: StatementContext, name: str) -> bool:
    """Whether every partition has a valid constraint with that name, so that PostgreSQL adopts it and scans nothing."""
    parts = descendant_partitions(context, context.node.relation)
    constraints = [part.constraint(name) for part in parts if is_partitioned(context, context.node.relation)]
    return bool(constraints) and all(one is not None and one.validated for one in constraints)


def is_partitioned(context: StatementContext, range_var: Any) -> bool:
    """Whether the table is known to be partitioned."""
    table = context.table(range_var)
    return table is not None and table.kind is TableKind.PARTITIONED
