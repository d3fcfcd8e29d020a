"""What an ALTER TABLE adds and takes away, and whether anybody has to wait for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.facts.alter_only import refusals
from confiture.lint.facts.table_sizes import SMALL_ROWS, name_of
from confiture.models.catalog import Domain, Name, Table, TableKind
from confiture.models.source import Place
from confiture.models.values import value
from confiture.sql.catalog.resolving import name_of_type
from confiture.sql.catalog.types import is_serial
from confiture.sql.tree import alter_commands, definition, names, pb, strings

KEYS: Mapping[Any, str] = {pb.CONSTR_UNIQUE: "UNIQUE", pb.CONSTR_PRIMARY: "PRIMARY KEY"}
"""The constraints that are unique indexes, by the tree's name of them."""
_KEYS_OF_PARTITIONED = 18
"""The first version that adds NOT VALID foreign keys to partitioned tables."""
_CONSTRAINTS = (*KEYS, pb.CONSTR_CHECK, pb.CONSTR_FOREIGN, pb.CONSTR_NOTNULL, pb.CONSTR_EXCLUSION)


@value(frozen=True, kw_only=True, slots=True)
class Addition:
    """A constraint that a command of an ALTER TABLE adds, `column` where it does so with a new column."""

    command: int
    """Which of the commands, from 0."""
    constraint: Any
    column: Any = None
    place: Place

    @property
    def kind(self) -> Any:
        """The tree's name of the constraint's kind."""
        return self.constraint.contype

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a key, a foreign key or a NOT NULL."""
        if self.column is not None:
            return (self.column.colname,)
        return strings(self.constraint.fk_attrs) or strings(self.constraint.keys)


def alters_table(subject: StatementSubject) -> bool:
    """Whether the ALTER may reach rows: not so of foreign tables, of a partitioned table without its partitions, and
    where PostgreSQL refuses ONLY.
    """
    node = subject.node
    table = subject.table(node.relation)
    if node.objtype != pb.OBJECT_TABLE or (table and table.kind is TableKind.FOREIGN):
        return False
    if node.relation.inh or table is None:
        return True
    return table.kind is not TableKind.PARTITIONED and not any(True for _ in refusals(subject))


def is_in_use(subject: StatementSubject, range_var: Any) -> bool:
    """Whether others wait for work on all of a table: it is neither new nor known to be small."""
    if subject.is_new(range_var):
        return False
    rows = rows_below(subject, name_of(subject, range_var))
    return rows is None or rows >= SMALL_ROWS


def rows_below(subject: StatementSubject, name: Name) -> int | None:
    """The rows of a table and all its partitions; None where that is not known of each."""
    if not subject.surroundings.table_rows:
        return None
    table = subject.catalog.tables.get(name)
    parts = subject.catalog.partitions(name)
    counts = [rows_below(subject, part.name) for part in parts]
    if not (table and table.kind is TableKind.PARTITIONED and parts):
        counts.append(subject.rows(name))
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def additions(subject: StatementSubject) -> Iterator[Addition]:
    """The constraints that an ALTER TABLE adds, in order; none where IF NOT EXISTS finds the column."""
    table = subject.table(subject.node.relation)
    for number, command in enumerate(alter_commands(subject.node)):
        if command.subtype == pb.AT_AddConstraint:
            constraint = definition(command).constraint
            yield Addition(command=number, constraint=constraint, place=subject.statement.at(constraint.location))
        elif command.subtype == pb.AT_AddColumn and not is_there(command, table):
            yield from _at_column(subject, number, definition(command).column_def)


def is_there(command: Any, table: Table | None) -> bool:
    """Whether ADD COLUMN IF NOT EXISTS does nothing, since the column exists."""
    return bool(command.missing_ok and table and table.column(definition(command).column_def.colname))


def _at_column(subject: StatementSubject, number: int, column: Any) -> Iterator[Addition]:
    written = [item.constraint for item in column.constraints]
    for constraint, following in zip_longest(written, written[1:]):
        unenforced = following is not None and following.contype == pb.CONSTR_ATTR_NOT_ENFORCED
        if constraint.contype in _CONSTRAINTS and not unenforced:
            place = subject.statement.at(constraint.location)
            yield Addition(command=number, constraint=constraint, column=column, place=place)


def new_columns(subject: StatementSubject) -> Mapping[str, Any]:
    """The columns that an ALTER TABLE adds, by name."""
    table = subject.table(subject.node.relation)
    commands = (one for one in alter_commands(subject.node) if one.subtype == pb.AT_AddColumn)
    columns = (definition(one).column_def for one in commands if not is_there(one, table))
    return {column.colname: column for column in columns}


def made_not_null(subject: StatementSubject) -> Iterator[tuple[int, str]]:
    """The commands (from 0) that declare a column NOT NULL and prove it, and the column; not those of new columns."""
    for number, command in enumerate(alter_commands(subject.node)):
        if command.subtype == pb.AT_SetNotNull:
            yield number, command.name
        elif command.subtype == pb.AT_AddConstraint:
            constraint = definition(command).constraint
            if constraint.contype == pb.CONSTR_NOTNULL and not constraint.skip_validation:
                yield number, strings(constraint.keys)[0]


def is_proven_at_once(addition: Addition) -> bool:
    """Whether a CHECK or a foreign key is held against all rows now, and could be later.

    PostgreSQL looks nothing up for a new column without a value, NULL in all rows.
    """
    constraint = addition.constraint
    if constraint.skip_validation or not constraint.is_enforced:
        return False
    if addition.kind != pb.CONSTR_FOREIGN:
        return bool(addition.kind == pb.CONSTR_CHECK)
    return addition.column is None or has_default_clause(addition.column)


def takes_no_unproven_key(subject: StatementSubject) -> bool:
    """Whether the server adds no NOT VALID foreign key to the table, since that is partitioned."""
    return subject.version < _KEYS_OF_PARTITIONED and is_partitioned(subject, subject.node.relation)


def dropped_constraints(node: Any) -> frozenset[str]:
    """The names of the constraints that an ALTER TABLE drops. PostgreSQL does that before all other commands."""
    return frozenset(one.name for one in alter_commands(node) if one.subtype == pb.AT_DropConstraint)


def has_default_clause(column: Any) -> bool:
    """Whether a new column is defined with a value, be it NULL: DEFAULT, GENERATED ... AS (...), or serial."""
    kinds = {item.constraint.contype for item in column.constraints}
    return is_serial(column) or bool(kinds & {pb.CONSTR_DEFAULT, pb.CONSTR_GENERATED})


def fills_itself(subject: StatementSubject, column: Any) -> bool:
    """Whether a new column has a value in the rows that exist: by a default, its own or its domain's, or generated."""
    constraints = [item.constraint for item in column.constraints]
    if any(one.contype in (pb.CONSTR_IDENTITY, pb.CONSTR_GENERATED) for one in constraints) or is_serial(column):
        return True
    defaults = [one.raw_expr for one in constraints if one.contype == pb.CONSTR_DEFAULT]
    if defaults:
        return not _is_null(defaults[0])
    domain = domain_of(subject, column)
    return domain is not None and any(one.default is not None for one in domain_chain(subject, domain))


def domain_of(subject: StatementSubject, column: Any) -> Domain | None:
    """The domain that is the type of a new column."""
    if not column.type_name.names or column.type_name.array_bounds:
        return None
    schema, name = names(column.type_name.names)
    return find_domain(subject, schema, name)


def allows_no_null(subject: StatementSubject, column: Any) -> bool:
    """Whether the type of a new column is a domain that is NOT NULL."""
    domain = domain_of(subject, column)
    return domain is not None and any(one.not_null for one in domain_chain(subject, domain))


def is_constrained(subject: StatementSubject, column: Any) -> bool:
    """Whether the type of a new column is a domain with constraints, its own or those of domains below it."""
    domain = domain_of(subject, column)
    return domain is not None and any(one.checks or one.not_null for one in domain_chain(subject, domain))


def find_domain(subject: StatementSubject, schema: str | None, name: str) -> Domain | None:
    """The domain that a name means, as far as the catalog knows it."""
    for candidate in (schema,) if schema else subject.catalog.search_path:
        found = subject.catalog.types.get(Name(candidate, name))
        if found:
            return found if isinstance(found, Domain) else None
    return None


def domain_chain(subject: StatementSubject, domain: Domain) -> tuple[Domain, ...]:
    """A domain, and those below it that it is made of."""
    chain: list[Domain] = []
    below: Any = domain
    while isinstance(below, Domain) and below not in chain:
        chain.append(below)
        below = subject.catalog.types.get(name_of_type(below.type))
    return tuple(chain)


def _is_null(expression: Any) -> bool:
    while expression.WhichOneof("node") == "type_cast":
        expression = expression.type_cast.arg
    return bool(expression.a_const.isnull)


def leaves(subject: StatementSubject, range_var: Any) -> tuple[Table, ...]:
    """The tables with rows that an ALTER of a table is about: itself, its partitions and heirs unless it says ONLY.

    Empty where the catalog does not know the table.
    """
    table = subject.table(range_var)
    if table is None:
        return ()
    return tuple(_leaves(subject, table)) if range_var.inh else (table,)


def _leaves(subject: StatementSubject, table: Table) -> Iterator[Table]:
    parts = subject.catalog.partitions(table.name)
    if table.kind is not TableKind.PARTITIONED or not parts:
        yield table
    for part in parts:
        yield from _leaves(subject, part)


def partitions_below(subject: StatementSubject, range_var: Any) -> tuple[Table, ...]:
    """The partitions with rows that an ALTER of a partitioned table is about, as far as the catalog knows them."""
    table = subject.table(range_var)
    return tuple(one for one in leaves(subject, range_var) if one is not table)


def is_held_by_partitions(subject: StatementSubject, name: str) -> bool:
    """Whether each partition has a valid constraint of that name: PostgreSQL takes it over and reads nothing."""
    parts = partitions_below(subject, subject.node.relation)
    found = [part.constraint(name) for part in parts if is_partitioned(subject, subject.node.relation)]
    return bool(found) and all(one is not None and one.validated for one in found)


def is_partitioned(subject: StatementSubject, range_var: Any) -> bool:
    """Whether the catalog knows that a table is partitioned."""
    table = subject.table(range_var)
    return table is not None and table.kind is TableKind.PARTITIONED
