"""Privileges granted to PUBLIC."""

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
"""The privileges that PostgreSQL grants to PUBLIC by default. Granting them again changes nothing."""


def _check(context: SchemaContext) -> Iterable[Violation]:
    by_object: dict[tuple[str, str], list[Grant]] = {}
    for grant in sorted(context.catalog.grants):
        if grant.grantee == _PUBLIC_ROLE and not _is_default_privilege(grant):
            by_object.setdefault((grant.kind, grant.object), []).append(grant)
    relations = (*context.catalog.tables, *context.catalog.views) if by_object else ()
    quoted_names = {str(one): qualified_name(one) for one in relations}
    for (kind, name), grants in by_object.items():
        privileges = ", ".join(_privilege_sql(grant.privilege) for grant in grants)
        on = ("" if kind == "table" else f"{kind.upper()} ") + quoted_names.get(name, name)
        yield Violation(
            location=grants[0].location,
            relation=name,
            subject=f"{kind} {privileges}",
            message=f"PUBLIC has {privileges} on {kind} {name}",
            remedy=f"REVOKE {privileges} ON {on} FROM PUBLIC;",
        )


def _privilege_sql(privilege: str) -> str:
    """Return a privilege in GRANT syntax, with its column, if any."""
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
    summary="A privilege is granted to PUBLIC",
    impact="Every role that can connect has the privilege, including roles created later for other purposes.",
    fix_hint="grant it to the roles that need it",
    check=_check,
    bad=Example(
        sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY); GRANT SELECT ON w_orders TO PUBLIC",),
    ),
    good=Example(
        sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY); GRANT SELECT ON w_orders TO pg_monitor",),
    ),
)
