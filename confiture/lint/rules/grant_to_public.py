"""Privileges for everybody."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import PUBLIC, Grant
from confiture.sql.parse_tree import quote_identifier

_PUBLIC_ROLE = "public"
_DEFAULT_PRIVILEGES = frozenset(
    {("function", "execute"), ("type", "usage"), ("database", "connect"), ("database", "temporary")}
)
"""What PostgreSQL itself gives to everybody: to say so again changes nothing."""


def _check(context: SchemaContext) -> Iterable[Violation]:
    given: dict[tuple[str, str], list[Grant]] = {}
    for grant in sorted(context.catalog.grants):
        if grant.grantee == _PUBLIC_ROLE and not _is_default_privilege(grant):
            given.setdefault((grant.kind, grant.object), []).append(grant)
    relations = (*context.catalog.tables, *context.catalog.views) if given else ()
    written = {str(one): qualified_name(one) for one in relations}
    for (kind, name), grants in given.items():
        privileges = ", ".join(_privilege_sql(grant.privilege) for grant in grants)
        on = ("" if kind == "table" else f"{kind.upper()} ") + written.get(name, name)
        yield Violation(
            location=grants[0].location,
            relation=name,
            subject=f"{kind} {privileges}",
            message=f"everybody has {privileges} on the {kind} {name}",
            remedy=f"REVOKE {privileges} ON {on} FROM PUBLIC;",
        )


def _privilege_sql(privilege: str) -> str:
    """A privilege as GRANT writes it, with the column that it is on, if any."""
    name, _, column = privilege.removesuffix(")").partition(" (")
    return f"{name.upper()} ({quote_identifier(column)})" if column else name.upper()


def _is_default_privilege(grant: Grant) -> bool:
    if grant.kind == "schema" and grant.object == PUBLIC:
        return grant.privilege == "usage"
    return (grant.kind, grant.privilege) in _DEFAULT_PRIVILEGES


RULE = SchemaRule(
    name="grant_to_public",
    group=Group.SECURITY,
    severity="warning",
    summary="Privileges for everybody",
    impact="Every role of the server that can connect has the privilege, also those made later and for something else.",
    fix_hint="grant it to the roles that need it",
    check=_check,
    bad=Example(
        sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY); GRANT SELECT ON w_orders TO PUBLIC",),
    ),
    good=Example(
        sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY); GRANT SELECT ON w_orders TO pg_monitor",),
    ),
)
