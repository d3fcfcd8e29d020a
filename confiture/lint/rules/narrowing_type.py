"""ALTER COLUMN ... TYPE to a type that cannot hold all values of the old one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.table_sizes import name_of
from confiture.lint.remedies.change_type import Retyping, along_with, retypings
from confiture.lint.remedies.commands import LATER, alter, lines, rest, validate
from confiture.lint.remedies.sql_text import qualified
from confiture.sql.catalog.names import joined
from confiture.sql.narrowing import Loss, loses
from confiture.sql.tree import alter_commands, identifier, pb, strings
from confiture.sql.type_changes import taken_apart
from confiture.sql.walking import nodes_of

_TEXTS = ("varchar", "bpchar")
_LIMITS = {"smallint": (-(2**15), 2**15 - 1), "integer": (-(2**31), 2**31 - 1), "bigint": (-(2**63), 2**63 - 1)}


def _check(subject: StatementSubject) -> Iterable[Hit]:
    if subject.is_new(subject.node.relation):
        return
    table = subject.name(subject.node.relation)
    for one in retypings(subject):
        loss = loses(one.old, one.new, subject.catalog) if one.old else None
        if loss is None or (one.using is not None and not _casts_only(one)):
            continue
        cuts = loss is Loss.CUTS or (one.using is not None and _cuts_texts(one.using))
        yield Hit(
            place=one.place,
            relation=table,
            message=f"{table}.{one.column} is {one.old}; values that {one.new} cannot hold "
            + ("are cut or rounded" if cuts else "make the statement fail"),
            effect=_CUTS if cuts else None,
            remedy=None if cuts else _proven_first(subject, one),
        )


def _casts_only(one: Retyping) -> bool:
    """Whether USING is a cast of the column, and no expression that makes values fit."""
    node = one.using
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    return bool(node.WhichOneof("node") == "column_ref")


def _cuts_texts(using: Any) -> bool:
    """Whether casts go through a text with a length: what is written as a cast cuts, what is only stored fails."""
    casts = nodes_of(using, pb.TypeCast)
    return any(cast.type_name.typmods and strings(cast.type_name.names)[-1] in _TEXTS for cast in casts)


def _proven_first(subject: StatementSubject, one: Retyping) -> str | None:
    """A CHECK that proves that all values fit, before the statement."""
    condition = _condition(one)
    if condition is None:
        return None
    relation = subject.node.relation
    table = name_of(subject, relation)
    name = joined(table.name, one.column, "fits")
    commands, own = list(alter_commands(subject.node)), along_with(subject, one.column)
    return lines(
        *rest(subject, own),
        f"ALTER TABLE {qualified(table)} ADD CONSTRAINT {identifier(name)} CHECK ({condition}) NOT VALID",
        LATER,
        validate(relation, name),
        "-- once that holds:",
        alter(relation, *(commands[number] for number in own), like=subject.node),
    )


def _condition(one: Retyping) -> str | None:
    column, new = identifier(one.column), taken_apart(one.new)
    if new.is_array:
        return None
    if new.base in _LIMITS:
        low, high = _LIMITS[new.base]
        return f"{column} BETWEEN {low} AND {high}"
    if new.base in ("character varying", "character") and new.modifiers:
        text = column if taken_apart(one.old or "").base in ("text", "character varying") else f"{column}::text"
        return f"char_length({text}) <= {new.modifiers[0]}"
    if new.base == "numeric" and new.modifiers:
        whole = new.modifiers[0] - (new.modifiers[1] if len(new.modifiers) > 1 else 0)
        return f"abs({column}) < 1e{whole}"
    return None


_CUTS = "Digits, parts of a time or characters that do not fit are gone once this commits, without an error."
_BEFORE = (
    "CREATE TABLE w_customers (id bigint PRIMARY KEY, country varchar(40));"
    " INSERT INTO w_customers VALUES (1, 'Switzerland')"
)

RULE = StatementRule(
    name="narrowing_type",
    group=Group.TYPES,
    severity="error",
    summary="ALTER COLUMN ... TYPE to a type that holds less",
    effect="The migration fails at the first value that does not fit (22001, 22003), after it has locked the table.",
    hint="prove first that all values fit: a CHECK that is NOT VALID, then VALIDATE; often that is all one needs",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    claims=Claims(error="22001"),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_customers ALTER COLUMN country TYPE varchar(2)",)),
    good=Example(
        before=_BEFORE,
        sql=("ALTER TABLE w_customers ADD CONSTRAINT country_fits CHECK (char_length(country) <= 2) NOT VALID",),
    ),
)
