"""Domain constraints that are checked against all rows of the tables that already use, or start to use, the domain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import (
    can_reach_rows,
    domain_chain,
    find_column_domain,
    find_domain,
    has_concurrent_users,
    has_value_for_existing_rows,
    is_constrained_domain,
    is_not_null_domain,
    new_columns,
)
from confiture.lint.facts.table_sizes import is_small_table
from confiture.lint.remedies.commands import (
    LATER,
    alter_table_sql,
    default_constraint_name,
    join_lines,
    make_command,
    make_range_var,
    validate_constraint_sql,
)
from confiture.models.catalog import DomainType, Persistence, QualifiedName, Table
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import get_definition, pb, schema_and_name
from confiture.sql.traversal import find_nodes

_ADD, _VALIDATE, _SET_NOT_NULL = "C", "V", "O"
"""PostgreSQL's codes for the ALTER DOMAIN subcommands that scan tables."""


def _check(context: StatementContext) -> Iterable[Violation]:
    if context.statement.kind == "alter_domain_stmt":
        yield from _check_alter_domain(context)
    elif can_reach_rows(context) and has_concurrent_users(context, context.node.relation):
        yield from _check_add_column(context)


def _check_add_column(context: StatementContext) -> Iterable[Violation]:
    """Report new columns whose domain has constraints. PostgreSQL rewrites the table, with or without a default."""
    table = context.name(context.node.relation)
    for column in new_columns(context).values():
        domain = find_column_domain(context, column)
        fails = is_not_null_domain(context, column) and not has_value_for_existing_rows(context, column)
        if domain and not fails and is_constrained_domain(context, column):
            chain = domain_chain(context, domain)
            yield Violation(
                location=context.statement.location_at(column.location),
                relation=table,
                message=f"{table} is rewritten, because {column.colname} has the domain type {domain.name}, which has"
                " constraints",
                effect="All reads from and writes to the table wait until every row is rewritten (ACCESS EXCLUSIVE"
                " lock).",
                hint=f"give the column the type {chain[-1].type}, and add the domain's constraints to the table as a"
                " CHECK that is NOT VALID at first",
            )


def _check_alter_domain(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    if node.subtype not in (_ADD, _VALIDATE, _SET_NOT_NULL) or get_definition(node).constraint.skip_validation:
        return
    schema, name = schema_and_name(node.type_name)
    domain = find_domain(context, schema, name)
    uses = list(_find_columns_of_domain(context, domain)) if domain else []
    if domain and not uses:
        return
    tables = list(dict.fromkeys(str(table.name) for table, _ in uses))
    domain_name = str(domain.name) if domain else ".".join(filter(None, (schema, name)))
    scanned = ", ".join(tables) or f"every table that has a column of type {domain_name}"
    location = get_definition(node).constraint.location if node.subtype == _ADD else -1
    yield Violation(
        location=context.statement.location_at(location) if location > 0 else context.location,
        relation=domain_name,
        message=f"all rows of {scanned} are checked against the domain {domain_name}, blocking writes in the meantime",
        remedy=_remedy(uses, get_definition(node).constraint) if uses and node.subtype != _VALIDATE else None,
    )


def _find_columns_of_domain(context: StatementContext, domain: DomainType) -> Iterator[tuple[Table, str]]:
    """Return the columns in tables in use that have the domain, or a domain over it, as their type."""
    types = {str(one) for one in _find_derived_domains(context, domain.name)}
    for table in context.catalog.tables.values():
        is_new = table.name in context.created or table.persistence is Persistence.TEMPORARY
        if not is_new and not is_small_table(context, table.name):
            yield from ((table, column.name) for column in table.columns if column.type in types)


def _find_derived_domains(context: StatementContext, name: QualifiedName) -> Set[QualifiedName]:
    """Return a domain and all domains derived from it."""
    names = {name}
    domains = [one for one in context.catalog.types.values() if isinstance(one, DomainType)]
    while True:
        more = {one.name for one in domains if one.type in {str(base) for base in names}} - names
        if not more:
            return names
        names |= more


def _remedy(uses: Iterable[tuple[Table, str]], constraint: Any) -> str:
    """Return replacement table constraints, which can be validated while writes continue."""
    added, proven = [], []
    for table, column in uses:
        if table.is_partition:
            continue
        name = default_constraint_name(table.name.name, pb.CONSTR_CHECK, (column,), table)
        condition = _as_column_constraint(constraint, column)
        check = pb.Constraint(
            contype=pb.CONSTR_CHECK, conname=name, raw_expr=condition, skip_validation=True, is_enforced=True
        )
        added.append(
            alter_table_sql(
                make_range_var(table.name), make_command(pb.AT_AddConstraint, definition={"constraint": check})
            )
        )
        proven.append(validate_constraint_sql(make_range_var(table.name), name))
    return join_lines(*added, LATER, *proven)


def _as_column_constraint(constraint: Any, column: str) -> Any:
    """Convert the condition of a domain constraint to a condition on a column."""
    reference = pb.Node(column_ref=pb.ColumnRef(fields=[pb.Node(string=pb.String(sval=column))]))
    if constraint.contype != pb.CONSTR_CHECK:
        return pb.Node(null_test=pb.NullTest(arg=reference, nulltesttype=pb.IS_NOT_NULL))
    condition = pb.Node()
    condition.CopyFrom(constraint.raw_expr)
    for node in find_nodes(condition, pb.ColumnRef):
        if [one.string.sval for one in node.fields] == ["value"]:
            node.CopyFrom(reference.column_ref)
    return condition


RULE = StatementRule(
    name="domain_constraint_scan",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="A domain constraint is checked against all rows of the tables that use the domain",
    impact="Writes to every table that uses the domain wait until all rows in all these tables are checked (SHARE"
    " lock).",
    fix_hint="add the constraint to the tables instead, as NOT VALID, and validate it while writes continue; or add"
    " it to the domain as NOT VALID and do not validate it: it then applies only to new values",
    kinds=frozenset({"alter_domain_stmt", "alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.SHARE}, scans=("w_orders",)),
    bad=Example(
        before="CREATE DOMAIN price AS numeric;\nCREATE TABLE w_orders (id bigint PRIMARY KEY, amount price)",
        sql=("ALTER DOMAIN price ADD CONSTRAINT price_check CHECK (VALUE >= 0)",),
    ),
    good=Example(
        before="CREATE DOMAIN price AS numeric;\nCREATE TABLE w_orders (id bigint PRIMARY KEY, amount price)",
        sql=("ALTER DOMAIN price ADD CONSTRAINT price_check CHECK (VALUE >= 0) NOT VALID",),
    ),
)
