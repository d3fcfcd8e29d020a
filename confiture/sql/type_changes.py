"""Whether ALTER COLUMN ... TYPE rewrites the table, and which objects it scans or rebuilds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from confiture.models.catalog import Catalog, ConstraintKind, Index, QualifiedName, Table
from confiture.sql.built_in import load_built_in_functions
from confiture.sql.catalog import types
from confiture.sql.catalog.type_names import format_type, parse_type_name
from confiture.sql.parse_tree import quote_names, schema_and_name, strings
from confiture.sql.tristate import Tristate
from confiture.sql.volatility import find_domain_of_type

_TYPE = re.compile(
    r"(?P<base>interval|[^(\[]+?)(?P<fields> (?:year|month|day|hour|minute|second)(?: to \w+)?)?"
    r"(?:\((?P<modifiers>[^)]*)\))?(?P<rest> with(?:out)? time zone)?(?P<array>(?:\[\])*)"
)
_MODIFIERS = re.compile(r"\([^)]*\)")
_UNITS = ("second", "minute", "hour", "day", "month", "year")
_TIMESTAMP_TYPES = {"timestamp without time zone", "timestamp with time zone"}
_SAME_ORDER = ({"character varying", "text"}, {"cidr", "inet"})
"""Types whose indexes stay valid when a column changes from one to the other."""


@dataclass(frozen=True, slots=True)
class SqlType:
    """A type split into parts. `base` is the type without modifiers; for an array, it is the element type."""

    base: str
    modifiers: tuple[int, ...] = ()
    fields: str | None = None
    is_array: bool = False


def format_type_name(type_name: Any, catalog: Catalog) -> str:
    """Format a type node like PostgreSQL's `format_type`.

    A type that the catalog does not contain is returned as written.
    """
    built_in = types.built_in_type(type_name)
    if built_in:
        return built_in
    schema, name = schema_and_name(type_name.names)
    array = "[]" * bool(type_name.array_bounds)
    for candidate in (schema,) if schema else catalog.search_path:
        if QualifiedName(candidate, name) in catalog.types:
            return types.format_with_modifiers(format_type(QualifiedName(candidate, name)), type_name.typmods) + array
    return types.format_with_modifiers(quote_names(strings(type_name.names)), type_name.typmods) + array


def parse_type(text: str) -> SqlType:
    """Parse a type as formatted by PostgreSQL's `format_type`."""
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


def needs_rewrite(column: str, old: str | None, new: str, using: Any, catalog: Catalog) -> Tristate:
    """Return whether changing a column's type rewrites the table; `using` is None or an expression.

    Between timestamps with and without time zone, the answer depends on the session: the rewrite is skipped only if
    TimeZone is UTC.
    """
    steps = [new] if using is None else _find_casts(column, using, catalog)
    if steps is None:
        return Tristate.YES
    if old is None:
        return Tristate.UNKNOWN
    worst = Tristate.NO
    for step in (*steps, new):
        worst = max(worst, _needs_step_rewrite(old, step, catalog))
        old = step
    return worst


def preserves_sort_order(old: str, new: str) -> bool:
    """Whether indexes stay valid when the type changes and the rows are not rewritten."""
    one, other = parse_type(old).base, parse_type(new).base
    return one == other or any({one, other} <= same for same in _SAME_ORDER)


def _find_casts(column: str, using: Any, catalog: Catalog) -> list[str] | None:
    """Return the types through which an expression casts a column, in order; None if it does anything else."""
    casts: list[str] = []
    while using.WhichOneof("node") == "type_cast":
        casts.insert(0, format_type_name(using.type_cast.type_name, catalog))
        using = using.type_cast.arg
    if using.WhichOneof("node") != "column_ref":
        return None
    fields = using.column_ref.fields
    return casts if fields and fields[-1].string.sval == column else None


def _needs_step_rewrite(old: str, new: str, catalog: Catalog) -> Tristate:
    if old == new:
        return Tristate.NO
    domain = find_domain_of_type(new, catalog)
    if domain:
        constrained = domain.not_null or domain.checks
        return Tristate.YES if constrained else _needs_step_rewrite(old, domain.type, catalog)
    domain = find_domain_of_type(old, catalog)
    if domain:  # PostgreSQL ignores the length that a domain declares for its type
        return _needs_step_rewrite(_MODIFIERS.sub("", domain.type), new, catalog)
    one, other = parse_type(old), parse_type(new)
    if one.is_array or other.is_array:
        same = one.is_array == other.is_array and one.base == other.base and one.fields == other.fields
        return Tristate.NO if same and other.modifiers in ((), one.modifiers) else Tristate.YES
    if one.base == other.base:
        return Tristate.NO if _can_hold_all(one, other) else Tristate.YES
    if {one.base, other.base} == _TIMESTAMP_TYPES:
        return Tristate.UNKNOWN if other.modifiers in ((), (6,)) else Tristate.YES
    if (one.base, other.base) in load_built_in_functions().binary_casts:
        return Tristate.NO if not other.modifiers else Tristate.YES
    is_built_in = all(is_known_type(part.base) for part in (one, other))
    return (
        Tristate.YES if is_built_in or _is_user_type(old, catalog) or _is_user_type(new, catalog) else Tristate.UNKNOWN
    )


def is_known_type(base: str) -> bool:
    """Whether a type is built into PostgreSQL."""
    plain = base.split(" with", 1)[0]
    return plain in types.BUILT_IN or plain in types.ALIASES.values()


def _is_user_type(text: str, catalog: Catalog) -> bool:
    return find_domain_of_type(text, catalog) is not None or parse_type_name(text.removesuffix("[]")) in catalog.types


def _can_hold_all(old: SqlType, new: SqlType) -> bool:
    """Whether every value of a type fits unchanged into the same type with other modifiers."""
    if old.base in ("character varying", "bit varying"):
        return not new.modifiers or (bool(old.modifiers) and new.modifiers >= old.modifiers)
    if old.base == "numeric":
        return not new.modifiers or (
            len(old.modifiers) == 2 and new.modifiers[1] == old.modifiers[1] and new.modifiers[0] >= old.modifiers[0]
        )
    if old.base.startswith("time") or old.base == "interval":
        return (interval_unit(old) > 0 or time_precision(new) >= time_precision(old)) and interval_unit(
            new
        ) <= interval_unit(old)
    return new.modifiers == old.modifiers or (old.base == "character" and not new.modifiers)


def time_precision(type_: SqlType) -> int:
    """Return the number of fractional digits of a second."""
    return type_.modifiers[0] if type_.modifiers else 6


def interval_unit(type_: SqlType) -> int:
    """Return the finest unit of an interval; 0 is the finest of all."""
    return _UNITS.index(type_.fields.rsplit(" ", 1)[-1]) if type_.fields else 0


def is_timezone_change(old: str, new: str) -> bool:
    """Whether a timestamp loses or gains its time zone."""
    return {parse_type(old).base, parse_type(new).base} == _TIMESTAMP_TYPES


def is_index_on_column(index: Index, column: str) -> bool:
    """Whether an index contains a column, or an expression or WHERE clause that reads the column."""
    word = re.compile(rf"\b{re.escape(column)}\b")
    texts = (*index.expressions, index.predicate or "")
    return column in index.columns or column in index.include_columns or any(map(word.search, texts))


def objects_rescanned_for(table: Table, column: str, *, is_order_kept: bool) -> tuple[str, ...]:
    """Return the indexes, checks, and foreign keys for which a type change scans the table again.

    `is_order_kept` is whether neither the rows nor their order change. If so, indexes on plain columns and foreign keys
    are kept.
    """
    indexes = (
        index.name
        for index in table.indexes
        if is_index_on_column(index, column) and (not is_order_kept or index.predicate or index.expressions)
    )
    constraints = (
        constraint.name
        for constraint in table.constraints
        if column in constraint.columns
        and (
            (constraint.kind is ConstraintKind.CHECK and constraint.validated)
            or (constraint.kind is ConstraintKind.FOREIGN_KEY and not is_order_kept)
        )
    )
    return tuple(dict.fromkeys((*indexes, *constraints)))
