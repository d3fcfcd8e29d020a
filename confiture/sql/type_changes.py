"""Whether ALTER COLUMN ... TYPE leaves the rows as they are, and what is read again for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from confiture.models.catalog import Catalog, ConstraintKind, Index, Name, Table
from confiture.sql.answers import Answer
from confiture.sql.built_in import built_in
from confiture.sql.catalog import types
from confiture.sql.catalog.resolving import name_of_type, written
from confiture.sql.tree import identifier, names, strings
from confiture.sql.volatility import domain_of

_TYPE = re.compile(
    r"(?P<base>interval|[^(\[]+?)(?P<fields> (?:year|month|day|hour|minute|second)(?: to \w+)?)?"
    r"(?:\((?P<modifiers>[^)]*)\))?(?P<rest> with(?:out)? time zone)?(?P<array>(?:\[\])*)"
)
_MODIFIERS = re.compile(r"\([^)]*\)")
_UNITS = ("second", "minute", "hour", "day", "month", "year")
_ZONED = {"timestamp without time zone", "timestamp with time zone"}
_SAME_ORDER = ({"character varying", "text"}, {"cidr", "inet"})
"""Types whose indexes stay when a column goes from one to the other."""


@dataclass(frozen=True, slots=True)
class SqlType:
    """A type taken apart: `base` without modifiers, of an array its element's."""

    base: str
    modifiers: tuple[int, ...] = ()
    fields: str | None = None
    is_array: bool = False


def type_text(type_name: Any, catalog: Catalog) -> str:
    """A type of the tree as `format_type` writes it; a type that the catalog lacks as it is written."""
    known = types.built_in_type(type_name)
    if known:
        return known
    schema, name = names(type_name.names)
    array = "[]" * bool(type_name.array_bounds)
    for candidate in (schema,) if schema else catalog.search_path:
        if Name(candidate, name) in catalog.types:
            return types.with_modifiers(written(Name(candidate, name)), type_name.typmods) + array
    return types.with_modifiers(".".join(map(identifier, strings(type_name.names))), type_name.typmods) + array


def taken_apart(text: str) -> SqlType:
    """A type as `format_type` writes it, in its parts."""
    match = _TYPE.fullmatch(text)
    if match is None:
        return SqlType(text)
    modifiers = (match["modifiers"] or "").split(",")
    if not all(re.fullmatch(r"-?\d+", modifier.strip()) for modifier in modifiers):
        modifiers = []
    base = match["base"] + (match["rest"] or "")
    return SqlType(
        base="character" if base == "bpchar" else base,
        modifiers=tuple(int(modifier) for modifier in modifiers),
        fields=(match["fields"] or "").strip() or None,
        is_array=bool(match["array"]),
    )


def rewrites(column: str, old: str | None, new: str, using: Any, catalog: Catalog) -> Answer:
    """Whether rows are written anew when a column goes from one type to another; `using` is None or an expression.

    Between timestamps with and without time zone that depends on the session: only with TimeZone UTC they stay.
    """
    steps = [new] if using is None else _casts(column, using, catalog)
    if steps is None:
        return Answer.YES
    if old is None:
        return Answer.MAYBE
    worst = Answer.NO
    for step in (*steps, new):
        worst = max(worst, _step_rewrites(old, step, catalog))
        old = step
    return worst


def keeps_order(old: str, new: str) -> bool:
    """Whether indexes fit a column of either type, provided that its rows stay as they are."""
    one, other = taken_apart(old).base, taken_apart(new).base
    return one == other or any({one, other} <= same for same in _SAME_ORDER)


def _casts(column: str, using: Any, catalog: Catalog) -> list[str] | None:
    """The types through which an expression casts a column, first to last; None where it does more."""
    found: list[str] = []
    while using.WhichOneof("node") == "type_cast":
        found.insert(0, type_text(using.type_cast.type_name, catalog))
        using = using.type_cast.arg
    if using.WhichOneof("node") != "column_ref":
        return None
    fields = using.column_ref.fields
    return found if fields and fields[-1].string.sval == column else None


def _step_rewrites(old: str, new: str, catalog: Catalog) -> Answer:
    if old == new:
        return Answer.NO
    domain = domain_of(new, catalog)
    if domain:
        constrained = domain.not_null or domain.checks
        return Answer.YES if constrained else _step_rewrites(old, domain.type, catalog)
    domain = domain_of(old, catalog)
    if domain:  # PostgreSQL does not look at the length that the domain gives to its type
        return _step_rewrites(_MODIFIERS.sub("", domain.type), new, catalog)
    one, other = taken_apart(old), taken_apart(new)
    if one.is_array or other.is_array:
        same = one.is_array == other.is_array and one.base == other.base and one.fields == other.fields
        return Answer.NO if same and other.modifiers in ((), one.modifiers) else Answer.YES
    if one.base == other.base:
        return Answer.NO if _holds_all(one, other) else Answer.YES
    if {one.base, other.base} == _ZONED:
        return Answer.MAYBE if other.modifiers in ((), (6,)) else Answer.YES
    if (one.base, other.base) in built_in().binary_casts:
        return Answer.NO if not other.modifiers else Answer.YES
    known = all(types_known(part.base) for part in (one, other))
    return Answer.YES if known or _is_ours(old, catalog) or _is_ours(new, catalog) else Answer.MAYBE


def types_known(base: str) -> bool:
    """Whether a type is one of PostgreSQL's own."""
    plain = base.split(" with", 1)[0]
    return plain in types.BUILT_IN or plain in types.ALIASES.values()


def _is_ours(text: str, catalog: Catalog) -> bool:
    return domain_of(text, catalog) is not None or name_of_type(text.removesuffix("[]")) in catalog.types


def _holds_all(old: SqlType, new: SqlType) -> bool:
    """Whether every value of a type fits the same type with other modifiers as it is."""
    if old.base in ("character varying", "bit varying"):
        return not new.modifiers or (bool(old.modifiers) and new.modifiers >= old.modifiers)
    if old.base == "numeric":
        return not new.modifiers or (
            len(old.modifiers) == 2 and new.modifiers[1] == old.modifiers[1] and new.modifiers[0] >= old.modifiers[0]
        )
    if old.base.startswith("time") or old.base == "interval":
        return (unit(old) > 0 or precision(new) >= precision(old)) and unit(new) <= unit(old)
    return new.modifiers == old.modifiers or (old.base == "character" and not new.modifiers)


def precision(type_: SqlType) -> int:
    """The digits of a second that a time keeps."""
    return type_.modifiers[0] if type_.modifiers else 6


def unit(type_: SqlType) -> int:
    """The finest unit that an interval keeps, 0 for the finest."""
    return _UNITS.index(type_.fields.rsplit(" ", 1)[-1]) if type_.fields else 0


def is_clock_change(old: str, new: str) -> bool:
    """Whether a timestamp loses or gets its time zone."""
    return {taken_apart(old).base, taken_apart(new).base} == _ZONED


def index_reads(index: Index, column: str) -> bool:
    """Whether an index has a column, or an expression or a WHERE that reads it."""
    word = re.compile(rf"\b{re.escape(column)}\b")
    texts = (*index.expressions, index.predicate or "")
    return column in index.columns or column in index.included or any(map(word.search, texts))


def read_again_for(table: Table, column: str, *, fits: bool) -> tuple[str, ...]:
    """The names of indexes, checks and foreign keys for which a table is read again when the type of a column changes.

    `fits` says that the rows stay as they are, and so does their order: then indexes of plain columns and foreign keys
    stay as well.
    """
    indexes = (
        index.name
        for index in table.indexes
        if index_reads(index, column) and (not fits or index.predicate or index.expressions)
    )
    constraints = (
        constraint.name
        for constraint in table.constraints
        if column in constraint.columns
        and (
            (constraint.kind is ConstraintKind.CHECK and constraint.validated)
            or (constraint.kind is ConstraintKind.FOREIGN_KEY and not fits)
        )
    )
    return tuple(dict.fromkeys((*indexes, *constraints)))
